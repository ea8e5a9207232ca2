"""Reading get/action of a cluster, over HTTP."""

from datetime import UTC, datetime

import pytest

from audit.choices import Action
from jobs.live.codes import UNREADABLE
from setactions.devtools.simulator.fleet import Fleet
from setactions.reads import ReadingFailedError
from setactions.resolving.readback import read_states
from setactions.resolving.tests.doubting import reads, tms_does
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN

pytestmark = [pytest.mark.pages, pytest.mark.usefixtures("databases")]
NONE = 0  # no action yet

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
