"""What readings of get/action prove: the rules, and reading itself, over HTTP."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from audit.choices import Action
from audit.models import Attempt
from setactions.devtools.simulator.fleet import Fleet
from setactions.resolving.readback import (
    UNREADABLE,
    Judgement,
    Reading,
    ReadingFailedError,
    States,
    Verdict,
    examine,
    judge,
    read_states,
)
from setactions.resolving.tests.doubting import reads, tms_does
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash import clocks
from tmsdash.clocks import Moment
from tmsdash.tests.fixtures import TOKEN

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


# -- Reading over HTTP --------------------------------------------------------------------------------------------

ODD_IDS = [
    "a&b=c",
    "a+b",
    "50%",
    "a%20b",
    "%41LL",
    "ünïcödé",
    "客户",
    "a=b",
    "#x",
    "a/../b",
    "?x",
    "'q\"",
    "ALL",
    "all",
    "😀",
]


def counts(*cids, token=TOKEN):
    return read_states(cluster_named("evian3"), cids, Token(token)).reading_of(cids).counts


@pytest.mark.parametrize("cid", ODD_IDS)
def test_a_single_id_is_read_whatever_its_characters_are(tms, cid):
    tms_does(tms, "T-Enable", "other", "a", "b")
    assert counts(cid) == {NONE: 1}
    tms_does(tms, "PE-Direct", cid)
    assert counts(cid) == {Action.PE_DIRECT: 1}
    # That it is not there is asked for twice: TMS might take an id that it does not know for a mistake.
    assert reads(tms) == [(cid,), ("ALL",), (cid,)]


def test_that_a_single_id_is_not_listed_must_be_seen_in_the_list_of_all(tms):
    """A TMS that spells the id otherwise, or does not take it alone, must not pass for one that knows no action."""
    tms_does(tms, "T-Enable", "A1")
    assert counts("a1") == {UNREADABLE: 1}
    assert reads(tms) == [("a1",), ("ALL",)]


def test_an_answer_about_somebody_else_says_nothing_of_a_customer(tms, monkeypatch):
    original = Fleet.actions
    tms_does(tms, "PE-Enable", "b2", "a1")
    strange = {"b2": {"action_code": 2}}
    monkeypatch.setattr(Fleet, "actions", lambda self, cids: original(self, cids) if "ALL" in cids else strange)
    assert counts("a1") == {Action.PE_ENABLE: 1}


def test_several_ids_are_read_in_one_call_for_all(tms):
    tms_does(tms, "T-Enable", *ODD_IDS, "stranger")
    tms_does(tms, "PE-Enable", "a1", "b2")
    assert counts("b2", "x", *ODD_IDS, "a1", "X") == {NONE: 2, Action.PE_ENABLE: 2, Action.T_ENABLE: len(ODD_IDS)}
    assert reads(tms) == [("ALL",)]


def test_a_whole_fleet_is_read(tms):
    cids = [f"{number:032x}" for number in range(27_682)]
    tms_does(tms, "PE-Finalize", *cids[:20_000])
    assert counts(*cids) == {NONE: 7_682, Action.PE_FINALIZE: 20_000}


def test_a_reading_tells_when_it_was_made(tms):
    before = datetime.now(UTC)
    states = read_states(cluster_named("evian3"), ["a1"], Token(TOKEN))
    assert before <= states.begun.at <= tms.calls()[0].received_at <= states.ended.at <= datetime.now(UTC)


# Answers under HTTP 200 that are JSON, but not a list of customers' actions.
NO_STATES = {
    "null": None,
    "a list": [],
    "a list of states": [{"a1": {"action_code": 2}}],
    "a text": "a1",
    "a number": 2,
    "an error": {"message": "TMS bootstrap status(INIT) is not Ready", "success": False},
    "an error besides": {"a1": {"action_code": 2, "action_desc": "pe-enable"}, "error": "timed out"},
    "codes alone": {"a1": 2, "b2": 2},
    "no code": {"a1": {"action_desc": "pe-enable"}},
    "a null entry": {"a1": {"action_code": 2}, "b2": None},
}
NO_ANSWERS = [
    *("unauthorized", "http:401", "http:404", "http:429:30", "http:500", "http:503", "http:204", "http-json:201"),
    *("timeout", "body-drip", "reset-after", "close-after", "half-body", "broken-json", "html", "no-body", "null"),
    *("empty-list", "not-ready", "success-string", "nan", "redirect", "redirect:308", "deep-json", "echo-token"),
]


@pytest.mark.parametrize("cids", [("a1",), ("a1", "b2")], ids=["one", "several"])
@pytest.mark.parametrize("answer", NO_STATES.values(), ids=NO_STATES)
def test_json_that_is_no_list_of_actions_is_no_reading(tms, monkeypatch, answer, cids):
    monkeypatch.setattr(Fleet, "actions", lambda *_: answer)
    with pytest.raises(ReadingFailedError, match=r"^evian3 could not be read: its answer is not a list of customers'"):
        counts(*cids)


@pytest.mark.parametrize("code", ["2", True, False, 2.0, -1, -2, None, [2], {}], ids=repr)
def test_a_code_that_is_none_is_told_from_no_action(tms, monkeypatch, code):
    monkeypatch.setattr(Fleet, "actions", lambda *_: {"a1": {"action_code": code}, "b2": {"action_code": 5}})
    assert counts("a1", "b2", "c3") == {UNREADABLE: 1, NONE: 1, Action.PE_DIRECT: 1}


@pytest.mark.parametrize(
    ("listed", "asked"), [("a1", "A1"), ("A1", "a1"), ("STRASSE", "straße"), ("straße", "STRASSE"), ("É", "é")]
)
def test_an_id_that_is_listed_under_another_spelling_is_told_from_no_action(tms, listed, asked):
    tms_does(tms, "PE-Enable", listed)
    assert counts(listed, asked, "x") == {UNREADABLE: 1, NONE: 1, Action.PE_ENABLE: 1}


@pytest.mark.parametrize("fault", NO_ANSWERS)
def test_what_is_no_whole_answer_is_no_reading(tms, settings, fault):
    settings.TMS_DEADLINE_S = 1
    tms_does(tms, "PE-Enable", "a1")
    with pytest.raises(ReadingFailedError, match=r"^evian3 could not be read: .*\S"):
        counts("a1", token=f"fault:{fault}")
    assert len(reads(tms)) == 1  # no second try, no redirect followed


def test_an_answer_that_is_too_long_is_no_reading(tms, settings):
    settings.TMS_MAX_READ_BYTES = 1024
    tms_does(tms, "PE-Enable", *[f"c{number}" for number in range(100)])
    with pytest.raises(ReadingFailedError, match="too long"):
        counts("c1", "c2")


def test_a_cluster_that_cannot_be_reached_is_no_reading(tms):
    with pytest.raises(ReadingFailedError, match=r"^brooke could not be read: The connection to .* was refused"):
        read_states(cluster_named("brooke"), ["a1"], Token(TOKEN))


def test_why_there_is_no_reading_is_said_without_the_token(tms):
    secret = "fault:echo-token:planted-secret-token-0123456789"
    with pytest.raises(ReadingFailedError) as failed:
        counts("a1", "b2", token=secret)
    assert "planted" not in str(failed.value)
