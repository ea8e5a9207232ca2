"""User Jobs and the page of one job."""

import html
import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from audit.choices import Action
from jobs.models import Job
from jobs.tests.making import CLUSTER, make_job
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")


def listed(client, path="/jobs/"):
    """The job ids of a list, from top to bottom."""
    answer = client.get(path)
    assert answer.status_code == 200
    return [uuid.UUID(found) for found in re.findall(r'href="/jobs/([0-9a-f-]{36})/"', answer.content.decode())]


def link(client, path, relation):
    """Where a page's link `rel="next"` or `rel="prev"` leads, or None."""
    page = client.get(path).content.decode()
    found = re.search(rf'<a[^>]*rel="{relation}"[^>]*>', page)
    return re.search('href="([^"#]*)', found[0])[1].replace("&amp;", "&") if found else None


# -- User Jobs ----------------------------------------------------------------------------------------------------


def test_ones_own_jobs_are_listed_newest_first(olivia):
    jobs = [make_job(user_id=name) for name in ("olivia", "oscar", "olivia", "olivia")]
    assert listed(signed_in(olivia)) == [jobs[3].job_id, jobs[2].job_id, jobs[0].job_id]


def test_a_row_tells_what_when_and_how_many(olivia):
    job = make_job(cids=[f"c{number}" for number in range(1234)], action=Action.T_ENABLE)
    text = text_of(signed_in(olivia).get("/jobs/"))
    day, clock = f"{job.created_at:%B %Y} · UTC", f"{job.created_at:%H:%M:%S}"
    for fact in (str(job.job_id), "T-Enable", CLUSTER, "1,234", "Accepted", day, clock):
        assert fact in text


def test_without_jobs_the_page_says_so(olivia):
    assert "You have no jobs yet." in text_of(signed_in(olivia).get("/jobs/"))


@pytest.mark.parametrize("whose", ["all", "ALL", "oscar", ""])
def test_an_operator_sees_nobody_elses_jobs_however_they_ask(olivia, whose):
    mine, other = make_job(), make_job(user_id="oscar")
    answer = signed_in(olivia).get("/jobs/", {"whose": whose})
    assert str(mine.job_id) in text_of(answer)
    assert str(other.job_id) not in text_of(answer)
    assert "oscar" not in text_of(answer)
    assert b"whose=all" not in answer.content


@pytest.mark.parametrize("name", ["audrey", "adam"])
def test_who_may_sees_all_jobs_on_request(request, name):
    client = signed_in(request.getfixturevalue(name))
    jobs = [make_job(user_id=user_id) for user_id in ("olivia", "oscar", name)]
    assert listed(client) == [jobs[2].job_id]
    assert listed(client, "/jobs/?whose=all") == [job.job_id for job in reversed(jobs)]
    assert "olivia" in text_of(client.get("/jobs/?whose=all"))
    assert b'href="/jobs/?whose=all"' in client.get("/jobs/").content


@pytest.mark.parametrize(("count", "pages"), [(50, [50]), (51, [50, 1]), (120, [50, 50, 20])])
def test_more_than_fifty_jobs_come_in_pages(olivia, count, pages):
    client = signed_in(olivia)
    newest = [make_job(user_id="olivia").job_id for _ in range(count)][::-1]
    path, seen = "/jobs/", []
    while path:
        seen.append(listed(client, path))
        path = link(client, path, "next")
    assert [len(page) for page in seen] == pages
    assert sum(seen, []) == newest


def test_older_pages_of_all_jobs_stay_with_all_jobs(audrey):
    client = signed_in(audrey)
    jobs = [make_job(user_id=f"user{number % 2}") for number in range(51)]
    following = link(client, "/jobs/?whose=all", "next")
    assert listed(client, following) == [jobs[0].job_id]


def test_a_new_job_does_not_move_the_older_pages(olivia):
    client = signed_in(olivia)
    jobs = [make_job() for _ in range(51)]
    following = link(client, "/jobs/", "next")
    make_job()
    assert listed(client, following) == [jobs[0].job_id]


@pytest.mark.parametrize(
    "before", ["", "x", "-1", "0", "1.5", "9" * 18, 2**63 - 1, 2**63, "9" * 500, "²", "%00", "1 or 1=1"]
)
def test_a_strange_place_in_the_list_shows_the_newest(olivia, before):
    job = make_job()
    assert listed(signed_in(olivia), f"/jobs/?before={before}") == [job.job_id]


def test_behind_the_last_job_the_page_says_so(olivia):
    job = make_job()
    assert "There are no older jobs." in text_of(signed_in(olivia).get(f"/jobs/?before={job.pk}"))


def test_the_place_of_somebody_elses_job_is_no_place(olivia):
    mine = make_job()
    other = make_job(user_id="oscar", created_at=mine.created_at - timedelta(days=1))
    assert listed(signed_in(olivia), f"/jobs/?before={other.pk}") == [mine.job_id]


