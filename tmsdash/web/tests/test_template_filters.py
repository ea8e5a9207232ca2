"""What templates say of times and numbers, in the words of Django's own filters, which take ten times as long."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.humanize.templatetags import humanize
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from tmsdash.web.template_filters import ago_in_words, number, shown_clock, shown_time, written_time

SECONDS = st.one_of(*(st.integers(-(10**digits), 10**digits) for digits in (2, 4, 6, 9)))


class Frozen(datetime):
    """A clock that stands still, for Django."""

    moment = datetime(2026, 3, 31, 12, tzinfo=UTC)

    @classmethod
    def now(cls, tz=None):
        return cls.moment


@given(st.integers(0, 4 * 10**9), SECONDS)
@example(int(datetime(2028, 3, 3, tzinfo=UTC).timestamp()), 3 * 86_400)  # since February 29th
def test_how_long_ago_is_in_the_words_of_naturaltime(timestamp, seconds):
    Frozen.moment = datetime.fromtimestamp(timestamp, UTC)
    at = Frozen.moment - timedelta(seconds=seconds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(humanize, "datetime", Frozen)
        assert ago_in_words(at, Frozen.moment) == str(humanize.naturaltime(at))


@pytest.mark.parametrize(
    ("zone", "day", "clock"),
    [
        ("UTC", "2026-03-05", "20:08:09 UTC"),
        ("Europe/Berlin", "2026-03-05", "21:08:09 CET"),
        ("Asia/Dubai", "2026-03-06", "00:08:09 +04"),  # which has no short name
        ("Asia/Kathmandu", "2026-03-06", "01:53:09 +0545"),
    ],
)
def test_a_time_is_shown_in_the_zone_that_is_chosen_and_on_hover_and_for_scripts_in_utc(monkeypatch, zone, day, clock):
    at = datetime(2026, 3, 5, 20, 8, 9, 123456, tzinfo=UTC)
    monkeypatch.setattr("django.utils.timezone.now", lambda: at + timedelta(hours=5))
    precise = 'datetime="2026-03-05T20:08:09.123456+00:00" title="2026-03-05 20:08:09 UTC"'
    with timezone.override(zone):
        ago = '<span class="ago">(5\xa0hours ago)</span>'
        assert shown_time(at) == f"<time {precise} data-ago>{day} {clock} {ago}</time>"
        assert shown_clock(at) == f'<time {precise}>{clock} <span class="ago">{day}</span></time>'


def test_an_hour_that_comes_twice_is_told_apart_by_its_zone():
    with timezone.override("Europe/Berlin"):
        shown = [written_time(datetime(2026, 10, 25, hour, 30, tzinfo=UTC)) for hour in (0, 1)]
    assert shown == ["2026-10-25 02:30:00 CEST", "2026-10-25 02:30:00 CET"]


def test_what_is_no_time_or_out_of_every_calendar_does_not_take_the_page_away():
    with timezone.override("Asia/Kathmandu"):
        assert (shown_time(None), shown_clock(None)) == ("unknown", "")
        assert "9999-12-31 23:59:59 UTC" in shown_time(datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (999, "999"), (27682, "27,682"), (-1000, "-1,000"), ("<b>", "<b>"), (None, "None")]
)
def test_whole_numbers_have_commas_and_anything_else_is_text(value, shown):
    assert number(value) == shown
