"""User Jobs Audit in the admin: to look at, to search, and never to change."""

import re
import uuid

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.choices import Action, Kind, Source
from audit.models import Attempt
from audit.tests.making import make_attempt
from jobs.models import Job, JobCustomer
from jobs.tests.making import make_batch, make_job
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")

LIST = "/admin/jobs/job/"
CUSTOMERS = "/admin/jobs/jobcustomer/"
HEX_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture(params=["audrey", "adam"])
def viewer(request):
    """A client of an auditor or an administrator."""
    return signed_in(request.getfixturevalue(request.param))


@pytest.fixture
def two(databases):
    """A job of olivia's and a later one of oscar's."""
    return (
        make_job(cids=("a1", HEX_ID), indexed=True),
        make_job(user_id="oscar", action=Action.T_ENABLE, cids=("b2", "50%", "a/b"), indexed=True),
    )


def shown(client, **query):
    """The ids of the jobs that the list shows, from top to bottom."""
    answer = client.get(LIST, query)
    assert answer.status_code == 200, answer.headers
    return [uuid.UUID(found) for found in re.findall(r"change/[^>]*>([0-9a-f-]{36})<", answer.content.decode())]


def expected(two, first, second):
    return [job.job_id for job, wanted in zip(reversed(two), (second, first), strict=True) if wanted]


# -- The list -----------------------------------------------------------------------------------------------------


def test_the_admin_calls_it_user_jobs_audit(viewer):
    assert "User Jobs Audit" in text_of(viewer.get("/admin/"))
    assert "User Jobs Audit" in text_of(viewer.get(LIST))
    assert "Job customers" not in text_of(viewer.get("/admin/"))  # only a job leads there
    assert b'<a href="/activity/">Activity</a>' in viewer.get(LIST).content  # "View site" leads auditors back here


def test_the_list_shows_all_jobs_newest_first(viewer, two):
    assert shown(viewer) == expected(two, True, True)
    make_job(source=Source.API)
    assert 'data-label="Source" class="field-source_label">Script (JSON)<' in viewer.get(LIST).content.decode()
    text = text_of(viewer.get(LIST))
    for fact in ("olivia", "oscar", "PE-Enable", "T-Enable", "evian3.example", "Accepted"):
        assert fact in text


@pytest.mark.parametrize(
    ("query", "first", "second"),
    [
        ({"action_code__exact": "2"}, True, False),
        ({"action_code__exact": "3"}, False, True),
        ({"action_code__exact": "5"}, False, False),
        ({"status__exact": "success"}, True, True),
        ({"user_id": "olivia"}, True, False),
        ({"user_id": "oscar", "action_code__exact": "3"}, False, True),
        ({"since": "2020-01-01"}, True, True),
        ({"until": "2019-12-31"}, False, False),
    ],
)
def test_jobs_can_be_filtered(viewer, two, query, first, second):
    assert shown(viewer, **query) == expected(two, first, second)


def test_every_filter_is_offered(viewer, two):
    text = text_of(viewer.get(LIST)).partition("Filter")[2]
    for words in ("Period", "Action", "Status", "User", "Any action", "All time", "olivia", "oscar"):
        assert words in text


@pytest.mark.parametrize(
    ("term", "first", "second"),
    [
        ("olivia", True, False),
        ("oscar", False, True),
        ("oli", False, False),  # whole terms only
        ("a1", True, False),
        (" a1 ", True, False),
        ("A1", False, False),
        ("b2", False, True),
        ("50%", False, True),
        ("%", False, False),
        ("a/b", False, True),
        (HEX_ID, True, False),  # an id of 32 hexadecimal digits, which could be a job's, too
        (HEX_ID[:-1], False, False),
        (str(uuid.UUID(HEX_ID)), False, False),
        ("nobody", False, False),
        ("", True, True),
    ],
)
def test_a_search_finds_users_and_customers_to_the_letter(viewer, two, term, first, second):
    assert shown(viewer, q=term) == expected(two, first, second)


@pytest.mark.parametrize("spelling", ["{}", "{.hex}", " {} "])
def test_a_search_finds_a_job_by_its_id(viewer, two, spelling):
    for job in two:
        term = spelling.format(job.job_id)
        assert shown(viewer, q=term) == shown(viewer, q=term.upper()) == [job.job_id]


def test_a_search_finds_a_job_and_a_customer_that_share_their_id(viewer, two):
    third = make_job(cids=(two[0].job_id.hex,), indexed=True)
    assert shown(viewer, q=two[0].job_id.hex) == [third.job_id, two[0].job_id]


def test_a_list_reads_no_payloads(viewer, django_assert_max_num_queries):
    for number in range(60):
        make_job(cids=(f"c{number}",))
    with django_assert_max_num_queries(10, using="jobs") as captured:
        assert len(shown(viewer)) == 50
    assert not [query for query in captured if "request_payload" in query["sql"]]
    assert len(shown(viewer, p=2)) == 10


# -- One job ------------------------------------------------------------------------------------------------------


