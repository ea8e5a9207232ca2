"""The summary above User Jobs Audit, and the filters that it shares with the lists."""

import re
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.contrib.auth.models import Permission
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.choices import LEGACY_SOURCES, Action, Kind, OutcomeGroup
from audit.models import Attempt, AuditEntry
from audit.summary import HEIGHT, WIDTH, summarize
from audit.tally_state import attempts_in_doubt
from audit.tests.making import make_attempt, record, refuse
from jobs.tests.making import make_job
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of
from tmsdash.web.admin_filters import VALUES_SHOWN

pytestmark = pytest.mark.usefixtures("databases")

LISTS = ("/admin/jobs/job/", "/admin/audit/attempt/", "/admin/audit/auditentry/")


def ago(**span):
    return mock.patch("django.utils.timezone.now", return_value=timezone.now() - timedelta(**span))


@pytest.fixture
def week():
    """Attempts of the last days: three two days ago, one yesterday, two today, and one long ago."""
    with ago(days=400):
        make_attempt(Kind.ACCEPTED, cids=("old",))
    with ago(days=2):
        make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=("a", "b", "c"))
        make_attempt(Kind.REJECTED, cids=("d",), message="not Ready", user_id="oscar")
        make_attempt(Kind.REJECTED, cids=("e",), message="not Ready", action=Action.T_ENABLE)
    with ago(days=1):
        make_attempt(Kind.UNKNOWN, cids=("f",), message="lost", cluster_url="https://brooke.example")
    refuse(cids=("g",), message="Repeated.", source="api")
    make_attempt(Kind.UNKNOWN, Kind.APPLIED, cids=("h", "i"))


def day(days_ago):
    return f"{timezone.now() - timedelta(days=days_ago):%Y-%m-%d}"


def test_attempts_are_counted_by_day_and_group(week):
    first = timezone.now() - timedelta(days=3)
    summary = summarize(Attempt.objects.filter(created_at__gte=first), first, None)
    assert (summary.unit, summary.total, summary.customers, summary.most) == ("day", 6, 5, 3)
    assert [(period.name, period.counts) for period in summary.periods] == [
        (day(3), [0, 0, 0, 0]),
        (day(2), [1, 0, 2, 0]),
        (day(1), [0, 1, 0, 0]),
        (day(0), [1, 0, 0, 1]),
    ]
    assert summary.outcomes[0] == ("Rejected by TMS", "rejected", 2)
    assert {label for label, _, _ in summary.outcomes} == {
        "Rejected by TMS",
        "Accepted",
        "Outcome unknown",
        "Refused",
        "Accepted, confirmed by reading back",
    }
    assert summary.errors == [("not Ready", 2), ("Repeated.", 1), ("lost", 1)]


def test_the_bars_of_the_chart_lie_within_it_and_upon_each_other(week):
    first = timezone.now() - timedelta(days=3)
    bars = [period.bars for period in summarize(Attempt.objects.filter(created_at__gte=first), first, None).periods]
    assert [[bar.group for bar in column] for column in bars] == [
        [],
        ["accepted", "failed"],
        ["unknown"],
        ["accepted", "refused"],
    ]
    highest = bars[1]
    assert (highest[0].y + highest[0].height, highest[1].y) == (HEIGHT, 0)
    assert highest[0].y == pytest.approx(highest[1].height, abs=0.02)
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH for column in bars for bar in column)


def test_a_long_time_is_counted_by_month(week):
    summary = summarize(Attempt.objects.all(), None, None)
    assert (summary.unit, summary.total) == ("month", 7)
    assert 13 <= len(summary.periods) <= 15
    assert sum(period.total for period in summary.periods) == 7


def test_all_of_time_is_no_longer_than_what_happened_in_it(week):
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
    summary = summarize(Attempt.objects.all(), first, last)
    assert (summary.unit, summary.total) == ("month", 7)
    assert 13 <= len(summary.periods) <= 15
    assert [period.name for period in summarize(Attempt.objects.none(), first, last).periods] == ["9999-12"]


