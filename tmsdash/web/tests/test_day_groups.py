"""Rows of lists by days: where a day begins in the zone that is shown, and what its heading and its rows say."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from tmsdash.web.day_groups import by_day, clock_of_day, heading_of
from tmsdash.web.table_rows import rows_by_day

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


def at(day, hour, minute=0, month=3):
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def days_of(*times):
    """The headings of a list of rows that were made at `times`, each with what its rows say of their time."""
    rows = [SimpleNamespace(made=SimpleNamespace(at=time)) for time in times]
    groups = by_day(rows, "made.at")
    return {
        text_of(heading_of(group.day)): [text_of(clock_of_day(row.made.at)) for row in group.rows] for group in groups
    }


def text_of(html):
    return re.sub("<[^>]*>", "", html)


@pytest.fixture(autouse=True)
def now(monkeypatch):
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        (
            "UTC",
            {
                "Today · Tuesday, 31 March 2026 · UTC": ["11:59:00 (a minute ago)", "00:00:00 (12\xa0hours ago)"],
                "Yesterday · Monday, 30 March 2026 · UTC": ["23:59:00 (12\xa0hours ago)"],
                "Sunday, 29 March 2026 · UTC": ["20:15:00"],
            },
        ),
        (
            "Asia/Kathmandu",  # where a day begins a quarter of an hour after one of UTC's
            {
                "Today · Tuesday, 31 March 2026 · +0545": [
                    *("17:44:00 (a minute ago)", "05:45:00 (12\xa0hours ago)", "05:44:00 (12\xa0hours ago)")
                ],
                "Yesterday · Monday, 30 March 2026 · +0545": ["02:00:00"],
            },
        ),
    ],
)
def test_rows_stand_below_the_day_that_they_are_of_where_they_are_shown(zone, days):
    with timezone.override(zone):
        assert days_of(at(31, 11, 59), at(31, 0), at(30, 23, 59), at(29, 20, 15)) == days


def test_where_the_clock_is_changed_each_row_names_its_zone():
    with timezone.override("Europe/Berlin"):
        assert days_of(at(29, 22), at(29, 21, 59), at(29, 1), at(29, 0, 59), at(28, 23), at(28, 22, 59)) == {
            "Yesterday · Monday, 30 March 2026 · CEST": ["00:00:00"],
            "Sunday, 29 March 2026 · CET and CEST": [
                *("23:59:00 CEST", "03:00:00 CEST", "01:59:00 CET", "00:00:00 CET"),
            ],
            "Saturday, 28 March 2026 · CET": ["23:59:00"],
        }
        assert days_of(at(25, 1, month=10), at(25, 0, month=10)) == {
            "Sunday, 25 October 2026 · CEST and CET": ["02:00:00 CET", "02:00:00 CEST"]
        }


def test_the_order_of_a_list_stays_and_what_has_no_time_is_listed_too():
    days = by_day([SimpleNamespace(at=time) for time in (at(1, 9), None, at(2, 9), at(1, 8))], "at")
    assert [heading_of(group.day).partition(" ·")[0] for group in days] == [
        *("Sunday, 1 March 2026", "Time unknown", "Monday, 2 March 2026", "Sunday, 1 March 2026")
    ]
    assert clock_of_day(None) == "unknown"


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)])
def test_a_row_where_a_calendar_ends_takes_no_list_away(zone, moment):
    with timezone.override(zone):
        [(heading, [clock])] = days_of(moment).items()
    assert f" {moment.year} · " in heading
    assert re.match(r"\d\d:\d\d:\d\d", clock)


def test_a_table_has_a_body_for_each_day_whose_heading_spans_it_and_what_belongs_to_a_row_stays_with_it():
    before = NOW - timedelta(days=1)
    cells = [{"at": NOW, "name": "<a>"}, {"time": "later", "name": "part of a"}, {"at": before, "name": "b"}]
    row = "<tr><td>{time}</td><td>{name}</td></tr>"
    assert rows_by_day(row, cells) == (
        '<tbody>\n<tr class="day"><th colspan="2" scope="rowgroup"><span data-day="2026-03-31">Today · </span>'
        "Tuesday, 31 March 2026 · UTC</th></tr>\n"
        f"<tr><td>{clock_of_day(NOW)}</td><td>&lt;a&gt;</td></tr>\n"
        "<tr><td>later</td><td>part of a</td></tr>\n</tbody>\n"
        '<tbody>\n<tr class="day"><th colspan="2" scope="rowgroup"><span data-day="2026-03-30">Yesterday · </span>'
        "Monday, 30 March 2026 · UTC</th></tr>\n"
        f"<tr><td>{clock_of_day(before)}</td><td>b</td></tr>\n</tbody>"
    )
    assert rows_by_day(row, []) == ""
