"""Where customers stand to an action, and that everybody on a list is counted once."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from audit.bodies import comparison_shown
from audit.choices import Action, Standing
from jobs.live.codes import NO_ACTION, UNREADABLE
from jobs.live.states import KnownState, KnownStates
from jobs.models import LiveReading
from setactions.live.comparison import FIRST_IDS, Comparison, groups_of, standing_of

CODES = (None, UNREADABLE, NO_ACTION, 1, 2, 3, 4, 5, 6)
NEXT, THERE, AHEAD, SKIPS = Standing.NEXT, Standing.THERE, Standing.AHEAD, Standing.SKIPS
BEFORE = (Standing.UNREAD, Standing.UNREADABLE, Standing.UNKNOWN)
READ_AT = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("action", "standings"),
    [
        (Action.TRANS_BEGIN, [THERE, AHEAD, AHEAD, AHEAD, AHEAD]),
        (Action.PE_ENABLE, [NEXT, THERE, AHEAD, AHEAD, AHEAD]),
        (Action.T_ENABLE, [SKIPS, NEXT, THERE, AHEAD, AHEAD]),
        (Action.PE_FINALIZE, [SKIPS, SKIPS, NEXT, THERE, AHEAD]),
        (Action.PE_DIRECT, [NEXT, NEXT, NEXT, AHEAD, THERE]),
    ],
)
def test_customers_stand_before_at_or_behind_an_action(action, standings):
    assert [standing_of(action, code) for code in CODES] == [*BEFORE, *standings, Standing.UNREADABLE]


def test_everybody_on_a_list_is_in_one_group_in_the_order_of_the_list():
    codes = CODES * 7
    cids = [f"c{number}" for number in range(len(codes))]
    groups = groups_of(Action.T_ENABLE, cids, codes)
    assert [group.standing for group in groups] == [*Standing]
    assert sorted((cid for group in groups for cid in group.cids), key=cids.index) == cids
    assert all([*group.cids] == sorted(group.cids, key=cids.index) for group in groups)
    ahead = next(group for group in groups if group.standing == AHEAD)
    assert ahead.states == [("PE-Finalize", 7), ("PE-Direct", 7)]
    assert ahead.first == [(cid, name) for cid, name in zip(ahead.cids, ["PE-Finalize", "PE-Direct"] * 7, strict=True)]
    unreadable = next(group for group in groups if group.standing == Standing.UNREADABLE)
    assert dict(unreadable.states) == {"not readable": 7, "action code 6": 7}


def test_of_a_long_group_the_first_are_named_and_the_others_counted():
    [group] = groups_of(Action.PE_ENABLE, [f"c{number}" for number in range(27_682)], (1,) * 27_682)
    assert (len(group.first), group.more_count) == (FIRST_IDS, 27_682 - FIRST_IDS)


def known(*readings):
    """What these readings, each with the codes of some customers, show of them."""
    by_cid = {cid: KnownState(code, reading) for reading, codes in readings for cid, code in codes.items()}
    return KnownStates(by_cid)


def read(minutes, source=LiveReading.Source.TMS, user_id="olivia"):
    at = READ_AT - timedelta(minutes=minutes)
    return LiveReading(pk=minutes, asked="ALL", source=source, user_id=user_id, began_at=at, ended_at=READ_AT)


def test_a_comparison_is_as_old_as_the_oldest_reading_and_given_if_any_was():
    old, new = read(9, user_id="oscar"), read(1)
    comparison = Comparison.of(known((new, {"a": 2}), (old, {"b": 3})), ["b", "x", "a"])
    assert comparison.codes == (3, None, 2)
    assert (comparison.read_at, comparison.read_for, comparison.source) == (old.began_at, "oscar", "tms")
    given = Comparison.of(known((read(1, LiveReading.Source.GIVEN), {"a": 2}), (old, {"b": 3})), ["a", "b"])
    assert (given.source, given.source_label) == ("given", "given by its user")
    assert Comparison.of(KnownStates(), ["a"]).read_at is None


def test_a_comparison_comes_back_from_a_page_as_it_was():
    comparison = Comparison.of(known((read(1), {"a": 2})), ["a", "x"], (3, 9))
    later = comparison.told([SimpleNamespace(pk=12), SimpleNamespace(pk=17)])
    assert (later.later_attempts, later.places) == (2, (18, 17))
    for each in (comparison, later, Comparison.of(KnownStates(), ["a"])):
        assert Comparison.from_json(each.as_json()) == each


def test_what_is_left_of_a_list_keeps_its_states():
    comparison = Comparison.of(known((read(1), {"a": 2, "b": 3, "c": 4})), ["a", "b", "c"])
    rest = comparison.without(["a", "b", "c"], frozenset({"b"}), were_there=True)
    assert (rest.codes, rest.left_out) == ((2, 4), 1)
    assert rest.without(["a", "c"], frozenset({"a"}), were_there=False).left_out == 1


def test_the_audit_keeps_the_numbers_and_says_them_in_words():
    cids = ["a", "b", "c", "d"]
    comparison = Comparison.of(known((read(1), {"a": 2, "b": 3, "c": 4})), cids).told([SimpleNamespace(pk=5)])
    compared = comparison.without(cids, frozenset({"b"}), were_there=True).for_intent(Action.T_ENABLE, ["a", "c", "d"])
    assert compared == {
        "read_at": "2026-11-29T12:29:00+00:00",
        "source": "tms",
        "read_for": "olivia",
        "counts": {"next": 1, "ahead": 1, "unread": 1},
        "left_out": 1,
        "later_attempts": 1,
    }
    assert comparison_shown({"compared": compared}) == (
        "1 will move on, 1 further on: would go back, 1 not read yet, 1 left out who were there already, "
        "1 attempt on these customers since then (read from TMS at 2026-11-29 12:29:00 UTC for olivia)"
    )


@pytest.mark.parametrize("compared", [None, "x", [1], {}, {"counts": "x"}, {"counts": {"next": "x"}, "read_at": 7}])
def test_what_somebody_else_wrote_into_an_intent_breaks_no_page(compared):
    assert isinstance(comparison_shown({"compared": compared}), str)
    assert comparison_shown({}) == ""
