"""What ids of many shapes look like: usual, merely unusual, or damaged, and how."""

import pytest

from setactions.inputs.ids import is_allowed
from setactions.inputs.shapes import UNUSUAL, has_damaged, shape_of
from setactions.inputs.tests.shapes import DAMAGED_IDS, MERELY_UNUSUAL, USUAL


@pytest.mark.parametrize("what", DAMAGED_IDS)
def test_what_programs_and_people_make_of_ids_is_damaged(what):
    cids = DAMAGED_IDS[what]
    assert {cid: shape_of(cid) for cid in cids} == dict.fromkeys(cids, f"damaged ({what})")
    assert all(map(is_allowed, cids))  # they are taken on somebody's word
    assert has_damaged([*USUAL, cids[0]])


def test_what_may_well_be_an_id_is_at_most_unusual():
    assert {cid: shape_of(cid) for cid in MERELY_UNUSUAL} == dict.fromkeys(MERELY_UNUSUAL, UNUSUAL)
    assert [shape_of(cid) for cid in USUAL] == [""] * len(USUAL)
    assert not has_damaged([*USUAL, *MERELY_UNUSUAL])
