"""Decide: a person closes an attempt that no reading settles, with a reason, on a reading that they saw."""

import json

import pytest

from audit.choices import Kind, Outcome
from audit.models import Attempt, AuditEntry
from audit.tests.making import make_attempt
from jobs.models import Job
from setactions.pages import sealing
from setactions.resolving.tests.doubting import (
    LOST_BEFORE,
    check,
    hidden_fields,
    lose_patience,
    now,
    run,
    send,
    send_and_die,
    somebody,
    tms_does,
)
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import at_once, kinds_of, locked, text_of

pytestmark = [pytest.mark.usefixtures("databases", "tms", "impatient"), pytest.mark.pages]
REASON = "Tina of the migration team looked at both customers."


@pytest.fixture
def mixed(fetch, tms):
    """An attempt of olivia's of which only one customer shows the action."""
    attempt = send(fetch, token=LOST_BEFORE)
    tms_does(tms, "PE-Enable", "b2")
    return attempt


def decide(client, attempt, page=None, **data):
    """Press Decide, on the page that the check brought; by default that it was applied, with a reason."""
    fields = hidden_fields(page) if page else {}
    return client.post(
        f"/attempts/{attempt.attempt_id}/decide/", fields | {"ruling": "applied", "reason": REASON} | data
    )


def assert_open(attempt):
    assert now(attempt).is_open
    assert "DECIDED" not in kinds_of(attempt.attempt_id)
    assert not Job.objects.exists()


def test_a_person_decides_that_it_was_applied_and_answers_for_it(mixed, adam, olivia, fetch):
    client = signed_in(adam)
    page = check(client, mixed, token=TOKEN)
    for words in ("This reading proves nothing", "no action: 1, PE-Enable: 1", "It was applied: record"):
        assert words in text_of(page)
    answer = decide(client, mixed, page)
    assert (answer.status_code, answer.url) == (302, f"/attempts/{mixed.attempt_id}/")
    entry = AuditEntry.objects.get(kind="DECIDED")
    assert (entry.user_id, entry.ip_address) == ("adam", "127.0.0.1")
    body = json.loads(entry.body)
    assert (body["reason"], body["ruling"], len(body["readings"])) == (REASON, "applied", 1)
    assert body["readings"][0]["counts"] == {"0": 1, "2": 1}
    job = Job.objects.get()
    assert (job.job_id, job.user_id, job.evidence, job.http_status) == (mixed.attempt_id, "olivia", "decided", None)
    assert kinds_of(mixed.attempt_id) == ["INTENT", "UNKNOWN", "DECIDED", "RECORDED"]
    for path in (f"/attempts/{mixed.attempt_id}/", f"/jobs/{mixed.attempt_id}/"):
        assert "decided by a person" in text_of(signed_in(olivia).get(path))
        assert REASON in text_of(signed_in(olivia).get(path))
    answer = fetch(key=mixed.attempt_id)
    assert (answer.status_code, answer.json()["outcome"], answer.json()["evidence"]) == (200, "accepted", "decided")


def test_a_person_decides_that_it_was_not_applied_and_the_list_may_be_sent_again(mixed, adam, olivia, fetch):
    client = signed_in(adam)
    decide(client, mixed, check(client, mixed, token=TOKEN), ruling="not_applied")
    assert now(mixed).outcome == Outcome.DECIDED_NOT_APPLIED
    assert not Job.objects.exists()
    page = text_of(signed_in(olivia).get(f"/attempts/{mixed.attempt_id}/"))
    assert "Not applied, decided by a person" in page
    assert "Edit this list and send it again" in page
    assert fetch(key=mixed.attempt_id).json()["outcome"] == "not_applied"
    assert fetch().json()["outcome"] == "accepted"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"ruling": ""}, 400, "Choose whether it was applied."),
        ({"ruling": "perhaps"}, 400, "Choose whether it was applied."),
        ({"ruling": "DECIDED_APPLIED"}, 400, "Choose whether it was applied."),
        ({"reason": ""}, 400, "Give a reason of 10 to 1,000 characters"),
        ({"reason": "x" * 9}, 400, "Give a reason of 10 to 1,000 characters"),
        ({"reason": f" \n{'x' * 9}\t "}, 400, "Give a reason of 10 to 1,000 characters"),
        ({"reason": "x        y"}, 400, "Give a reason of 10 to 1,000 characters"),
        ({"reason": "x" * 1001}, 400, "Give a reason of 10 to 1,000 characters"),
        ({"reading": ""}, 409, "Check first what TMS shows"),
        ({"reading": "changed"}, 409, "Check first what TMS shows"),
    ],
)
def test_without_a_ruling_a_reason_and_a_reading_nothing_is_decided(mixed, adam, changes, code, words):
    client = signed_in(adam)
    page = decide(client, mixed, check(client, mixed, token=TOKEN), **changes)
    assert page.status_code == code
    assert words in text_of(page)
    assert_open(mixed)
    if changes.get("reason", "").strip():
        assert changes["reason"].strip() in page.content.decode()  # to be mended, not typed again
    assert decide(client, mixed, page if "reading" not in changes else check(client, mixed, token=TOKEN)).url
    assert now(mixed).outcome == Outcome.DECIDED_APPLIED


