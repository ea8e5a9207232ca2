"""Pages of a list: what they hold, where they lead, and that no address asks for a page that cannot be shown."""

import pytest
from django.contrib.auth.models import Group
from django.db.models import Q

from tmsdash.web.paging import numbered_page, page_behind

ROWS = [f"r{number}" for number in range(1, 8)]


def numbered(number, rows=ROWS):
    return numbered_page(rows, number, 3, "?page={}".format)


def test_a_page_in_the_middle_leads_both_ways_and_counts_its_rows_from_one():
    page = numbered("2")
    assert page.rows == ["r4", "r5", "r6"]
    assert (page.number, page.count, page.start) == (2, 3, 4)
    assert (page.back, page.onward) == ("?page=1", "?page=3")


def test_the_first_and_the_last_page_lead_one_way_only():
    assert (numbered("1").back, numbered("1").onward) == ("", "?page=2")
    assert (numbered("3").back, numbered("3").onward) == ("?page=2", "")
    assert numbered("3").rows == ["r7"]


def test_a_short_list_has_one_page_and_an_empty_one_too():
    for rows in (["a", "b", "c"], []):
        page = numbered(None, rows)
        assert (page.rows, page.count, page.start, page.back, page.onward) == (rows, 1, 1, "", "")


@pytest.mark.parametrize(
    ("number", "expected"),
    [(None, 1), ("", 1), ("0", 1), ("-1", 1), ("x", 1), ("1.5", 1), ("²", 1), ("9" * 99, 1), ("4", 3), ("9" * 9, 3)],
)
def test_a_number_that_is_none_shows_the_first_page_and_one_too_high_the_last(number, expected):
    assert numbered(number).number == expected


@pytest.fixture
def groups(databases):
    Group.objects.all().delete()
    return [Group.objects.create(name=f"g{number}") for number in range(5)][::-1]


def behind(key):
    return page_behind(
        Group.objects.order_by("-pk"),
        str(key),
        2,
        lambda group: Q(pk__lt=group.pk),
        lambda **place: f"/groups/{place or ''}",
    )


def test_pages_behind_a_row_hold_what_follows_and_lead_back_to_the_newest(groups):
    page = behind("")
    assert (page.rows, page.back, page.onward) == (groups[:2], "", f"/groups/{{'before': {groups[1].pk}}}")
    page = behind(groups[1].pk)
    assert (page.rows, page.back, page.onward) == (groups[2:4], "/groups/", f"/groups/{{'before': {groups[3].pk}}}")
    page = behind(groups[3].pk)
    assert (page.rows, page.back, page.onward) == (groups[4:], "/groups/", "")
    page = behind(groups[4].pk)
    assert (page.rows, page.back, page.onward) == ([], "/groups/", "")


def test_a_full_last_page_offers_nothing_behind_it(groups):
    groups.pop().delete()
    assert behind(groups[1].pk).onward == ""


def test_a_new_row_moves_no_page(groups):
    before = behind(groups[1].pk).rows
    Group.objects.create(name="new")
    assert behind(groups[1].pk).rows == before


@pytest.mark.parametrize("key", ["", "x", "-1", "0", "1.5", 2**63 - 1, 2**63, "9" * 500, "²"])
def test_a_key_of_no_row_shows_the_newest(groups, key):
    assert behind(key).rows == groups[:2]
