"""What each page weighs at first view and how many queries it takes, at all addresses, where everything rare meets."""

import gzip
import re
import time
from datetime import timedelta
from functools import cache
from urllib.parse import urljoin

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.utils import timezone

from audit.choices import Action
from jobs.app_status.tests.making import make_run
from jobs.models import AppRun, Batch
from setactions.devtools.demo_data.scenario import CLUSTERS, customer_id
from setactions.devtools.site_walk.visitors import visitors
from setactions.devtools.site_walk.walk import Sample, Walk
from setactions.pages.review_places import keep
from setactions.pages.sealing import Review
from setactions.payload import Submission
from setactions.tests.test_axe_urls import NO_PAGES, NOBODYS, names
from setactions.tms.clusters import cluster_named
from tmsdash import banners, timers
from tmsdash.db import clock
from tmsdash.models import SEEN, Banner, TimerRun
from tmsdash.passwords.initial import note_given
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import counted_queries
from tmsdash.web.sessions import NOTED_EVERY_S
from tmsdash.web.static_files import collect

pytestmark = pytest.mark.pages

MOST_BYTES = 100_000
MOST_QUERIES = 12
# The guard against sending twice looks for the customers of a list in all that is open, sent or read, database by
# database: where nothing is, that is a dozen with the rest of the page.
MOST_QUERIES_AT = {"review_page": 18}
TEMPLATES = settings.BASE_DIR / "templates"
INCLUDED = re.compile(r'{% include "([^"]+)"')
STRANGERS = {"login", "oidc_signed_out"}  # nobody who is signed in gets these pages
NO_PAGE = re.compile(r"\.\w+$|^/api/|^/(health|metrics|proxy_fetch)$")
GZIP = {"Accept-Encoding": "gzip"}
LOADED = re.compile(r'<(?:link rel="(?:icon|stylesheet)"|script|img)[^>]* ?(?:href|src)="(/[^"]+)"')
PART_OF_STYLE = re.compile(r"""url\(["']?(?!data:)([^)"']+)["']?\)|@import ["']([^"']+)["']""")


def body_of(answer):
    """The bytes that cross the network, and the text in them."""
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    answer.close()
    is_compressed = answer.get("Content-Encoding") == "gzip"
    return content, (gzip.decompress(content) if is_compressed else content).decode("utf-8", "replace")


def files_of(client):
    """Tells what a file weighs, and all that it loads in turn, by address."""

    @cache
    def weights(address):
        answer = client.get(address, headers=GZIP)
        assert answer.status_code == 200, address
        content, text = body_of(answer)
        loaded = {address: len(content)}
        for match in PART_OF_STYLE.finditer(text) if ".css" in address else ():
            loaded |= weights(urljoin(address, match[1] or match[2]))
        return loaded

    return weights


class RareWalk(Walk):
    """A walk through every page on which everything rare meets at each: see `meet_rarities`, and `rarities_of`."""

    def __init__(self, visitor):
        super().__init__(visitor, choices=1, paired=0, rounds=1)
        self.names, self.too_heavy, self.too_curious = set(), {}, {}
        self._weights = files_of(self._client)

    def _measured(self, address):
        name = self._name(address)
        if NO_PAGE.search(address.path):
            return Sample(name), ""
        meet_rarities(self._client)
        with counted_queries() as queries:
            answer = self._client.get(address.url, headers=GZIP)
            content, text = body_of(answer)
        view_name = getattr(answer.resolver_match, "view_name", "")
        if len(queries) > MOST_QUERIES_AT.get(view_name, MOST_QUERIES):
            self.too_curious[f"{len(queries)} {name}"] = [query["sql"][:150] for query in queries]
        if answer.status_code == 200 and "<html" in text:
            self.names.add(view_name)
            files = {file: size for part in LOADED.findall(text) for file, size in self._weights(part).items()}
            assert any(file.endswith(".css") for file in files), name
            if len(content) + sum(files.values()) > MOST_BYTES:
                self.too_heavy[name] = files | {"the page": len(content)}
        is_page = answer.status_code == 200
        return Sample(name, error=0 if is_page else answer.status_code), text if is_page else ""