@pytest.mark.parametrize(
    "reason", ["x" * 10, f"  {'x' * 1000}\n", "Zwölf Zeilen…\r\nund mehr", "<script>alert(1)</script>"]
)
def test_a_reason_is_kept_as_one_line_and_shown_as_text(mixed, adam, reason):
    client = signed_in(adam)
    decide(client, mixed, check(client, mixed, token=TOKEN), reason=reason)
    assert json.loads(AuditEntry.objects.get(kind="DECIDED").body)["reason"] == " ".join(reason.split())
    page = client.get(f"/attempts/{mixed.attempt_id}/")
    assert " ".join(reason.split())[:300] in text_of(page).replace(" <", "<")
    assert "<script>" not in page.content.decode()


@pytest.mark.parametrize("borrowed", ["another attempt's", "another user's", "old"])
def test_a_reading_that_the_decider_did_not_make_of_this_attempt_is_not_taken(
    mixed, adam, olivia, oscar, fetch, tms, monkeypatch, borrowed
):
    client, attempt = signed_in(adam), mixed
    if borrowed == "another attempt's":
        attempt = send(fetch, "c3", "d4", token=LOST_BEFORE)
        tms_does(tms, "PE-Enable", "c3")
    reader = signed_in(somebody("oscar, who may decide", olivia, oscar, None, adam))
    page = check(reader if borrowed == "another user's" else client, attempt, token=TOKEN)
    assert b"/decide/" in page.content
    if borrowed == "old":
        monkeypatch.setattr(sealing, "READING_KEPT_S", -1)
    assert decide(client, mixed, page).status_code == 409
    assert_open(mixed)


def test_a_reading_that_is_to_be_repeated_is_none_to_decide_on(fetch, adam, settings):
    settings.TMS_READBACK_INTERVAL_S = 3600
    attempt, client = send(fetch, token=LOST_BEFORE), signed_in(adam)
    page = check(client, attempt, token=TOKEN)
    assert b"/decide/" not in page.content
    assert decide(client, attempt, page, ruling="not_applied").status_code == 409
    assert_open(attempt)


def test_a_reading_that_proved_nothing_is_no_first_of_two(fetch, tms, adam):
    attempt, client = send(fetch, "a1", "b2", action="T-Enable", token=LOST_BEFORE), signed_in(adam)
    tms_does(tms, "PE-Direct", "b2")
    unclear = check(client, attempt, token=TOKEN)
    tms_does(tms, "Trans-Begin", "b2")
    assert "check again" in text_of(check(client, attempt, unclear, token=TOKEN))
    assert now(attempt).is_open


@pytest.mark.parametrize("fault", ["http:500", "null"])
def test_where_the_cluster_cannot_be_read_a_person_may_decide_on_that(mixed, adam, fault):
    client = signed_in(adam)
    page = check(client, mixed, token=f"fault:{fault}")
    assert page.status_code == 409
    assert b"/check/" in page.content
    assert decide(client, mixed, page, ruling="not_applied").status_code == 302
    [kept] = json.loads(AuditEntry.objects.get(kind="DECIDED").body)["readings"]
    assert (kept["counts"], kept["problem"][:24]) == ({}, "evian3 could not be read")


def test_a_cluster_that_could_not_be_read_is_no_first_reading(fetch, adam):
    attempt, client = send(fetch, token=LOST_BEFORE), signed_in(adam)
    failed = check(client, attempt, token="fault:http:500")
    assert "check again" in text_of(check(client, attempt, failed, token=TOKEN))
    assert now(attempt).is_open