def test_months_without_attempts_are_shown_within_ten_years():
    summary = summarize(Attempt.objects.all(), datetime(2024, 11, 30, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    names = [period.name for period in summary.periods]
    assert (len(names), names[:2], names[-2:]) == (15, ["2024-11", "2024-12"], ["2025-12", "2026-01"])


def test_an_attempt_where_the_calendar_ends_takes_no_list_away(week, audrey):
    attempt = make_attempt(Kind.ACCEPTED)
    for at in (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)):
        Attempt.objects.filter(pk=attempt.pk).update(created_at=at)
        for query in ("", "?time=all", "?since=9999-12-31", "?until=0001-01-01"):
            assert signed_in(audrey).get(LISTS[0] + query).status_code == 200, (at, query)


def test_midnight_in_utc_parts_the_days():
    for at in (datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)):
        with mock.patch("django.utils.timezone.now", return_value=at):
            make_attempt(Kind.ACCEPTED)
    summary = summarize(Attempt.objects.all(), datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, 23, tzinfo=UTC))
    assert [(period.name, period.total) for period in summary.periods] == [("2026-03-01", 1), ("2026-03-02", 1)]


def test_nothing_sums_up_to_nothing():
    summary = summarize(Attempt.objects.all(), None, None)
    assert (summary.total, summary.most, summary.errors, summary.outcomes) == (0, 0, [], [])


@pytest.mark.sqlite
@pytest.mark.parametrize("days", [None, 365, 92, 30])
@pytest.mark.parametrize(
    "filters", [{}, {"user_id": "olivia"}, {"action_code": 2, "cluster_url": "x", "source": "api"}]
)
def test_errors_are_counted_from_an_index_of_failed_attempts_alone(week, days, filters):
    first = days and timezone.now() - timedelta(days=days)
    with CaptureQueriesContext(connections["audit"]) as captured:
        summarize(Attempt.objects.exclude(source__in=LEGACY_SOURCES).filter(**filters), first, None)
    [sql] = [query["sql"] for query in captured if "ORDER BY 2 DESC" in query["sql"]]
    with connections["audit"].cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        plan = " ".join(row[3] for row in cursor.fetchall())
    if days in (30, 92):
        assert "SEARCH audit_attempt USING COVERING INDEX attempt_by_error (created_at>? AND created_at<?)" in plan
    else:
        assert "USING COVERING INDEX attempt_by_message" in plan
        assert "TEMP B-TREE FOR GROUP BY" not in plan


@pytest.mark.sqlite
def test_attempts_in_doubt_are_counted_from_an_index_of_unfinished_ones_alone(week):
    filters = {"action_code__exact": "2", "user_id": "olivia"}
    assert (
        "attempt_unfinished"
        in attempts_in_doubt(Attempt.objects.filter(**filters, created_at__lte=timezone.now())).explain()
    )


# -- On the page --------------------------------------------------------------------------------------------------


def heading(client, **query):
    page = client.get(LISTS[0], query).content.decode()
    found = re.search(r'<h2 id="summary-title">(.*?)</h2>', page, re.DOTALL)
    return found and " ".join(found[1].split())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "6 attempts, 5 customers accepted"),
        ({"time": "all"}, "7 attempts, 6 customers accepted"),
        ({"time": "1"}, "2 attempts, 2 customers accepted"),
        ({"user_id": "oscar"}, "1 attempt, 0 customers accepted"),
        ({"source": "api"}, "1 attempt, 0 customers accepted"),
        ({"cluster_url": "https://brooke.example"}, "1 attempt, 0 customers accepted"),
        ({"action_code__exact": "3"}, "1 attempt, 0 customers accepted"),
        ({"user_id": "nobody"}, "0 attempts, 0 customers accepted"),
        ({"q": "olivia"}, None),
    ],
)
def test_the_summary_is_that_of_time_and_filters(week, audrey, query, expected):
    assert heading(signed_in(audrey), **query) == expected