def meet_rarities(client):
    """Let the next page be the first that its process shows, and be late enough for its session's use to be noted."""
    banners.forget()
    ContentType.objects.clear_cache()
    clock._offsets.clear()
    session = client.session
    session[SEEN] = time.time() - NOTED_EVERY_S - 1
    session.save()


def rarities_of(user):
    """Give a user what few have, and return the parts of addresses that lead to it."""
    run = make_run(user_id=user.username, cluster_url=CLUSTERS[0], is_over=False)  # and nobody carries it any more
    AppRun.objects.update(runner_until=timezone.now())
    Batch.objects.filter(user_id=user.username).update(
        state=Batch.State.RUNNING, runner="test", runner_until=long_ago()
    )
    review = Review.of(Submission(cluster_named("one"), Action.PE_ENABLE, "PE-Enable", (customer_id(0), "a1")))
    keep(review, user.username)
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": "", "used": 0})
    other = User.objects.exclude(pk=user.pk).latest("pk")
    ids = {"id": [str(other.pk)], "run_id": [str(run.run_id)], "review_id": [str(review.attempt_id)]}
    return ids | {"name": ["one"]}


def long_ago():
    return timezone.now() - timedelta(days=90)


@pytest.fixture
def rare_site(databases, settings, tms):
    """A site with everything that pages say besides what they are about: announcements, late timers, single sign-on."""
    call_command("fill_demo_data", jobs=300)
    for kind in Banner.Kind:
        Banner.objects.create(kind=kind, text="Back at ten.", changed_at=timezone.now())
    for name in timers.NAMES:
        TimerRun.objects.create(name=name, ended_at=long_ago(), succeeded=False, succeeded_at=long_ago())
    Group.objects.create(name="Friends")
    settings.OIDC_ISSUER_URL = "http://127.0.0.1:1"  # nobody is there
    settings.TMS_CLUSTERS = {"one": CLUSTERS[0], "two": CLUSTERS[1]}
    settings.TMS_PRODUCTION_CLUSTERS = ["one"]
    settings.TMS_TOKEN_URLS = {"one": f"{tms.url}/oauth2/token"}


def test_no_page_weighs_more_than_100_kb_or_takes_more_than_a_dozen_queries(rare_site, settings, tmp_path):
    """Each page is walked through as each kind of user, with each of its filters, links and further pages."""
    settings.STATIC_ROOT = tmp_path / "static"
    collect()
    walked, too_heavy, too_curious = set(), {}, {}
    for visitor in visitors():
        visitor.parts.update(rarities_of(visitor.user))
        walk = RareWalk(visitor)
        assert [sample for sample in walk.samples() if sample.error >= 400] == []
        walked, too_heavy, too_curious = walked | walk.names, too_heavy | walk.too_heavy, too_curious | walk.too_curious
    assert too_heavy == {}
    assert too_curious == {}
    unseen = names() - walked - NO_PAGES - STRANGERS
    assert sorted(name for name in unseen if not NOBODYS.fullmatch(name)) == []


def test_those_who_may_only_choose_a_password_wait_for_no_more_queries(rare_site):
    user = User.objects.get(username="admin")
    note_given(user)
    client = signed_in(user)
    for url in ("/password/", "/help/", "/activity/"):
        meet_rarities(client)
        with counted_queries() as queries:
            client.get(url)
        assert len(queries) <= MOST_QUERIES, [query["sql"][:150] for query in queries]


def test_the_script_of_token_fields_is_loaded_by_the_pages_that_may_have_one_and_no_other():
    texts = {str(path.relative_to(TEMPLATES)): path.read_text() for path in TEMPLATES.rglob("*.html")}

    def drawn_by(name):
        return {name}.union(*map(drawn_by, INCLUDED.findall(texts[name])))

    pages = [name for name, text in texts.items() if "{% extends" in text]
    may_have_one = {name for name in pages if "partials/_token_field.html" in drawn_by(name)}
    assert {"setactions/new_action.html", "batches/batch.html"} < may_have_one < {*pages}
    assert {name for name, text in texts.items() if "'token_field.js'" in text} == may_have_one
