"""Check now: reading back, from an attempt's page, what TMS shows of it."""

from datetime import datetime

import pytest
from django.test import override_settings

from audit.choices import Kind, Outcome
from audit.models import Attempt, AuditEntry
from audit.selectors import outcome_body
from audit.tests.making import make_attempt, record
from jobs.models import Job
from setactions.pages import sealing
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    LOST_BEFORE,
    check,
    hidden_fields,
    now,
    reads,
    send,
    send_and_die,
    somebody,
    tms_does,
)
from tmsdash import seals
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import at_once, kinds_of, text_of

pytestmark = [pytest.mark.usefixtures("databases", "tms", "impatient", "short_calls"), pytest.mark.pages]
PLANTED = "planted-secret-token-0123456789"


@pytest.fixture
def operator(olivia):
    return signed_in(olivia)


def page_of(client, attempt):
    return client.get(f"/attempts/{attempt.attempt_id}/")


def assert_leads_to_page(answer, attempt):
    assert (answer.status_code, answer.url) == (302, f"/attempts/{attempt.attempt_id}/")


# -- What a press brings ------------------------------------------------------------------------------------------


def test_what_was_applied_is_found_out_at_the_first_press(fetch, tms, operator):
    attempt = send(fetch, token=LOST_AFTER)
    page = text_of(page_of(operator, attempt))
    assert "do not send again" in page
    assert "Check now" in page
    assert_leads_to_page(check(operator, attempt, token=TOKEN), attempt)
    assert Job.objects.get().evidence == "read_back"
    page = page_of(operator, attempt)
    assert "Accepted, confirmed by reading back" in text_of(page)
    assert b"/check/" not in page.content
    entry = AuditEntry.objects.get(kind="APPLIED")
    assert (entry.user_id, entry.ip_address) == ("olivia", "127.0.0.1")
    assert [call.method for call in tms.calls()] == ["POST", "GET"]


def test_what_was_not_applied_takes_two_presses_an_interval_apart(fetch, tms, operator, settings):
    attempt = send(fetch, token=LOST_BEFORE)
    settings.TMS_READBACK_INTERVAL_S = 1234
    first = check(operator, attempt, token=PLANTED)
    assert first.status_code == 200
    for words in ("No sign of it so far: check again", "no action: 2.", "1234 seconds", "Check again"):
        assert words in text_of(first)
    assert 'name="token"' not in first.content.decode()
    too_early = check(operator, attempt, first)
    assert "No sign of it so far: check again" in text_of(too_early)
    assert now(attempt).is_open
    settings.TMS_READBACK_INTERVAL_S = 0
    assert_leads_to_page(check(operator, attempt, too_early), attempt)
    assert now(attempt).outcome == Outcome.NOT_APPLIED
    assert not Job.objects.exists()
    assert "You may send the list again" in text_of(page_of(operator, attempt))
    kept, calls = outcome_body(attempt)["readings"], [call for call in tms.calls() if call.method == "GET"]
    assert (len(kept), len(calls)) == (2, 3)
    for reading, call in ((kept[0], calls[0]), (kept[1], calls[2])):  # the first one counted, not the one too early
        begun, ended = (datetime.fromisoformat(reading[name]) for name in ("begun_at", "ended_at"))
        assert begun <= call.received_at <= ended
    for page in (first, too_early):
        assert PLANTED not in page.content.decode()


def test_what_is_applied_between_the_presses_is_found_out_at_the_second(fetch, tms, operator):
    attempt = send(fetch, token=LOST_BEFORE)
    first = check(operator, attempt, token=TOKEN)
    tms_does(tms, "PE-Enable", "a1", "b2")
    assert_leads_to_page(check(operator, attempt, first), attempt)
    assert now(attempt).outcome == Outcome.APPLIED


def test_a_reading_that_proves_nothing_is_for_somebody_who_may_decide(fetch, tms, operator):
    attempt = send(fetch, token=LOST_BEFORE)
    tms_does(tms, "PE-Enable", "b2")
    page = check(operator, attempt, token=TOKEN)
    assert page.status_code == 200
    for words in ("a person has to decide", "no action: 1, PE-Enable: 1.", "somebody who may decide"):
        assert words in text_of(page)
    assert "/decide/" not in page.content.decode()
    assert "sealed" not in hidden_fields(page)
    assert now(attempt).is_open