def test_a_job_recorded_late_stands_where_its_time_says_and_pages_lose_none(olivia):
    client = signed_in(olivia)
    now = timezone.now()
    jobs = [make_job(created_at=now - timedelta(hours=number // 3)) for number in range(60)]  # some at the same time
    expected = sorted(jobs, key=lambda job: (job.created_at, job.pk), reverse=True)
    first = listed(client)
    assert first + listed(client, link(client, "/jobs/", "next")) == [job.job_id for job in expected]


def test_ids_that_need_all_of_64_bits_are_places_too(olivia):
    client = signed_in(olivia)
    old, new = make_job(), make_job(cids=())
    Job.objects.filter(pk=new.pk).update(id=2**63 - 1)
    assert listed(client, f"/jobs/?before={2**63 - 1}") == [old.job_id]


# -- One job ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["olivia", "audrey", "adam"])
def test_the_page_of_a_job_shows_its_facts_and_customers_in_order(request, name):
    job = make_job(
        cids=("b2", "a1", "c3"),
        batch_id=uuid.uuid4(),
        action_sent="pe-enable",
        response_summary={"message": "a <b>message</b>", "success": True},
    )
    answer = signed_in(request.getfixturevalue(name)).get(f"/jobs/{job.job_id}/")
    for fact in (str(job.job_id), "olivia", "PE-Enable, sent as pe-enable", CLUSTER, "Accepted", str(job.batch_id)):
        assert fact in text_of(answer)
    assert "a <b>message</b>" in text_of(answer)
    assert b"<b>message" not in answer.content
    assert re.findall("<li>(.*?)</li>", answer.content.decode()) == ["b2", "a1", "c3"]
    assert f'href="/attempts/{job.job_id}/"' in answer.content.decode()


def test_who_may_see_jobs_but_no_attempts_gets_no_link_to_them(oscar):
    job = make_job()
    oscar.user_permissions.add(Permission.objects.get(codename="view_job"))
    answer = signed_in(oscar).get(f"/jobs/{job.job_id}/")
    assert answer.status_code == 200
    assert b"/attempts/" not in answer.content


def test_a_job_of_somebody_else_is_as_if_it_were_not_there(oscar):
    client = signed_in(oscar)
    pages = [client.get(f"/jobs/{job_id}/") for job_id in (make_job().job_id, uuid.uuid4())]
    assert [page.status_code for page in pages] == [404, 404]
    shown = [text_of(page).replace(page["X-Request-ID"], "") for page in pages]
    assert shown[0] == shown[1]
    assert "There is no such page, or it belongs to somebody else." in text_of(pages[0])


def test_customers_come_in_pages_of_five_hundred_in_order(olivia):
    client = signed_in(olivia)
    cids = [f"c{number:05}" for number in range(1201, 0, -1)]
    job = make_job(cids=cids)
    path, seen, starts = f"/jobs/{job.job_id}/", [], []
    while path:
        page = client.get(path).content.decode()
        seen.append(re.findall("<li>(.*?)</li>", page))
        starts.append(re.search('<ol[^>]* start="([^"]*)"', page)[1])
        path = link(client, path, "next")
    assert [len(page) for page in seen] == [500, 500, 201]
    assert starts == ["1", "501", "1001"]
    assert sum(seen, []) == cids
    assert link(client, f"/jobs/{job.job_id}/?page=3", "prev") == f"/jobs/{job.job_id}/?page=2"


@pytest.mark.parametrize(
    ("page", "first"),
    [("1", 0), ("3", 1000), ("4", 1000), ("999999999", 1000), ("0", 0), ("-1", 0), ("x", 0), ("", 0), ("9" * 99, 0)],
)
def test_a_page_that_is_not_there_shows_one_that_is(olivia, page, first):
    cids = [f"c{number:05}" for number in range(1201)]
    job = make_job(cids=cids)
    answer = signed_in(olivia).get(f"/jobs/{job.job_id}/", {"page": page})
    assert re.findall("<li>(.*?)</li>", answer.content.decode())[0] == cids[first]


def test_the_page_of_a_whole_fleet_stays_small(olivia):
    job = make_job(cids=[f"{number:032x}" for number in range(27_682)], response_summary={"x": "y" * 1_000_000})
    answer = signed_in(olivia).get(f"/jobs/{job.job_id}/")
    assert len(answer.content) < 100_000
    assert "27,682" in text_of(answer)


@pytest.mark.parametrize("cid", ["<script>alert(1)</script>", "a&b", '"', "'", "{{ 1 }}", "{% x %}"])
def test_ids_are_shown_as_they_are(olivia, cid):
    answer = signed_in(olivia).get(f"/jobs/{make_job(cids=(cid,)).job_id}/")
    [shown] = re.findall("<li>(.*?)</li>", answer.content.decode())
    assert html.unescape(shown) == cid
    assert not re.search("[<>\"']", shown)


def test_pages_are_read_only_and_never_cached(olivia):
    job = make_job()
    for path in ("/jobs/", f"/jobs/{job.job_id}/"):
        assert signed_in(olivia).post(path).status_code == 405
        assert "no-cache" in signed_in(olivia).get(path)["Cache-Control"]
    assert Job.objects.count() == 1
