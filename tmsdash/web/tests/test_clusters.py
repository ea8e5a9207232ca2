"""Clusters as pages name them."""

import pytest
from django.template import engines

from tmsdash.web.clusters import (
    bar_of_several,
    choice_bar,
    cluster_choices,
    cluster_fact,
    cluster_name,
    is_production,
    production_bar,
    production_class,
    shown_cluster,
)

EVIAN, BROOKE, GONE = "https://evian.example", "https://brooke.example:8443", "https://gone.example:9443"
BADGE = ' <span class="status production">production</span>'


@pytest.fixture(autouse=True)
def _clusters(settings):
    settings.TMS_CLUSTERS, settings.TMS_PRODUCTION_CLUSTERS = {"evian3": EVIAN, "brooke": BROOKE}, ["brooke"]


def test_a_cluster_has_its_name_with_the_origin_on_hover_and_says_that_it_is_production():
    assert shown_cluster(EVIAN) == f'<span class="cluster" title="{EVIAN}">evian3</span>'
    assert shown_cluster(BROOKE) == f'<span class="cluster" title="{BROOKE}">brooke{BADGE}</span>'


def test_a_cluster_that_the_settings_lack_is_named_by_its_host():
    assert shown_cluster(GONE) == f'<span class="cluster" title="{GONE}">gone.example:9443</span>'
    assert cluster_name(GONE) == "gone.example:9443"
    assert not is_production(GONE)


def test_facts_have_the_origin_in_the_text():
    assert cluster_fact(BROOKE) == f'{shown_cluster(BROOKE)} <span class="origin">{BROOKE}</span>'
    assert engines["django"].from_string("{{ at|cluster_fact }}").render({"at": EVIAN}) == cluster_fact(EVIAN)


def test_without_an_origin_nothing_is_shown_so_that_a_page_can_say_its_own_word():
    shown = engines["django"].from_string("{{ at|cluster|default:'several' }} {{ at|cluster_fact|default:'none' }}")
    assert shown.render({"at": ""}) == "several none"


def test_what_was_imported_as_a_cluster_is_escaped_and_stays_on_its_line():
    assert shown_cluster('<b>"\n') == '<span class="cluster" title="&lt;b&gt;&quot;\\n">&lt;b&gt;&quot;\\n</span>'


def test_only_what_concerns_a_production_cluster_has_the_bar_and_the_class():
    assert production_bar(BROOKE) == (
        '<aside class="production-bar" aria-label="Production">'
        '<p class="width">Production cluster: <strong>brooke</strong></p></aside>'
    )
    assert production_class(BROOKE) == "on-production"
    assert [production_bar(origin) + production_class(origin) for origin in (EVIAN, GONE, "")] == [""] * 3


def test_a_page_for_several_clusters_names_those_of_production(settings):
    settings.TMS_PRODUCTION_CLUSTERS = ["brooke", "evian3"]
    assert "Production clusters: <strong>evian3, brooke</strong>" in bar_of_several([EVIAN, GONE, BROOKE])
    assert bar_of_several([GONE]) == ""


def test_the_bar_of_a_form_is_hidden_until_a_production_cluster_is_chosen(settings):
    assert " hidden>" in choice_bar(None)
    assert " hidden>" in choice_bar("evian3")
    assert choice_bar("brooke") == production_bar(BROOKE)
    settings.TMS_CLUSTERS = {"brooke": BROOKE}  # which a browser chooses by itself
    assert choice_bar(None) == production_bar(BROOKE)
    settings.TMS_PRODUCTION_CLUSTERS = []
    assert choice_bar("brooke") == ""


def test_other_settings_count_at_once(settings):
    shown_cluster(EVIAN)
    settings.TMS_PRODUCTION_CLUSTERS = ["evian3"]
    assert BADGE in shown_cluster(EVIAN)
    settings.TMS_CLUSTERS = {"volvic": EVIAN}
    assert ">volvic<" in shown_cluster(EVIAN)


def test_a_field_offers_clusters_with_a_word_for_production():
    assert cluster_choices() == [("evian3", f"evian3 ({EVIAN})"), ("brooke", f"PRODUCTION: brooke ({BROOKE})")]
