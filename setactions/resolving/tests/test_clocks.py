"""Clocks that are set while attempts are open, and what `reconcile` and the pages say of attempts that are young."""

import json
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from audit.choices import Outcome
from audit.selectors import outcome_body
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    LOST_BEFORE,
    between_readings,
    check,
    now,
    reads,
    run,
    run_reconcile,
    send,
    send_and_die,
    tms_does,
)
from tmsdash import clocks
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases", "tms", "impatient")
PENDING = "service: intent in the audit"
AHEAD = "Its time is 120 minutes ahead of this server's clock, which is wrong or was set back since."


@pytest.fixture
def set_clock(monkeypatch):
    """Set this host's clock so many seconds ahead of the true time; let some seconds pass, which both clocks show."""
    wall, monotonic = timezone.now, clocks.time.monotonic

    def set_to(ahead_s, *, passed_s=0):
        monkeypatch.setattr(timezone, "now", lambda: wall() + timedelta(seconds=ahead_s + passed_s))
        monkeypatch.setattr(clocks.time, "monotonic", lambda: monotonic() + passed_s)

    return set_to


# -- Attempts that are young --------------------------------------------------------------------------------------


def test_attempts_that_are_too_young_are_counted_with_the_time_from_which_all_can_be_judged(fetch, settings):
    settings.TMS_OPEN_AFTER_S = 3600
    attempts = [send(fetch, "a", token=LOST_AFTER), send_and_die(fetch, PENDING, "b")]
    code, printed = run_reconcile("--json")
    answer = json.loads(printed)
    assert (code, answer["open"], answer["need_token"], answer["need_person"]) == (0, 2, [], [])
    assert datetime.fromisoformat(answer["judged_from"]) == attempts[1].judged_from
    code, printed = run_reconcile()
    assert code == 0
    assert f"working on them: 2. Run it again after {attempts[1].judged_from:%F %T} UTC" in printed


def test_the_log_counts_what_is_open_as_the_json_does(fetch, settings, caplog):
    caplog.set_level("INFO")
    send(fetch, "a", token=LOST_AFTER)
    run(None)
    assert "need_token=1, need_person=0, open=0, open_attempts=1," in caplog.text
    settings.TMS_OPEN_AFTER_S = 3600
    assert json.loads(run_reconcile("--json")[1])["open"] == 1
    assert "need_token=0, need_person=0, open=1, open_attempts=1," in caplog.text


def test_what_can_be_judged_is_not_among_those_that_are_open(fetch):
    send(fetch, token=LOST_AFTER)
    answer = json.loads(run_reconcile("--json")[1])
    assert (answer["open"], len(answer["need_token"]), "judged_from" in answer) == (0, 1, False)


def test_on_a_timer_it_is_silent_unless_something_is_wrong(fetch, settings):
    settings.TMS_OPEN_AFTER_S = 3600
    attempt = send(fetch, token=LOST_AFTER)
    assert run_reconcile("-v0") == (0, "")
    code, printed = run_reconcile("-v0", "--json")
    assert (code, json.loads(printed)["open"]) == (0, 1)  # whoever asks for JSON reads it
    settings.TMS_OPEN_AFTER_S = 0
    code, printed = run_reconcile("-v0")
    assert code == 1
    assert str(attempt.attempt_id) in printed


# -- A clock that was set back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [PENDING, ""], ids=["died in the call", "unknown"])
def test_an_attempt_from_the_future_is_named(fetch, olivia, adam, set_clock, caplog, point):
    set_clock(7200)
    attempt = send_and_die(fetch, point) if point else send(fetch, token=LOST_AFTER)
    set_clock(0)
    code, printed = run_reconcile("--json")
    answer = json.loads(printed)
    assert (code, answer["open"], answer["need_person"]) == (2, 0, [str(attempt.attempt_id)])
    assert "judged_from" not in answer
    code, printed = run_reconcile()
    assert (code, printed.count(str(attempt.attempt_id))) == (2, 1)
    assert "TMS may still be working" not in printed
    assert "This server's clock is wrong, or was set back: the time of 1 open attempt is still to come." in printed
    assert f"Attempt {attempt.attempt_id} is open. {AHEAD} Set the clock right." in caplog.text
    client = signed_in(olivia)
    for path in ("/jobs/", f"/attempts/{attempt.attempt_id}/"):
        assert AHEAD in text_of(client.get(path))
    health = signed_in(adam).get("/health").json()
    assert health["open_attempts"] == 1
    assert health["oldest_open_s"] >= 0


