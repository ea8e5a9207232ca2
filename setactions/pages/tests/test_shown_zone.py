"""The zone that somebody chose: the days of lists and of filters, on pages and in the admin, and what stays in UTC."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest

from audit.choices import Kind
from audit.models import Attempt, AuditEntry
from audit.tests.making import make_attempt
from jobs.models import AppRun, Batch, Job, JobDay
from jobs.tests.making import CLUSTER, make_batch, make_job
from tmsdash.db import day_ranges
from tmsdash.models import Banner
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of
from tmsdash.web.cookies import shared_cookie_name

pytestmark = [pytest.mark.usefixtures("databases"), pytest.mark.pages]

MOMENT = timedelta(microseconds=1)
BERLIN, KATHMANDU = "Europe/Berlin", "Asia/Kathmandu"
# Days with their zone, and when they begin and end in UTC.
DAYS = [
    (BERLIN, "2026-03-29", datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)),  # 23 hours
    (BERLIN, "2026-10-25", datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)),  # 25 hours
    (KATHMANDU, "2026-03-29", datetime(2026, 3, 28, 18, 15, tzinfo=UTC), datetime(2026, 3, 29, 18, 15, tzinfo=UTC)),
    ("Pacific/Apia", "2011-12-31", datetime(2011, 12, 30, 10, tzinfo=UTC), datetime(2011, 12, 31, 10, tzinfo=UTC)),
    # Midnight comes twice. Long ago, as nobody knows the rules of years to come.
    ("America/Havana", "2024-11-03", datetime(2024, 11, 3, 4, tzinfo=UTC), datetime(2024, 11, 4, 5, tzinfo=UTC)),
    ("", "2026-03-29", datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC)),
]


@pytest.fixture(autouse=True)
def clusters(settings):
    settings.TMS_CLUSTERS = {"evian3": CLUSTER}


def reader(user, zone=""):
    """Somebody who reads times in a zone."""
    client = signed_in(user)
    if zone:
        client.cookies[shared_cookie_name("time_zone")] = zone
    return client


def in_zone(at, zone):
    return at.astimezone(ZoneInfo(zone))


def jobs_around(begin, end):
    """Jobs with their attempts: one before a day begins, its first and its last ones, and one after it."""
    times = (begin - MOMENT, begin, end - MOMENT, end)
    return [make_job(indexed=True, created_at=time, cids=(f"c{number}",)) for number, time in enumerate(times)]


def listed(client, path, jobs):
    """Which of the jobs a page lists, by their place."""
    answer = client.get(path)
    assert answer.status_code == 200
    return [number for number, job in enumerate(jobs) if str(job.job_id) in answer.content.decode()]


@pytest.mark.parametrize(("zone", "day", "begin", "end"), DAYS)
def test_a_day_in_an_address_is_the_same_day_for_everybody_in_every_list(adam, monkeypatch, zone, day, begin, end):
    monkeypatch.setattr(day_ranges, "LAG", 0)
    jobs = jobs_around(begin, end)
    day_ranges.extend(JobDay, Job)  # so that the admin's list goes by keys of days in UTC
    query = {"since": day, "until": day} | ({"zone": zone} if zone else {})
    for client in (reader(adam), reader(adam, KATHMANDU)):
        for path in ("/jobs/?whose=all", "/activity/?whose=all", "/admin/jobs/job/?", "/admin/audit/attempt/?"):
            assert listed(client, f"{path}&{urlencode(query)}", jobs) == [1, 2], path


def test_a_form_is_in_its_readers_zone_unless_its_address_has_days(olivia):
    client = reader(olivia, BERLIN)
    hidden = '<input type="hidden" name="zone" value="{}">'.format
    empty = client.get("/jobs/")
    assert "From day (Europe/Berlin)" in text_of(empty)
    assert hidden(BERLIN) in empty.content.decode()
    own = client.get("/jobs/", {"since": "2026-03-29", "zone": KATHMANDU, "action": "PE-Enable"})
    assert "From day (Asia/Kathmandu): 2026-03-29" in text_of(own)  # a chip, and the field below it
    assert hidden(KATHMANDU) in own.content.decode()
    chips = re.findall(r'class="chip" href="([^"]*)"', own.content.decode())
    assert [address.replace("&amp;", "&") for address in chips] == [
        "/jobs/?since=2026-03-29&zone=Asia%2FKathmandu",
        "/jobs/?action=PE-Enable",
    ]
    old = client.get("/jobs/", {"since": "2026-03-29"})  # from before there was a choice
    assert "From day (UTC)" in text_of(old)
    assert 'name="zone"' not in old.content.decode()


def test_the_admins_filter_says_its_zone_and_keeps_it_in_its_links(adam):
    client = reader(adam, BERLIN)
    page = client.get("/admin/audit/attempt/")
    assert "(Europe/Berlin)" in text_of(page)
    assert 'name="zone" value="Europe/Berlin"' in page.content.decode()
    page = client.get("/admin/jobs/job/", {"since": "2026-03-29", "zone": KATHMANDU}).content.decode()
    assert "(Asia/Kathmandu)" in page
    links = [link for link in re.findall(r'href="([^"]*)"', page) if "since=" in link]
    assert links
    assert all("zone=Asia%2FKathmandu" in link for link in links)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "../../etc/passwd"])
def test_days_of_a_zone_that_does_not_exist_are_refused(adam, zone):
    client, query = reader(adam, BERLIN), {"since": "2026-03-29", "zone": zone}
    for path in ("/jobs/", "/batches/", "/activity/", "/activity/activity.csv"):
        answer = client.get(path, query)
        assert answer.status_code == 400, path
    assert "There is no time zone" in text_of(client.get("/jobs/", query))
    assert "There is no time zone" in text_of(client.get("/admin/jobs/job/", query))
    assert client.get("/jobs/", {"zone": zone}).status_code == 200  # it says nothing without a day


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
@pytest.mark.parametrize("zone", [KATHMANDU, "America/Havana"])
def test_a_day_at_the_end_of_the_calendar_has_an_answer(adam, zone, day):
    for path in ("/jobs/", "/activity/", "/admin/jobs/job/"):
        assert signed_in(adam).get(path, {"since": day, "until": day, "zone": zone}).status_code == 200


def test_each_list_has_the_rows_of_a_day_below_its_name_in_the_readers_zone(adam, olivia):
    at = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)  # on the day that the clock is changed
    make_job(created_at=at)
    make_batch()
    Batch.objects.update(created_at=at)
    make_attempt(Kind.UNKNOWN, cids=("a1",))
    Attempt.objects.update(created_at=at)
    facts = {"user_id": "olivia", "cluster_url": CLUSTER, "selection": "2 customers", "customer_count": 2}
    AppRun.objects.create(created_at=at, state=AppRun.State.STOPPED, **facts)
    paths = ("/jobs/", "/activity/", "/batches/", "/in-doubt/", "/customers/a1/", "/apps/")
    for path in paths:
        page = reader(olivia, BERLIN).get(path)
        [body] = re.findall("<tbody>.*</tbody>", page.content.decode(), re.DOTALL)
        [heading] = re.findall(r'<tr class="day"><th colspan="([0-9])" scope="rowgroup">([^<]*)</th></tr>', body)
        head = re.search(r"<thead>.*?</thead>", page.content.decode(), re.DOTALL)
        assert heading == (str(head[0].count("<th ")), "Sunday, 29 March 2026 · CET and CEST"), path
        assert re.findall(r"<time [^>]*>[^<]*", body) == [
            '<time datetime="2026-03-28T23:30:00+00:00" title="2026-03-28 23:30:00 UTC">00:30:00 CET'
        ] * body.count("<time"), path
        assert "Saturday, 28 March 2026 · UTC" in text_of(reader(olivia).get(path)), path


def test_a_chunk_that_was_sent_on_another_day_than_its_batch_stands_below_says_which(olivia):
    batch = make_batch()  # of two chunks
    Batch.objects.update(created_at=datetime(2026, 3, 5, 22, 59, tzinfo=UTC))
    for number, minute in enumerate((59, 0)):
        hour = 22 if minute else 23
        batch.chunks.filter(number=number).update(started_at=datetime(2026, 3, 5, hour, minute, 30, tzinfo=UTC))
    page = reader(olivia, BERLIN).get("/activity/", {"whose": "mine", "open": str(batch.batch_id)}).content.decode()
    assert page.count('<tr class="day">') == 1
    clocks = [clock.strip() for clock in re.findall("<time[^>]*>([^<]*)", page)]
    assert clocks == ["23:59:00", "23:59:30", "2026-03-06 00:00:30 CET"]


def test_what_changes_in_place_keeps_the_zone_of_its_page(olivia):
    batch = make_batch()
    Batch.objects.update(created_at=datetime(2026, 3, 28, 23, 30, tzinfo=UTC), ended_at=None)
    client = reader(olivia, KATHMANDU)
    page = client.get(f"/batches/{batch.batch_id}/").content.decode()
    part = client.get(re.search('data-live="([^"]*)"', page)[1], headers={"HX-Request": "true"}).content.decode()
    assert re.search(r'<html[^>]* data-now="[^"]*\+05:45" data-zone="\+0545"', page)  # for what scripts say
    times = [re.findall("<time[^>]*>([^<]*)", html) for html in (page, part)]
    assert {"2026-03-29 05:15:00 +0545 "} <= {*times[0]} >= {*times[1]}
    assert times[1]
    assert not re.search("<time[^>]*>[^<]* UTC", page + part)


def test_sentences_have_the_readers_zone_too_and_what_is_typed_is_in_utc(olivia, adam):
    make_attempt(Kind.UNKNOWN)
    page = text_of(reader(olivia, KATHMANDU).get("/in-doubt/"))
    until = in_zone(Attempt.objects.get().judged_from, KATHMANDU)
    assert f"Wait until {until:%H:%M:%S} +0545: TMS may still be working on it." in page
    client, add = reader(adam, BERLIN), "/admin/tmsdash/banner/add/"
    assert "Until (UTC)" in text_of(client.get(add))
    # Of the two hours with this name in Berlin it is neither.
    banner = {"kind": "freeze", "text": "Nothing before Monday.", "begins_at": "", "ends_at": "2126-10-27T02:30:00"}
    assert client.post(add, banner).status_code == 302
    [ends_at] = Banner.objects.values_list("ends_at", flat=True)
    assert ends_at == datetime(2126, 10, 27, 2, 30, tzinfo=UTC)
    assert json.loads(AuditEntry.objects.latest("sequence").body)["after"]["ends_at"] == ends_at.isoformat()
    [pk] = Banner.objects.values_list("pk", flat=True)
    assert 'value="2126-10-27T02:30:00"' in client.get(f"/admin/tmsdash/banner/{pk}/change/").content.decode()
    assert "2126-10-27 03:30:00 CET" in text_of(client.get("/admin/tmsdash/banner/"))


def test_files_json_and_the_audit_have_utc_whoever_asks(adam):
    at = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
    job = make_job(indexed=True, created_at=at, user_id="adam")
    client, query = reader(adam, BERLIN), {"since": "2026-03-29", "until": "2026-03-29", "zone": BERLIN}
    answer = client.get("/activity/activity.csv", query | {"whose": "all"})
    [row] = csv.DictReader(io.StringIO(b"".join(answer).decode("utf-8-sig")))
    assert at.isoformat() in row.values()
    [shown] = client.get("/api/jobs/mine").json()["jobs"]
    assert (shown["job_id"], shown["created_at"]) == (str(job.job_id), at.isoformat())
    noted = json.loads(AuditEntry.objects.latest("sequence").body)
    assert query.items() <= noted["filters"].items()
    b"".join(client.get("/admin/audit/attempt/export.csv", query))
    noted = json.loads(AuditEntry.objects.latest("sequence").body)["filters"]
    assert (noted["since"], noted["until"]) == ("2026-03-28T23:00:00+00:00", "2026-03-29T21:59:59.999999+00:00")