def test_the_page_shows_chart_table_and_errors_and_leads_to_the_attempts(week, audrey):
    page = signed_in(audrey).get(LISTS[0], {"user_id": "olivia", "p": "1"})
    text = text_of(page)
    for shown in ("Attempts per day (UTC), maximum 2", "The chart as a table", "Most frequent errors", "not Ready"):
        assert shown in text
    assert page.content.decode().count("<rect ") == 5
    table = page.content.decode().partition('aria-label="Attempts per day"')[2]
    heads = re.findall(r'<th scope="col" class="number">([^<]*)<', table)
    [cells, *_] = re.findall('<tr><th scope="row">.*?</tr>', table)
    assert re.findall('<td data-label="([^"]*)" class="number">', cells) == heads[: len(OutcomeGroup) + 1]
    assert 'href="/admin/audit/attempt/?user_id=olivia"' in page.content.decode()
    assert "style=" not in page.content.decode().partition("summary-title")[2].partition("</section>")[0]


def test_the_summary_is_for_those_who_may_see_all_attempts(week, oscar):
    oscar.is_staff = True
    oscar.save()
    oscar.user_permissions.add(Permission.objects.get(codename="view_job"))
    assert heading(signed_in(oscar)) is None
    assert signed_in(oscar).get(LISTS[0]).status_code == 200


# -- Filters ------------------------------------------------------------------------------------------------------


def rows(client, path, **query):
    answer = client.get(path, query)
    assert answer.status_code == 200
    return len(answer.context["cl"].result_list)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_shows_the_last_30_days_unless_it_is_about_one_thing(audrey, path):
    with ago(days=31):
        old = make_attempt(user_id="ruth")
        make_job(job_id=old.attempt_id, user_id="ruth", cids=("a1",))
    with ago(days=29):
        new = make_attempt(cids=("n",))
        make_job(job_id=new.attempt_id)
    client, found = signed_in(audrey), lambda **query: rows(signed_in(audrey), path, **query)
    id_field = "job_id" if "job" in path else "attempt_id"
    assert (found(), found(time="30"), found(time="7"), found(time="90"), found(time="all")) == (1, 1, 0, 2, 2)
    assert found(time="x") == 1
    assert (found(q="ruth"), found(q="a1"), found(q=str(old.attempt_id))) == (1, 1, 1)
    assert found(**{id_field: str(old.attempt_id)}) == 1
    assert found(q="ruth", time="30") == 0
    assert '<option value="" selected>Last 30 days</option>' in client.get(path).content.decode()


@pytest.mark.parametrize("path", LISTS)
def test_a_list_shows_the_days_that_are_asked_for(audrey, path):
    for at in (datetime(2026, 3, 1, 0, tzinfo=UTC), datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)):
        with mock.patch("django.utils.timezone.now", return_value=at):
            make_job(job_id=make_attempt().attempt_id)
    found = lambda **query: rows(signed_in(audrey), path, **query)  # noqa: E731
    assert found() == 0
    assert found(since="2026-03-01") == 2
    assert found(since="2026-03-02") == found(until="2026-03-01") == 1
    assert found(since="2026-03-02", until="2026-03-02") == 1
    assert found(since="2026-03-03", until="2026-03-05") == 0
    assert found(since="2026-03-02", time="7") == 1  # days go before periods
    page = signed_in(audrey).get(path, {"since": "2026-03-02", "user_id": "olivia"}).content.decode()
    assert 'name="since" value="2026-03-02"' in page
    assert '<input type="hidden" name="user_id" value="olivia">' in page


@pytest.mark.parametrize("wrong", ["2026-02-30", "yesterday", "2026", "<b>", "9" * 100])
def test_what_is_no_day_is_told(audrey, wrong):
    answer = signed_in(audrey).get(LISTS[1], {"since": wrong})
    assert "is no day. Write year-month-day, such as 2026-02-28." in text_of(answer)
    assert b"<b> is" not in answer.content