def test_a_check_of_an_attempt_from_the_future_says_why_it_has_to_wait(fetch, tms, olivia, set_clock):
    set_clock(7200)
    attempt = send(fetch, token=LOST_AFTER)
    set_clock(0)
    answer = check(signed_in(olivia), attempt, token=TOKEN)  # signing in is no entry here
    assert answer.status_code == 409
    assert AHEAD in text_of(answer)
    assert reads(tms) == []


def test_an_attempt_from_the_future_ages_from_the_next_entry_of_the_audit_on(fetch, settings, set_clock):
    settings.TMS_OPEN_AFTER_S = 90
    set_clock(7200)
    attempt = send(fetch, token=LOST_BEFORE)
    set_clock(0)
    send(fetch, "c3")
    assert run_reconcile("--json")[0] == 2  # its call may be running still
    set_clock(0, passed_s=100)
    assert not attempt.is_young
    assert run().closed == 1
    assert now(attempt).outcome == Outcome.NOT_APPLIED


def test_clocks_of_two_hosts_that_differ_a_little_are_no_problem(fetch, settings, set_clock):
    settings.TMS_OPEN_AFTER_S = 90
    set_clock(clocks.CLOCK_SKEW_S - 5)
    send(fetch, token=LOST_AFTER)
    set_clock(0)
    code, printed = run_reconcile("--json")
    assert (code, json.loads(printed)["open"]) == (0, 1)


# -- A clock that is set ahead ------------------------------------------------------------------------------------


def test_a_clock_that_jumps_ahead_while_it_runs_proves_nothing(fetch, settings, monkeypatch, set_clock):
    settings.TMS_READBACK_INTERVAL_S = 60
    attempt = send(fetch, token=LOST_BEFORE)
    between_readings(monkeypatch, lambda: set_clock(3600))
    assert run().need_token == [attempt.attempt_id]
    assert now(attempt).is_open
    between_readings(monkeypatch, lambda: set_clock(3600, passed_s=61))
    assert run().closed == 1
    first, second = outcome_body(attempt)["readings"]
    assert second["begun_uptime_s"] - first["ended_uptime_s"] > 60
    assert first["boot_id"] == second["boot_id"]


def test_a_clock_that_jumps_ahead_between_two_presses_proves_nothing(fetch, tms, olivia, settings, set_clock):
    settings.TMS_READBACK_INTERVAL_S = 60
    client, attempt = signed_in(olivia), send(fetch, token=LOST_BEFORE)
    first = check(client, attempt, token=TOKEN)
    set_clock(120)
    second = check(client, attempt, first)
    assert "No sign of it so far: check again" in text_of(second)
    assert now(attempt).is_open
    set_clock(120, passed_s=61)
    assert check(client, attempt, second).status_code == 302
    assert now(attempt).outcome == Outcome.NOT_APPLIED


def test_a_clock_that_was_set_back_between_two_presses_makes_the_second_one_the_first(
    fetch, olivia, settings, set_clock
):
    settings.TMS_READBACK_INTERVAL_S = 60
    client, attempt = signed_in(olivia), send(fetch, token=LOST_BEFORE)
    set_clock(50)
    first = check(client, attempt, token=TOKEN)
    set_clock(0)
    second = check(client, attempt, first)
    set_clock(0, passed_s=61)
    assert check(client, attempt, second).status_code == 302


def test_an_action_that_came_later_by_the_order_of_the_audit_spoils_the_evidence(fetch, tms, set_clock):
    """By its time, an hour earlier, it was over before."""
    set_clock(3600)
    attempt = send(fetch, "a1", action="T-Enable", token=LOST_BEFORE)
    set_clock(0)
    send(fetch, "a1", action="PE-Enable")
    tms_does(tms, "Trans-Begin", "a1")
    set_clock(3700)
    assert run().need_person == [attempt.attempt_id]
