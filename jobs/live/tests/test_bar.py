"""The bar of states: drawn whole, and no number hidden."""

import pytest

from jobs.live.bar import LENGTH, Bar, part_of_state


@pytest.mark.parametrize("counts", [(1,), (1, 27_682), (3, 3, 3), (1, 0, 10**6, 1, 1, 5), (0,), ()])
def test_the_parts_fill_the_bar_without_gaps_and_each_is_seen(counts):
    bar = Bar([part_of_state(code, count) for code, count in enumerate(counts, start=1)])
    assert bar.total == sum(counts)
    begin = 0
    for part, place, length in bar.drawn:
        assert (place, length > 0, part.count > 0) == (begin, True, True)
        begin += length
    assert begin == (LENGTH if any(counts) else 0)


def test_the_bar_is_told_to_those_who_do_not_see_it():
    parts = [part_of_state(2, 1204), part_of_state(0, 8), part_of_state(-1, 1), part_of_state(None, 2)]
    assert Bar(parts).in_words == (
        "1,215 customers: PE-Enable 1,204, not known to TMS 8, not readable 1, not read yet 2."
    )
    assert Bar([]).in_words == "No customers."