def test_filters_offer_what_there_is(week, audrey):
    text = text_of(signed_in(audrey).get(LISTS[1])).partition("Filter")[2]
    for title in ("Period", "Any outcome", "Any action", "Any cluster", "Any source", "Any user"):
        assert title in text
    assert "evian3 (http://127.0.0.1:1)" in text
    assert "oscar" in text


def test_a_cluster_that_is_not_configured_any_more_can_be_asked_for(week, audrey):
    answer = signed_in(audrey).get(LISTS[1], {"cluster_url": "https://brooke.example"})
    assert "https://brooke.example" in text_of(answer).partition("Filter")[2]
    assert rows(signed_in(audrey), LISTS[1], cluster_url="https://brooke.example") == 1
    assert rows(signed_in(audrey), LISTS[1], cluster_url="https://nowhere.example") == 0


def test_so_many_users_that_nobody_would_read_them_are_cut(audrey):
    for number in range(VALUES_SHOWN + 3):
        refuse(user_id=f"user{number:03}")
    page = signed_in(audrey).get(LISTS[1]).content.decode()
    assert f"<option>user{VALUES_SHOWN - 1:03}</option>" in page
    assert f"<option>user{VALUES_SHOWN:03}</option>" not in page


@pytest.mark.parametrize(("source", "expected"), [("form", 6), ("api", 1), ("batch", 0)])
def test_attempts_are_found_by_source(week, audrey, source, expected):
    assert rows(signed_in(audrey), LISTS[1], source=source, time="all") == expected


# -- The page of an attempt ---------------------------------------------------------------------------------------


def page_of(client, attempt, **query):
    return client.get(f"/admin/audit/attempt/{attempt.pk}/change/", query)


def test_behind_an_attempt_stand_its_events_its_answer_and_its_ids(audrey):
    attempt = make_attempt(Kind.UNKNOWN, cids=("x1", "<b>"))
    record(attempt, Kind.REJECTED, message="not <i>Ready", data={"a": "<u>"}, http_status=400)
    answer = page_of(signed_in(audrey), attempt)
    text = text_of(answer)
    assert re.search(r"INTENT: .*UNKNOWN: .*REJECTED: ", text)
    for fact in ("olivia", "203.0.113.7", "not <i>Ready", '"a": "<u>"', "x1", "<b>"):
        assert fact in text
    for entry in attempt_entries(attempt):
        assert f"{entry.sequence}:{entry.mac[:16]}" in text
    for raw in (b"<i>Ready", b"<u>", b"<li><b>"):
        assert raw not in answer.content
    assert f'href="/attempts/{attempt.attempt_id}/all.csv"' in answer.content.decode()
    assert 'href="/customers/x1/"' in answer.content.decode()


def attempt_entries(attempt):

    return AuditEntry.objects.filter(attempt_id=attempt.attempt_id)


def test_the_ids_come_in_pages(audrey):
    cids = [f"c{number:04}" for number in range(1201)]
    attempt = make_attempt(cids=tuple(cids))

    def shown(**query):
        page = page_of(signed_in(audrey), attempt, **query).content.decode()
        return re.findall(r"<li><a [^>]*>(c\d{4})</a></li>", page)

    assert shown() == shown(ids="1") == shown(ids="x") == shown(ids="0") == shown(ids="9" * 20) == cids[:500]
    assert shown(ids="2") == cids[500:1000]
    assert shown(ids="3") == shown(ids="99") == cids[1000:]
    assert b'href="?ids=2#ids-title"' in page_of(signed_in(audrey), attempt).content


@pytest.mark.parametrize(
    ("kinds", "words", "css"),
    [
        ((Kind.ACCEPTED,), "Accepted", "accepted"),
        ((Kind.UNKNOWN,), "Outcome unknown", "unknown"),
        ((Kind.NOT_SENT,), "Not sent", "not_sent"),
        ((), "Being sent", "pending"),
    ],
)
def test_an_outcome_is_told_in_words_with_its_colour(audrey, kinds, words, css):
    make_attempt(*kinds)
    assert f'<span class="status {css}">{words}</span>' in signed_in(audrey).get(LISTS[1]).content.decode()
