"""What templates say of times and numbers, in the words of Django's own filters, which take ten times as long."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.humanize.templatetags import humanize
from hypothesis import example, given
from hypothesis import strategies as st

from tmsdash.web.template_filters import ago_in_words, number, utc_time

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


def test_a_time_is_shown_to_the_second_and_for_scripts_in_full(monkeypatch):
    at = datetime(2026, 3, 5, 7, 8, 9, 123456, tzinfo=UTC)
    monkeypatch.setattr("django.utils.timezone.now", lambda: at + timedelta(hours=5))
    assert utc_time(at) == (
        '<time datetime="2026-03-05T07:08:09.123456+00:00" data-ago>2026-03-05 07:08:09 UTC '
        '<span class="ago">(5\xa0hours ago)</span></time>'
    )


def test_what_is_no_time_does_not_take_the_page_away():
    assert utc_time(None) == "unknown"


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (999, "999"), (27682, "27,682"), (-1000, "-1,000"), ("<b>", "<b>"), (None, "None")]
)
def test_whole_numbers_have_commas_and_anything_else_is_text(value, shown):
    assert number(value) == shown
