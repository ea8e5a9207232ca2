"""What readings of get/action prove: the rules."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from audit.choices import Action
from audit.models import Attempt
from jobs.live.codes import UNREADABLE
from setactions.resolving.readback import (
    Judgement,
    Reading,
    States,
    Verdict,
    examine,
    judge,
)
from tmsdash import clocks
from tmsdash.clocks import Moment

BEGUN = datetime(2026, 3, 1, 12, tzinfo=UTC)
INTERVAL_S = 60
NONE = 0  # no action yet


def at(seconds):
    return BEGUN + timedelta(seconds=seconds)


def attempt(action=Action.T_ENABLE, *, created_s=0, decided_s=None, is_open=False, pk=None):
    decided_at = None if decided_s is None else at(decided_s)
    return Attempt(pk=pk, action_code=action, created_at=at(created_s), decided_at=decided_at, is_open=is_open)


def moment(seconds, *, clock_s=0, boot_id="this"):
    """So many seconds after the attempt, with the clock as much ahead."""
    return Moment(at(seconds + clock_s), 5_000.0 + seconds, boot_id)


def reading(codes, begun_s=100, ended_s=None, **changes):
    """A reading in which as many customers as stand there showed each code."""
    begun, ended = (moment(seconds, **changes) for seconds in (begun_s, begun_s if ended_s is None else ended_s))
    return Reading({code: codes.count(code) for code in sorted(set(codes))}, begun, ended)


def verdict(readings, *touching, action=Action.T_ENABLE):
    judgement = judge(attempt(action), touching, *readings)
    assert isinstance(judgement, Judgement)
    assert judgement.reason.endswith(".")
    assert judgement.readings == tuple(readings)
    return judgement.verdict


@pytest.fixture(autouse=True)
def minute_between_readings(settings):
    settings.TMS_READBACK_INTERVAL_S = INTERVAL_S


# -- One attempt that nothing else touches ------------------------------------------------------------------------


@pytest.mark.parametrize("action", Action)
def test_customers_that_all_show_the_action_prove_that_it_was_applied(action):
    assert verdict([reading([action, action])], action=action) == Verdict.APPLIED
    assert verdict([reading([action])], action=action) == Verdict.APPLIED


@pytest.mark.parametrize("action", Action)
def test_lower_codes_and_none_are_read_again_and_then_prove_that_nothing_was_applied(action):
    lower = [code for code in (NONE, *Action.values) if code < action]
    for codes in ([lower[0]], [lower[-1]], lower, [*lower, *lower]):
        first, second = reading(codes, 100), reading(codes, 100 + INTERVAL_S)
        assert verdict([first], action=action) == Verdict.READ_AGAIN
        assert verdict([first, second], action=action) == Verdict.NOT_APPLIED


@pytest.mark.parametrize(
    "codes",
    [
        [Action.PE_FINALIZE],
        [Action.PE_DIRECT, Action.PE_DIRECT],
        [Action.T_ENABLE, Action.PE_FINALIZE],
        [Action.T_ENABLE, Action.PE_ENABLE],
        [Action.T_ENABLE, NONE],
        [Action.PE_ENABLE, Action.PE_FINALIZE],
        [NONE, 6],
        [99],
        [UNREADABLE],
        [UNREADABLE, NONE],
        [UNREADABLE, Action.T_ENABLE],
    ],
)
def test_customers_that_moved_on_or_differ_are_for_a_person(codes):
    later = reading([NONE] * len(codes), 100 + INTERVAL_S)
    assert verdict([reading(codes)]) == Verdict.UNCLEAR
    assert verdict([reading([NONE] * len(codes)), reading(codes, 100 + INTERVAL_S)]) == Verdict.UNCLEAR
    assert verdict([reading(codes), later]) == Verdict.UNCLEAR


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((100, 100), (160, 160), Verdict.NOT_APPLIED),
        ((100, 100), (159, 300), Verdict.READ_AGAIN),
        ((100, 150), (160, 220), Verdict.READ_AGAIN),  # between the answers, not between the questions
        ((100, 150), (210, 210), Verdict.NOT_APPLIED),
        ((160, 160), (100, 100), Verdict.READ_AGAIN),  # the clock was set back
        ((100, 100), (100, 100), Verdict.READ_AGAIN),
    ],
)
def test_the_readings_are_an_interval_apart_from_end_to_beginning(first, second, expected):
    assert verdict([reading([NONE], *first), reading([NONE], *second)]) == expected


@pytest.mark.parametrize(
    "changes",
    [{"clock_s": 3600, "seconds": 101}, {"clock_s": -3600}, {"clock_s": -1}, {"boot_id": "another"}],
    ids=["the clock was set ahead", "set back", "set back a little", "on another host, or after a reboot"],
)
def test_time_that_one_clock_alone_shows_proves_nothing(changes):
    begun_s = changes.pop("seconds", 100 + INTERVAL_S)
    assert verdict([reading([NONE]), reading([NONE], begun_s, **changes)]) == Verdict.READ_AGAIN


@pytest.mark.parametrize(
    ("changes", "readings"), [({}, 2), ({"clock_s": 3600}, 2), ({"clock_s": -3600}, 1), ({"boot_id": "another"}, 1)]
)
def test_a_first_reading_that_cannot_be_compared_is_replaced(databases, changes, readings):
    """Else the page would carry it on, and every press of its button would be in vain."""
    later = moment(101, **changes)
    judgement = examine(attempt(), ["a1"], States({"a1": NONE}, later, later), reading([NONE]))
    assert (judgement.verdict, len(judgement.readings)) == (Verdict.READ_AGAIN, readings)


def test_a_reading_in_a_page_of_an_older_release_compares_with_nothing():
    old = {"counts": {"0": 1}, "begun_at": at(100).isoformat(), "ended_at": at(100).isoformat()}
    assert clocks.now().seconds_since(Reading.from_json(old).ended) is None


def test_what_a_slow_tms_applies_between_the_readings_is_applied():
    assert verdict([reading([NONE, NONE]), reading([Action.T_ENABLE] * 2, 101)]) == Verdict.APPLIED


def test_what_it_applies_for_some_only_is_for_a_person():
    assert verdict([reading([NONE, NONE]), reading([Action.T_ENABLE, NONE], 160)]) == Verdict.UNCLEAR


# -- Other attempts that touched the customers --------------------------------------------------------------------


@pytest.mark.parametrize("codes", [[Action.T_ENABLE], [NONE], [Action.PE_ENABLE, NONE], [Action.PE_FINALIZE]])
@pytest.mark.parametrize(
    "other",
    [attempt(decided_s=-3600), attempt(decided_s=3600), attempt(is_open=True)],
    ids=["earlier", "later", "open"],
)
def test_the_same_action_by_another_attempt_is_always_for_a_person(codes, other):
    readings = [reading(codes), reading(codes, 200)]
    assert verdict(readings, attempt(Action.TRANS_BEGIN, decided_s=-1), other) == Verdict.UNCLEAR
    assert str(other.attempt_id) in judge(attempt(), [other], *readings).reason


@pytest.mark.parametrize("action", [Action.TRANS_BEGIN, Action.PE_ENABLE, Action.PE_FINALIZE, Action.PE_DIRECT])
def test_another_action_that_was_over_before_spoils_nothing(action):
    before = attempt(action, created_s=-5, decided_s=-0.000001)
    assert verdict([reading([Action.T_ENABLE])], before) == Verdict.APPLIED
    assert verdict([reading([NONE])], before) == Verdict.READ_AGAIN
    assert verdict([reading([NONE]), reading([NONE], 160)], before) == Verdict.NOT_APPLIED


@pytest.mark.parametrize("action", [Action.TRANS_BEGIN, Action.PE_ENABLE, Action.PE_FINALIZE, Action.PE_DIRECT])
@pytest.mark.parametrize(
    "values", [{"decided_s": 0}, {"decided_s": 50}, {"is_open": True, "decided_s": -5}, {}], ids=str
)
def test_another_action_that_may_have_come_since_leaves_a_lower_code_to_a_person(action, values):
    since = attempt(action, **values)
    assert verdict([reading([Action.PE_ENABLE])], since) == Verdict.UNCLEAR
    assert verdict([reading([NONE]), reading([NONE], 160)], since) == Verdict.UNCLEAR
    assert verdict([reading([Action.T_ENABLE])], since) == Verdict.APPLIED  # only we can have done this


@pytest.mark.parametrize(
    "values", [{"created_s": -3600, "pk": 8}, {"created_s": -60, "pk": 6}], ids=["later", "earlier, over later"]
)
def test_a_clock_that_was_set_back_hides_no_other_action(values):
    """By the clock it was over an hour before this one began; the order in the audit, or its own times, say more."""
    other, readings = attempt(Action.PE_ENABLE, decided_s=-3599, **values), [reading([NONE]), reading([NONE], 160)]
    assert judge(attempt(pk=7), [other], *readings).verdict == Verdict.UNCLEAR


# -- A reading as it is kept --------------------------------------------------------------------------------------


def test_a_reading_comes_back_from_json_as_it_was():
    kept = reading([NONE, NONE, Action.PE_DIRECT, 17], 3.141592, 59.5)
    assert Reading.from_json(json.loads(json.dumps(kept.as_json()))) == kept


def test_a_reading_in_words_names_actions_and_counts():
    kept = reading([NONE] * 1500 + [Action.PE_ENABLE, 17, UNREADABLE])
    assert kept.in_words() == "not readable: 1, no action: 1,500, PE-Enable: 1, action code 17: 1"