@pytest.mark.parametrize("point", ["service: answered, nothing written", "service: intent in the audit", ""])
def test_while_tms_may_be_working_on_it_nothing_is_read_and_the_page_says_from_when_on(
    fetch, tms, operator, settings, point
):
    attempt = send_and_die(fetch, point) if point else send(fetch, token=LOST_AFTER)
    settings.TMS_OPEN_AFTER_S = 4000
    answer = check(operator, attempt, token=TOKEN)
    assert answer.status_code == 409
    assert f"TMS may still be working on it. Check from {now(attempt).judged_from:%H:%M:%S} UTC on" in text_of(answer)
    assert reads(tms) == []
    assert kinds_of(attempt.attempt_id) == (["INTENT"] if point else ["INTENT", "UNKNOWN"])


def test_a_stand_by_checks_nothing(fetch, tms, operator, settings):
    attempt = send(fetch, token=LOST_AFTER)
    settings.TMS_PASSIVE = True
    answer = check(operator, attempt, token=TOKEN)
    assert answer.status_code == 503
    assert "passive mode" in text_of(answer)
    assert reads(tms) == []
    assert now(attempt).is_open


@pytest.mark.parametrize("fault", ["unauthorized", "http:500", "null", "not-ready", "reset-after", "timeout"])
def test_a_reading_that_fails_says_why_and_forgets_nothing(fetch, operator, fault):
    attempt = send(fetch, token=LOST_BEFORE)
    first = check(operator, attempt, token=TOKEN)
    with override_settings(TMS_DEADLINE_S=0.5 if fault == "timeout" else 30):
        failed = check(operator, attempt, first, token=f"fault:{fault}")
    assert failed.status_code == 409
    assert "evian3 could not be read" in text_of(failed)
    assert 'name="token"' in failed.content.decode()
    assert now(attempt).is_open
    assert_leads_to_page(check(operator, attempt, failed, token=TOKEN), attempt)
    assert now(attempt).outcome == Outcome.NOT_APPLIED


def test_several_presses_at_once_make_one_job(fetch, olivia):
    attempt = send(fetch, token=LOST_AFTER)
    clients = [signed_in(olivia) for _ in range(6)]
    answers = at_once(6, lambda number: check(clients[number], attempt, token=TOKEN))
    assert {answer.status_code for answer in answers} <= {302, 409}
    assert kinds_of(attempt.attempt_id) == ["INTENT", "UNKNOWN", "APPLIED", "RECORDED"]
    assert Job.objects.count() == 1


# -- The token and the first reading on their way through the page ------------------------------------------------


def test_a_token_is_kept_for_ten_minutes_and_the_first_reading_longer(fetch, tms, operator, monkeypatch):
    attempt = send(fetch, token=LOST_BEFORE)
    first = check(operator, attempt, token=PLANTED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seals, "SEALED_FOR_S", -1)
        asked = check(operator, attempt, first)
    assert asked.status_code == 400
    assert "ten minutes" in text_of(asked)
    assert 'name="token"' in asked.content.decode()
    assert PLANTED not in asked.content.decode()
    assert len(reads(tms)) == 1
    assert_leads_to_page(check(operator, attempt, asked, token=PLANTED), attempt)
    assert now(attempt).outcome == Outcome.NOT_APPLIED


def test_pressing_again_does_not_renew_the_ten_minutes(fetch, operator, settings):
    attempt = send(fetch, token=LOST_BEFORE)
    settings.TMS_READBACK_INTERVAL_S = 1234
    first = check(operator, attempt, token=TOKEN)
    assert hidden_fields(check(operator, attempt, first))["sealed"] == hidden_fields(first)["sealed"]


@pytest.mark.parametrize("borrowed", ["another attempt's", "another user's", "changed", "old", "none"])
def test_a_first_reading_that_is_not_this_ones_does_not_count(fetch, operator, adam, monkeypatch, borrowed):
    attempt, other = send(fetch, token=LOST_BEFORE), send(fetch, "c3", token=LOST_BEFORE)
    reader = signed_in(adam) if borrowed == "another user's" else operator
    first = hidden_fields(check(reader, other if borrowed == "another attempt's" else attempt, token=TOKEN))["reading"]
    reading = {"changed": first[:-1] + ("a" if first[-1] != "a" else "b"), "none": ""}.get(borrowed, first)
    if borrowed == "old":
        monkeypatch.setattr(sealing, "READING_KEPT_S", -1)
    page = check(operator, attempt, reading=reading, token=TOKEN)
    assert "No sign of it so far: check again" in text_of(page)
    assert now(attempt).is_open


def test_a_token_that_was_sealed_for_another_attempt_is_not_used(fetch, tms, operator):
    attempt, other = send(fetch, token=LOST_BEFORE), send(fetch, "c3", token=LOST_BEFORE)
    sealed = hidden_fields(check(operator, other, token=TOKEN))["sealed"]
    assert check(operator, attempt, sealed=sealed).status_code == 400
    assert set(reads(tms)) == {("c3",), ("ALL",)}


