"""Help, open to everybody, in the words of the audit's vocabulary; and what the foot of a page tells whom."""

import pytest
from django.test import Client

from audit.choices import Outcome
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of
from tmsdash.version import product_version

pytestmark = pytest.mark.pages


def test_whoever_cannot_sign_in_reads_what_each_outcome_means_and_what_to_do(databases):
    shown = text_of(Client().get("/help/"))
    for outcome in Outcome:
        if not outcome.is_legacy:
            assert f"{outcome.label} {outcome.meaning} {outcome.next_step}" in shown


def test_the_zone_of_times_is_named_as_it_is_now(databases):
    client = Client()
    client.post("/display/", {"time_zone": "Asia/Tokyo"})
    assert "Times are in Asia/Tokyo now" in text_of(client.get("/help/"))


def test_only_users_are_told_the_version_and_only_those_who_may_send_the_key_to_new_action(olivia, audrey):
    named = f"TMS Dashboard {product_version()}"
    assert named not in text_of(Client().get("/help/"))
    for user, leads_on in ((olivia, True), (audrey, False)):
        page = signed_in(user).get("/help/")
        assert named in text_of(page)
        assert ('data-new="/"' in page.content.decode()) is leads_on