def test_the_page_of_a_job_shows_its_facts_and_leads_on(viewer):
    attempt = make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    job = make_job(
        job_id=attempt.attempt_id, batch_id=uuid.uuid4(), response_summary={"message": "a <b>word</b>", "success": True}
    )
    answer = viewer.get(f"{LIST}{job.pk}/change/")
    for fact in (str(job.job_id), "olivia", "PE-Enable", str(job.batch_id), '"message": "a <b>word</b>"', '"cids": ['):
        assert fact in text_of(answer)
    assert b"<b>word" not in answer.content
    links = re.findall('<a href="([^"?]*[?][^"]*)">(Audit entries|All 2)', answer.content.decode())
    assert links == [
        (f"{CUSTOMERS}?job__id__exact={job.pk}", "All 2"),
        (f"/admin/audit/auditentry/?attempt_id={job.job_id}", "Audit entries"),
    ]
    entries = text_of(viewer.get(links[1][0]))
    assert "3 audit entries" in entries
    assert str(job.job_id) in entries


def test_the_page_of_a_job_with_many_customers_stays_small(viewer):
    job = make_job(cids=[f"{number:032x}" for number in range(3000)], response_summary={"x": "y" * 500_000})
    answer = viewer.get(f"{LIST}{job.pk}/change/")
    assert answer.status_code == 200
    assert len(answer.content) < 200_000
    assert "All 3,000 in order" in text_of(answer)
    assert "more characters" in text_of(answer)


# -- The customers of a job ---------------------------------------------------------------------------------------


def customers(client, **query):
    answer = client.get(CUSTOMERS, query)
    assert answer.status_code == 200, answer.headers
    return re.findall("field-cid[^>]*>([^<]*)<", answer.content.decode())


def test_the_customers_of_a_job_are_listed_in_order_in_pages(viewer, two):
    cids = [f"c{number:05}" for number in range(600, 0, -1)]
    job = make_job(cids=cids)
    assert customers(viewer, job__id__exact=job.pk) == cids[:500]
    assert customers(viewer, job__id__exact=job.pk, p=2) == cids[500:]
    assert customers(viewer, job__id__exact=two[1].pk) == ["b2", "50%", "a/b"]


@pytest.mark.parametrize("query", [{}, {"q": "a1"}, {"e": "1"}])
def test_customers_are_listed_for_one_job_only(viewer, two, query):
    assert customers(viewer, **query) == []


@pytest.mark.parametrize("job", ["x", "", "1.5", "99999999"])
def test_customers_of_what_is_no_job_are_none(viewer, two, job):
    answer = viewer.get(CUSTOMERS, {"job__id__exact": job}, follow=True)
    assert answer.status_code == 200
    assert b"field-cid" not in answer.content


# -- Nothing can be changed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["job", "jobcustomer"])
def test_nobody_can_add_change_or_delete(viewer, two, model):
    pk = {"job": two[0].pk, "jobcustomer": two[0].customers.first().pk}[model]
    before = list(Job.objects.values()), list(JobCustomer.objects.values())
    for path in (f"{pk}/delete/", "add/"):
        assert viewer.post(f"/admin/jobs/{model}/{path}", {"post": "yes"}).status_code == 403
    assert viewer.get(f"/admin/jobs/{model}/add/").status_code == 403
    changed = viewer.post(f"/admin/jobs/{model}/{pk}/change/", {"user_id": "eve", "cid": "x", "position": 9})
    assert changed.status_code in (403, 302)  # a customer has no page of its own
    viewer.post(f"/admin/jobs/{model}/", {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})
    assert (list(Job.objects.values()), list(JobCustomer.objects.values())) == before


def test_the_pages_offer_no_change(viewer, two):
    for path in (LIST, f"{LIST}{two[0].pk}/change/", f"{CUSTOMERS}?job__id__exact={two[0].pk}"):
        page = viewer.get(path).content
        for button in (b'name="_save"', b"deletelink", b"<textarea", b'name="action"', b"jobs/job/add/"):
            assert button not in page


@pytest.mark.parametrize("path", ["/admin/", LIST, CUSTOMERS])
def test_operators_have_no_access(olivia, path):
    for client in (signed_in(olivia), Client()):
        answer = client.get(path)
        assert answer.status_code == 302
        assert "/login/" in answer["Location"]


def test_staff_without_the_permission_sees_nothing(olivia, two):
    olivia.is_staff = True
    olivia.save()
    for path in (LIST, f"{LIST}{two[0].pk}/change/", CUSTOMERS):
        assert signed_in(olivia).get(path).status_code == 403


def test_a_batch_is_found_by_a_customer_of_its_chunks(audrey):
    batches = {source: make_batch(cids=("c0",)) for source in (Source.BATCH, Source.COMMAND)}
    for source, batch in batches.items():
        job = make_job(indexed=True, batch_id=batch.batch_id, cids=("c0",))
        Attempt.objects.filter(attempt_id=job.job_id).update(source=source)
    request = make_job(indexed=True, cids=("c0",))
    Attempt.objects.filter(attempt_id=request.job_id).update(source=Source.FORM)
    with CaptureQueriesContext(connections["jobs"]) as captured:
        page = signed_in(audrey).get("/admin/jobs/batch/", {"q": "c0"}).content.decode()
    for batch in batches.values():
        assert str(batch.batch_id) in page
    # A request is no chunk, and its job is not looked for.
    assert not any(request.job_id.hex in query["sql"].replace("-", "") for query in captured)


def test_the_titles_of_a_job_and_a_batch_tell_how_they_stand(viewer, two):
    job = viewer.get(f"/admin/jobs/job/{two[0].pk}/change/").content.decode()
    batch = viewer.get(f"/admin/jobs/batch/{make_batch().pk}/change/").content.decode()
    assert re.search(r"<title>\s*Accepted – Job", job), job[:700]
    assert re.search(r"<title>\s*\w+ – Batch", batch), batch[:700]