@pytest.mark.parametrize("token", ["", "two words", f"{PLANTED} x", "é" * 20, "x" * 8193])
def test_a_token_that_is_none_is_asked_for_again_and_not_shown(fetch, tms, operator, token):
    page = check(operator, send(fetch, token=LOST_AFTER), token=token)
    assert page.status_code == 400
    assert 'name="token"' in page.content.decode()
    assert PLANTED not in page.content.decode()
    assert reads(tms) == []


# -- Who may, and when --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("olivia", 302),
        ("oscar", 404),
        ("audrey", 403),
        ("adam", 302),
        ("oscar, who may decide", 302),
        ("adam, an auditor", 403),
        ("olivia, an auditor", 403),
        ("olivia, no operator", 403),
    ],
)
def test_the_owner_who_may_send_and_who_may_decide_may_check(fetch, tms, olivia, oscar, audrey, adam, name, code):
    attempt = send(fetch, token=LOST_AFTER)
    client = signed_in(somebody(name, olivia, oscar, audrey, adam))
    assert (b'/check/"' in page_of(client, attempt).content) == (code == 302)
    assert check(client, attempt, token=TOKEN).status_code == code
    assert now(attempt).is_open == (code != 302)
    assert len(reads(tms)) == (code == 302)


def test_who_checks_anothers_attempt_is_in_the_audit_and_the_job_is_its_owners(fetch, adam):
    attempt = send(fetch, token=LOST_AFTER)
    check(signed_in(adam), attempt, token=TOKEN)
    assert AuditEntry.objects.get(kind="APPLIED").user_id == "adam"
    assert Job.objects.get().user_id == "olivia"


def test_who_is_not_signed_in_or_has_no_csrf_token_checks_nothing(fetch, tms, olivia, client):
    attempt = send(fetch, token=LOST_AFTER)
    assert check(client, attempt, token=TOKEN).url.startswith("/login/")
    assert check(signed_in(olivia, enforce_csrf_checks=True), attempt, token=TOKEN).status_code == 403
    assert reads(tms) == []
    assert now(attempt).is_open


@pytest.mark.parametrize("action", ["check", "decide", "repair"])
def test_the_address_of_a_form_leads_to_the_attempts_page(fetch, tms, operator, oscar, action):
    attempt = send(fetch, token=LOST_AFTER)
    path = f"/attempts/{attempt.attempt_id}/{action}/"
    assert_leads_to_page(operator.get(path), attempt)
    assert signed_in(oscar).get(path).status_code == 404
    assert operator.put(path).status_code == 405
    assert reads(tms) == []


@pytest.mark.parametrize("kind", [Kind.ACCEPTED, Kind.REJECTED, Kind.NOT_SENT, Kind.NOT_APPLIED])
def test_an_attempt_whose_outcome_is_known_is_not_read(fetch, tms, operator, kind):
    attempt = send_and_die(fetch, "service: intent in the audit")
    record(attempt, kind)
    before = kinds_of(attempt.attempt_id)
    assert check(operator, attempt, token=TOKEN).status_code in (302, 409)
    assert kinds_of(attempt.attempt_id) == before
    assert reads(tms) == []
    assert b"/check/" not in page_of(operator, attempt).content


def test_an_attempt_that_has_its_job_is_not_read_whatever_the_audit_missed(fetch, tms, operator):
    attempt = send_and_die(fetch, "service: job committed")
    Attempt.objects.update(outcome="pending", job_owed=False)
    assert b"/check/" not in page_of(operator, attempt).content
    assert check(operator, attempt, token=TOKEN).status_code == 409
    assert reads(tms) == []


def test_an_attempt_on_a_cluster_that_is_gone_is_not_read(operator, tms):
    attempt = make_attempt(Kind.UNKNOWN, cluster_url="https://gone.example")
    page = page_of(operator, attempt)
    assert "not configured any more" in text_of(page)
    assert b'/check/"' not in page.content
    assert check(operator, attempt, token=TOKEN).status_code == 409
    assert now(attempt).is_open


@pytest.mark.parametrize("limit", ["reads", "calls"])
def test_a_busy_dashboard_says_so(fetch, tms, operator, settings, monkeypatch, limit):
    attempt = send(fetch, token=LOST_AFTER)
    if limit == "reads":
        settings.TMS_READS_PER_MINUTE = 0
    else:
        settings.TMS_MAX_IN_FLIGHT = 0
    answer = check(operator, attempt, token=TOKEN)
    assert answer.status_code == 503
    assert reads(tms) == []
    assert now(attempt).is_open