def test_a_cluster_that_is_gone_needs_no_reading(adam):
    attempt, client = make_attempt(Kind.UNKNOWN, cluster_url="https://gone.example"), signed_in(adam)
    page = client.get(f"/attempts/{attempt.attempt_id}/")
    assert "not configured any more" in text_of(page)
    assert b"/decide/" in page.content
    assert decide(client, attempt, page, reason="short").status_code == 400
    assert decide(client, attempt, page, ruling="not_applied").status_code == 302
    assert now(attempt).outcome == Outcome.DECIDED_NOT_APPLIED
    assert json.loads(AuditEntry.objects.get(kind="DECIDED").body)["readings"] == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("olivia", 403),
        ("oscar", 404),
        ("audrey", 403),
        ("adam", 302),
        ("oscar, who may decide", 302),
        ("adam, an auditor", 403),
        ("olivia, an auditor", 403),
    ],
)
def test_only_who_may_decide_decides(olivia, oscar, audrey, adam, name, code):
    attempt = make_attempt(Kind.UNKNOWN, cluster_url="https://gone.example")
    client = signed_in(somebody(name, olivia, oscar, audrey, adam))
    assert (b"/decide/" in client.get(f"/attempts/{attempt.attempt_id}/").content) == (code == 302)
    assert decide(client, attempt, ruling="not_applied").status_code == code
    assert now(attempt).is_open == (code != 302)
    assert AuditEntry.objects.filter(kind="DECIDED").count() == (code == 302)


def test_before_a_check_a_decider_sees_no_form_to_decide_with(mixed, adam):
    page = signed_in(adam).get(f"/attempts/{mixed.attempt_id}/").content
    assert b"/check/" in page
    assert b"/decide/" not in page


def test_who_is_not_signed_in_or_has_no_csrf_token_decides_nothing(adam, client):
    attempt = make_attempt(Kind.UNKNOWN, cluster_url="https://gone.example")
    assert decide(client, attempt).url.startswith("/login/")
    assert decide(signed_in(adam, enforce_csrf_checks=True), attempt).status_code == 403
    assert_open(attempt)


def test_while_tms_may_be_working_on_it_nothing_is_decided(mixed, adam, settings):
    client = signed_in(adam)
    page = check(client, mixed, token=TOKEN)
    settings.TMS_OPEN_AFTER_S = 4000
    assert decide(client, mixed, page).status_code == 409
    assert_open(mixed)


def test_of_two_people_who_decide_at_once_one_counts(mixed, adam, oscar):
    people = [adam, somebody("oscar, who may decide", None, oscar, None, None)] * 2
    clients = [signed_in(user) for user in people]
    pages = [check(client, mixed, token=TOKEN) for client in clients]
    rulings = ["applied", "not_applied", "not_applied", "applied"]
    answers = at_once(4, lambda number: decide(clients[number], mixed, pages[number], ruling=rulings[number]))
    assert {answer.status_code for answer in answers} <= {302, 409}
    entry, attempt = AuditEntry.objects.get(kind="DECIDED"), now(mixed)
    ruling = json.loads(entry.body)["ruling"]
    assert attempt.outcome == f"decided_{ruling}"
    assert not attempt.is_open
    assert Job.objects.count() == (ruling == "applied")


def test_what_is_closed_meanwhile_stays_as_it_is(mixed, adam):
    client = signed_in(adam)
    page = check(client, mixed, token=TOKEN)
    decide(client, mixed, page)
    before = kinds_of(mixed.attempt_id)
    assert decide(client, mixed, page, ruling="not_applied").status_code == 302
    assert kinds_of(mixed.attempt_id) == before
    assert now(mixed).outcome == Outcome.DECIDED_APPLIED


def test_an_attempt_that_has_its_job_is_not_decided_whatever_the_audit_missed(fetch, adam, settings):
    attempt = send_and_die(fetch, "service: job committed")
    Attempt.objects.update(outcome="pending", job_owed=False)
    settings.TMS_CLUSTERS = {}
    assert decide(signed_in(adam), attempt, ruling="not_applied").status_code == 409
    assert now(attempt).outcome == Outcome.PENDING


@pytest.mark.sqlite
@pytest.mark.parametrize("alias", ["jobs", "audit"])
def test_a_locked_database_is_told_and_a_decision_is_whole_or_not_there(mixed, adam, olivia, monkeypatch, alias):
    lose_patience(monkeypatch)
    client = signed_in(adam, raise_request_exception=False)
    page = check(client, mixed, token=TOKEN)
    with locked(alias, ""):
        answer = decide(client, mixed, page)
    assert answer.status_code == 503
    assert "A database does not answer" in text_of(answer)
    if alias == "audit":
        assert_open(mixed)
        assert decide(client, mixed, page).status_code == 302
    else:
        assert now(mixed).job_owed
        assert "its job is still being recorded" in text_of(signed_in(olivia).get(f"/attempts/{mixed.attempt_id}/"))
        assert run(None).recorded == 1
    assert (Job.objects.get().evidence, now(mixed).is_open) == ("decided", False)


@pytest.mark.parametrize("fault", ["unauthorized", "http:403"])
def test_a_token_that_is_not_valid_is_no_ground_for_a_decision(fetch, adam, fault):
    attempt = send(fetch, token=LOST_BEFORE)
    page = check(signed_in(adam), attempt, token=f"fault:{fault}")
    assert page.status_code == 409
    assert "/decide/" not in page.content.decode()
