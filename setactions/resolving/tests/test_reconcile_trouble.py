"""`reconcile` with a token where TMS is slow, silent or wrong, and for several attempts at once."""

import pytest
from django.test import override_settings

from audit.choices import Kind, Outcome
from audit.models import AuditEntry
from audit.selectors import outcome_body
from audit.tests.making import make_attempt, tampering
from setactions.devtools.simulator.fleet import Fleet
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    LOST_BEFORE,
    between_readings,
    in_words,
    now,
    reads,
    run,
    send,
    send_and_die,
    tms_does,
)
from tmsdash.tests.tools import kinds_of

pytestmark = pytest.mark.usefixtures("databases", "tms", "impatient", "short_calls")


# -- Slow ---------------------------------------------------------------------------------------------------------


def test_what_a_slow_tms_applies_between_the_readings_is_applied(fetch, tms, settings, monkeypatch):
    attempt = send(fetch, token=LOST_BEFORE)
    settings.TMS_READBACK_INTERVAL_S = 45
    waits = between_readings(monkeypatch, lambda: tms_does(tms, "PE-Enable", "a1", "b2"))
    assert in_words(run()) == {"closed": 1, "recorded": 1}
    assert now(attempt).outcome == Outcome.APPLIED
    assert len(outcome_body(attempt)["readings"]) == 2
    assert len(waits) == 1
    assert waits[0] >= 45


@pytest.mark.parametrize("point", ["service: answered, nothing written", "service: intent in the audit", ""])
def test_an_attempt_on_which_tms_may_be_working_still_is_left_alone(fetch, tms, settings, point):
    attempt = send_and_die(fetch, point) if point else send(fetch, token=LOST_BEFORE)
    settings.TMS_OPEN_AFTER_S = 3600
    left = {"still_open": 1, "judged_from": attempt.judged_from}
    assert in_words(run()) == in_words(run(None)) == in_words(run(full=True)) == left
    assert now(attempt).is_open
    assert reads(tms) == []


def test_a_clock_that_was_set_back_between_the_readings_proves_nothing_and_forgets_nothing(
    fetch, settings, monkeypatch
):
    attempt = send(fetch, token=LOST_BEFORE)
    settings.TMS_READBACK_INTERVAL_S = 60
    between_readings(monkeypatch, lambda: None)
    report = run()
    assert now(attempt).is_open
    assert report.closed == 0
    assert report.need_token == [attempt.attempt_id]  # else it would look as if nothing were left


# -- Readings that fail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [None, [], {"message": "not Ready", "success": False}, {"a1": {"action_code": 1}, "error": None}],
    ids=["null", "a list", "an error", "an error besides"],
)
@pytest.mark.parametrize("from_reading", [1, 2])
def test_an_answer_that_is_no_list_of_states_leaves_the_attempt_to_a_token(fetch, monkeypatch, answer, from_reading):
    attempt, original, made = send(fetch, token=LOST_BEFORE), Fleet.actions, []

    def actions(self, cids):
        made.append(cids)
        return answer if len(made) >= from_reading else original(self, cids)

    monkeypatch.setattr(Fleet, "actions", actions)
    report = run()
    assert in_words(report) == {"need_token": [attempt.attempt_id]}
    assert [problem.partition(":")[0] for problem in report.problems] == ["evian3 could not be read"]
    assert len(made) == from_reading
    assert kinds_of(attempt.attempt_id) == ["INTENT", "UNKNOWN"]


@pytest.mark.parametrize("fault", ["unauthorized", "http:500", "timeout", "redirect", "broken-json"])
def test_a_reading_that_fails_leaves_the_attempt_to_a_token(fetch, tms, fault):
    attempts = [send(fetch, token=LOST_AFTER), send(fetch, "c3", token=LOST_BEFORE)]
    with override_settings(TMS_DEADLINE_S=0.5 if fault == "timeout" else 30):
        report = run(f"fault:{fault}")
    assert in_words(report) == {"need_token": [attempt.attempt_id for attempt in attempts]}
    assert len(report.problems) == len(reads(tms)) == 1
    assert run().closed == 2


def test_without_a_token_nothing_is_read(fetch, tms):
    attempt = send(fetch, token=LOST_AFTER)
    assert in_words(run(None)) == {"need_token": [attempt.attempt_id]}
    assert reads(tms) == []


# -- Several at once ----------------------------------------------------------------------------------------------


def test_many_attempts_of_a_cluster_share_two_readings(fetch, tms):
    applied = [send(fetch, f"a{number}", f"b{number}", token=LOST_AFTER) for number in range(4)]
    lost = [send(fetch, f"c{number}", token=LOST_BEFORE) for number in range(3)]
    mixed = send(fetch, "d1", "d2", token=LOST_BEFORE)
    tms_does(tms, "PE-Enable", "d1")
    assert in_words(run()) == {"closed": 7, "recorded": 4, "need_person": [mixed.attempt_id]}
    assert {now(attempt).outcome for attempt in applied} == {Outcome.APPLIED}
    assert {now(attempt).outcome for attempt in lost} == {Outcome.NOT_APPLIED}
    assert reads(tms) == [("ALL",)] * 2


def test_a_cluster_that_does_not_answer_does_not_hold_up_another(fetch, tms):
    away = make_attempt(Kind.UNKNOWN, cluster_url="http://127.0.0.1:2")
    here = send(fetch, token=LOST_BEFORE)
    report = run()
    assert in_words(report) == {"closed": 1, "need_token": [away.attempt_id]}
    assert now(here).outcome == Outcome.NOT_APPLIED
    assert "brooke could not be read" in report.problems[0]


def test_an_attempt_whose_ids_are_lost_does_not_hold_up_the_others(fetch):
    spoiled, lost = send(fetch, "a", token=LOST_AFTER), send(fetch, "b", token=LOST_BEFORE)
    with tampering() as cursor:
        entry = AuditEntry.objects.get(attempt_id=spoiled.attempt_id, kind="INTENT")
        cursor.execute("UPDATE audit_auditentry SET body = %s WHERE sequence = %s", ["cut sho", entry.pk])
    report = run()
    assert in_words(report) == {"closed": 1, "need_person": [spoiled.attempt_id], "altered": [spoiled.attempt_id]}
    assert str(spoiled.attempt_id) in report.problems[0]
    assert now(lost).outcome == Outcome.NOT_APPLIED


def test_who_settled_it_is_in_the_audit(fetch):
    attempt = send(fetch, token=LOST_AFTER)
    run()
    entries = AuditEntry.objects.filter(attempt_id=attempt.attempt_id).order_by("sequence")
    who = {"olivia": "127.0.0.1", "ops@host": ""}
    assert [entry.user_id for entry in entries] == ["olivia", "olivia", "ops@host", "ops@host"]
    assert [entry.ip_address for entry in entries] == [who[entry.user_id] for entry in entries]
