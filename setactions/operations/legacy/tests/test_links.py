"""Jobs and rows of the audit log that tell of one action: linked to each other, and never to two."""

import json
import uuid

import pytest

from audit.models import AuditEntry
from audit.proof.verification import verify
from jobs.models import Job
from setactions.operations.legacy.values import id_of
from setactions.proof.tests.forging import problems
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = [pytest.mark.usefixtures("databases", "tms"), pytest.mark.pages]

IDS = '["a1"]'


def at(seconds):
    """A time of the log, some seconds after a minute has begun; a job's is two hours later on the clock."""
    return f"2025-06-01 10:00:{seconds:02}"


def job_at(seconds):
    return f"2025-06-01T12:00:{seconds:06.3f}"


def links():
    """The job of each row of the log that has one, by the row's number; both sides name each other."""
    bodies = {str(entry.attempt_id): json.loads(entry.body) for entry in AuditEntry.objects.all()}
    result = {}
    for row_id, body in bodies.items():
        if job_id := body.get("job_id"):
            assert bodies[job_id]["log_row_id"] == row_id
            result[body["old"]["number"]] = job_id
    assert sum(bool(body.get("log_row_id")) for body in bodies.values()) == len(result)
    assert verify().findings == []
    assert problems() == {}
    return result


@pytest.mark.parametrize(
    ("row", "linked"),
    [
        ({"timestamp": at(10)}, True),
        ({"timestamp": at(5)}, True),
        ({"timestamp": at(15)}, True),
        ({"timestamp": at(4)}, False),
        ({"timestamp": at(16)}, False),
        ({"timestamp": at(40), "duration_ms": 28_000}, True),  # the job was dated before the call
        ({"timestamp": at(40), "duration_ms": "nan"}, False),
        ({"timestamp": at(10), "user_id": "oscar"}, False),
        ({"timestamp": at(10), "action_type": "T-Enable"}, False),
        ({"timestamp": at(10), "action_type": "pe-enable"}, True),
        ({"timestamp": at(10), "action_type": 2}, True),
        ({"timestamp": at(10), "customer_ids": '["a1", "b2"]'}, False),
        ({"timestamp": at(10), "customer_ids": "a1"}, True),
        ({"timestamp": at(10), "customer_ids": None}, True),
    ],
)
def test_a_row_belongs_to_the_job_of_the_same_user_action_and_customers_within_seconds(old, row, linked):
    job_id = old.job("a1", created_at=job_at(10.5))
    old.log(**({"customer_ids": IDS} | row))
    printed, _ = old.run()
    assert links() == ({1: job_id} if linked else {})
    assert f"Linked to its job: {linked:d}" in printed


def test_names_are_compared_as_they_are_here(old):
    job_id = old.job("a1", created_at=job_at(1), user_id="jdoe")
    old.log(timestamp=at(1), customer_ids=IDS, user_id="john")
    old.run("--user-map", "jdoe=john")
    assert links() == {1: job_id}


def test_the_order_of_customers_does_not_matter(old):
    job_id = old.job("a1", "b2", created_at=job_at(1))
    old.log(timestamp=at(1), customer_ids='["b2", "a1"]')
    old.run()
    assert links() == {1: job_id}


def test_the_same_sent_again_is_linked_one_to_one(old):
    jobs = {}
    for number, second in enumerate((1, 4, 7), start=1):
        jobs[number] = old.job("a1", created_at=job_at(second + 0.4))
        old.log(timestamp=at(second), customer_ids=IDS)
    old.run()
    assert links() == jobs
    assert not Job.objects.exclude(doubles=None).exists()


def test_of_jobs_that_repeat_each_other_the_first_one_is_linked(old):
    first, second = old.job("a1", created_at=job_at(1.5)), old.job("a1", created_at=job_at(2.5))
    old.log(timestamp=at(2), customer_ids=IDS)
    old.run()
    assert links() == {1: first}
    assert str(Job.objects.get(job_id=second).doubles) == first


def test_jobs_within_seconds_that_have_a_row_each_do_not_repeat_each_other(old):
    jobs = {1: old.job("a1", created_at=job_at(1.1)), 2: old.job("a1", created_at=job_at(3))}
    for second in (1, 3):
        old.log(timestamp=at(second), customer_ids=IDS)
    old.run()
    assert links() == jobs
    assert not Job.objects.exclude(doubles=None).exists()


