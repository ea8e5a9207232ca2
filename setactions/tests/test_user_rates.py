"""Nobody fills the audit with refusals or exports: above a rate they are answered 429, and only the log has them."""

import logging
import uuid
from types import SimpleNamespace

import pytest

from audit import exports
from audit.actors import Actor
from audit.choices import Kind, Outcome, Source
from audit.models import Attempt, AuditEntry
from audit.tests.making import make_attempt
from setactions import limits, service
from setactions.pages.tests.test_forged_pages import kept, review_by
from setactions.pages.tests.test_new_action import AT, press
from setactions.refusal import Refusal
from tmsdash import rates
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import at_once, text_of

pytestmark = pytest.mark.pages


@pytest.fixture
def clock(monkeypatch):
    """What the time is for the rates."""
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(rates, "time", clock)
    return clock


def refused_entries():
    return AuditEntry.objects.filter(kind=Kind.REFUSED).count()


def test_an_account_without_rights_leaves_60_refusals_a_minute(fetch, tms, audrey, oscar, clock, caplog):
    client, bodies = signed_in(audrey), ({}, {"isPost": None})
    codes = [fetch(client=client, **bodies[number % 2]).status_code for number in range(70)]
    assert codes == [403] * 60 + [429] * 10
    answer = fetch(client=client)
    body = answer.json()
    assert answer["Retry-After"] == "60"
    assert (body["outcome"], body["attempt_id"], list(body["errors"])) == ("refused", None, ["request"])
    assert "More than 60 of your requests were refused within a minute." in body["message"]
    assert refused_entries() == Attempt.objects.count() == 60
    assert "REFUSED: user=audrey, address=127.0.0.1, too often to be audited: Your account may not" in caplog.text
    assert fetch(client=signed_in(oscar)).status_code == 200  # nobody else waits for it
    clock.now += 61
    assert fetch(client=client).status_code == 403
    assert len(tms.calls()) == 1


def test_who_may_send_may_be_wrong_more_often(fetch, olivia):
    assert {fetch(token="").status_code for _ in range(70)} == {400}


def test_scripts_and_pages_that_are_refused_too_often_are_told_and_go_on_with_what_is_right(
    fetch, tms, olivia, monkeypatch
):
    monkeypatch.setattr(limits, "REFUSALS_PER_MINUTE", 2)
    assert [fetch(token="").status_code for _ in range(3)] == [400, 400, 429]
    client = signed_in(olivia)
    first, second = (kept("olivia", review_by("olivia")) for _ in range(2))
    assert press(client, "send/", {AT: first, "token": TOKEN}).status_code == 302  # is sent
    wrong = press(client, "send/", {AT: second, "token": "a1"})  # the token stands in the list
    assert (wrong.status_code, wrong["Retry-After"]) == (429, "60")
    assert "More than 2 of your requests were refused within a minute." in text_of(wrong)
    assert "a1" not in text_of(wrong)
    assert refused_entries() == 2


def test_what_is_a_repeat_or_cannot_be_done_just_now_is_said_as_it_is(fetch, olivia, monkeypatch, settings):
    monkeypatch.setattr(limits, "REFUSALS_PER_MINUTE", 0)
    assert [fetch().status_code for _ in range(3)] == [200, 409, 409]
    settings.TMS_MAX_IN_FLIGHT = 0
    assert {fetch(cids=["c3"]).status_code for _ in range(3)} == {503}
    assert refused_entries() == 5


def test_refused_chunks_of_batches_are_always_audited(olivia, monkeypatch):
    monkeypatch.setattr(limits, "REFUSALS_PER_MINUTE", 0)
    for source in (Source.BATCH, Source.COMMAND):
        refusal = Refusal(403, "user", "Your account may not.")
        result = service.refuse(user=olivia, actor=Actor(user_id="olivia", source=source), refusal=refusal)
        assert (result.outcome, result.refusal_code) == (Outcome.REFUSED, 403)
    assert refused_entries() == 2


def test_requests_at_once_are_counted_each(databases):
    rate = rates.Rate("a")
    assert sum(at_once(16, lambda _: sum(rate.take("olivia", 50) for _ in range(10)))) == 50


def test_users_who_did_nothing_for_a_minute_are_forgotten(clock):
    rate = rates.Rate("a")
    for minute in range(3):
        clock.now += 61
        for number in range(100):
            assert rate.take(f"user{minute}.{number}", 1)
            assert not rate.take(f"user{minute}.{number}", 1)


@pytest.mark.parametrize("path", ["/admin/audit/attempt/export.csv", "/admin/audit/attempt/export.jsonl"])
def test_the_eleventh_export_within_a_minute_is_refused(audrey, adam, path, clock, caplog):
    caplog.set_level(logging.WARNING)
    make_attempt(Kind.REJECTED)
    client = signed_in(audrey)
    for _ in range(exports.LISTS_PER_MINUTE):
        assert b"".join(client.get(path).streaming_content)
    refused = client.get(path)
    assert (refused.status_code, refused["Retry-After"]) == (429, "60")
    assert "You made 10 exports within a minute, so this one was not made." in text_of(refused)
    assert AuditEntry.objects.filter(kind=Kind.EXPORTED).count() == 10
    assert "export refused, too many: user=audrey, address=127.0.0.1" in caplog.text
    assert signed_in(adam).get(path).status_code == 200
    clock.now += 61
    assert client.get(path).status_code == 200


def test_packs_of_evidence_have_a_rate_of_their_own(olivia, monkeypatch):
    attempt = make_attempt(Kind.REJECTED)
    monkeypatch.setattr("audit.views.PACKS_PER_MINUTE", 2)
    client = signed_in(olivia)
    codes = [client.get(f"/attempts/{attempt.attempt_id}/evidence.zip").status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert client.get(f"/attempts/{uuid.uuid4()}/evidence.zip").status_code == 404