def test_what_could_belong_to_two_is_linked_to_none(old):
    old.job("a1", created_at=job_at(1))
    old.log(timestamp=at(1), customer_ids=IDS)
    old.log(timestamp=at(1), customer_ids=IDS, status="failure")
    old.job("b2", created_at=job_at(30))
    old.job("c3", created_at=job_at(30.5))
    old.log(timestamp=at(30), customer_ids=None)
    old.run()
    assert links() == {}


def test_a_row_that_names_its_job_belongs_to_it(old):
    old._run(old.audit, "ALTER TABLE audit_log ADD COLUMN job_id TEXT")
    other, named = old.job("a1", created_at=job_at(1)), old.job("a1", created_at=job_at(20), job_id="JOB-17")
    old.log(timestamp=at(1), customer_ids=IDS, job_id=named)
    old.log(timestamp=at(1), customer_ids=IDS, job_id=None)
    old.log(timestamp=at(20), customer_ids=IDS, job_id=None)  # nearer, but the job has its row
    old.log(timestamp=at(20), customer_ids=IDS, job_id=str(uuid.uuid4()))
    old.run()
    assert links() == {1: str(id_of("JOB-17")), 2: other}


def test_a_second_run_links_nothing_anew(old):
    old.job("a1", created_at=job_at(1))
    old.run()
    old.log(timestamp=at(1), customer_ids=IDS)
    for _ in range(2):
        old.run()
        assert AuditEntry.objects.count() == 2
        body = json.loads(AuditEntry.objects.get(attempt_id=Job.objects.get().job_id).body)
        assert body["log_row_id"] is None  # its fact was there first


def test_only_links_that_are_written_are_counted(old):
    """An earlier import read the times otherwise, and so linked nothing."""
    old.job("a1", created_at=job_at(1))
    old.log(timestamp=at(1), customer_ids=IDS)
    printed, _ = old.run(zone="UTC")
    assert "Linked to its job: 0.\n" in printed
    job_id = old.job("b2", created_at=job_at(30))
    old.log(timestamp=at(30), customer_ids="b2")
    earlier = "Imported earlier without a link, which cannot be added: 1."
    assert f"Jobs with their row of the audit log: 1 of 2. {earlier}\n" in old.run("--dry-run")[0]
    for _ in range(2):
        assert f"Linked to its job: 1. {earlier}\n" in old.run()[0]
    assert links() == {2: job_id}


def test_only_jobs_that_are_marked_as_doubled_are_counted(old):
    old.job("a1", created_at=job_at(2))
    old.run()
    old.job("a1", created_at=job_at(1.5))
    assert "Doubled: 1." in old.run()[0]
    Job.objects.update(doubles=None)  # as if an earlier version had not seen it
    for arguments in (["--dry-run"], []):
        assert "Doubled: 0." in old.run(*arguments)[0]


def test_pages_show_one_action_once_with_the_way_from_each_to_the_other(old, olivia, audrey, client):
    job_id = old.job("a1", created_at=job_at(1))
    old.log(timestamp=at(1), customer_ids=IDS)
    old.run()
    row_id = str(AuditEntry.objects.exclude(attempt_id=job_id).get().attempt_id)
    client = signed_in(olivia)
    job_page, row_page, customer_page = f"/attempts/{job_id}/", f"/attempts/{row_id}/", "/customers/a1/"
    assert row_page in client.get(job_page).text
    assert f"/jobs/{job_id}/" in client.get(row_page).text
    customer = client.get(customer_page).text
    assert customer.count("Success, says the old dashboard") == 1
    assert all(address in customer for address in (job_page, f"/jobs/{job_id}/", row_page))
    records = client.get("/api/audit/customer/a1").json()["records"]
    assert [(record["attempt_id"], record["job_id"]) for record in records] == [(row_id, job_id), (job_id, job_id)]
    for attempt_id, words in ((job_id, "Row of its audit log"), (row_id, "Job")):
        page = signed_in(audrey).get("/admin/audit/attempt/", {"attempt_id": attempt_id})
        pk = page.context["cl"].queryset.get().pk
        assert words in text_of(signed_in(audrey).get(f"/admin/audit/attempt/{pk}/change/"))
