"""Writing a job: whole, in order, once, or not at all; and knowing beforehand that it could be written."""

import logging
import shutil
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.chain import id_of_key
from audit.choices import Evidence, Source
from jobs.models import Job, JobCustomer
from jobs.selectors import customers_of, job_for, jobs_of
from jobs.services import assert_writable, create_job
from jobs.tests.making import ANSWER, CLUSTER, accepted, make_job
from tmsdash.db.transactions import transaction_around_call, write_transaction
from tmsdash.tests.tools import at_once, in_thread, locked, table_missing

pytestmark = pytest.mark.usefixtures("databases")


def customers(job):
    return list(customers_of(job).values_list("cid", "position"))


def nothing_is_written():
    return not (Job.objects.exists() or JobCustomer.objects.exists())


# -- create_job ---------------------------------------------------------------------------------------------------


def test_a_job_holds_what_was_sent_and_answered_and_its_customers_in_order():
    before, job_id, batch_id = timezone.now(), uuid.uuid4(), uuid.uuid4()
    job = make_job(job_id=job_id, batch_id=batch_id, cids=("b2", "a1", "c3"), http_status=201)
    assert Job.objects.values().get() == {
        "id": job.pk,
        "job_id": job_id,
        "user_id": "olivia",
        "batch_id": batch_id,
        "action_code": 2,
        "action_name": "PE-Enable",
        "cluster_url": CLUSTER,
        "created_at": job.created_at,
        "stored_payload": {"action": "PE-Enable"},
        "response_summary": ANSWER,
        "http_status": 201,
        "evidence": "reply",
        "status": "success",
        "source": "",
        "legacy": False,
        "old_status": "",
        "doubles": None,
        "customer_count": 3,
        "mac": job.mac,
        "key_id": id_of_key(settings.AUDIT_KEY),
    }
    assert before <= job.created_at <= timezone.now()
    assert customers(job) == [("b2", 0), ("a1", 1), ("c3", 2)]


def test_a_job_that_rests_on_something_else_than_a_reply_says_so():
    at = timezone.now() - timedelta(hours=1)
    job = make_job(evidence=Evidence.READ_BACK, http_status=None, created_at=at)
    assert (job.get_evidence_display(), job.http_status, job.created_at) == ("confirmed by reading back", None, at)


@pytest.mark.parametrize("cids", [(), ("only",), tuple(f"{number:032x}" for number in range(5000, 0, -1))])
def test_every_customer_is_there_once_in_the_order_given(cids):
    job = make_job(cids=cids)
    assert job.customer_count == len(cids)
    assert customers(job) == [(cid, position) for position, cid in enumerate(cids)]


@pytest.mark.parametrize("answer", [{}, [], "text", 5, {"é": "日本\u2028", "deep": [[[{"a": None}]]]}])
def test_any_json_that_tms_may_answer_is_kept(answer):
    make_job(response_summary=answer)
    assert Job.objects.get().response_summary == answer


ODD_TEXT = "é日本\u2028 'quoted' \"too\" %s"
AT = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"batch_id": uuid.uuid4(), "source": Source.BATCH, "http_status": 201, "created_at": AT},
        {"created_at": AT.replace(microsecond=0), "cids": (), "user_id": ODD_TEXT, "response_summary": None},
        {"response_summary": {ODD_TEXT: [1e2, 1 << 70, 0.1, None, True, {"a": ODD_TEXT}]}, "action_sent": ODD_TEXT},
        {"evidence": Evidence.DECIDED, "cids": (ODD_TEXT, "b2", "a1")},
    ],
)
def test_its_row_is_the_one_that_the_orm_writes(facts):
    job = make_job(**facts)
    written = raw_job()
    Job.objects.filter(pk=job.pk).update(job_id=uuid.uuid4(), user_id="", stored_payload=[])
    job.save(force_update=True)
    assert raw_job() == written


def raw_job():
    """The job's row as the database holds it, and with SQLite in which types."""
    connection = connections["jobs"]
    with connection.cursor() as cursor:
        names = [column.name for column in connection.introspection.get_table_description(cursor, "jobs_job")]
        if connection.vendor == "sqlite":  # an expression is not converted
            names = [f"typeof({name}), quote({name})" for name in names]
        cursor.execute(f"SELECT {', '.join(names)} FROM jobs_job")
        return cursor.fetchone()


def test_its_first_statement_is_the_insert():
    with CaptureQueriesContext(connections["jobs"]) as captured, write_transaction("jobs"):
        create_job(accepted())
    statements = [query["sql"] for query in captured if not query["sql"].startswith(("BEGIN", "SET LOCAL"))]
    assert [statement.split(" (")[0].replace(" OR FAIL", "") for statement in statements[:2]] == [
        'INSERT INTO "jobs_job"',
        'INSERT INTO "jobs_jobcustomer"',
    ]
    assert [statement for statement in statements[2:] if statement != "COMMIT"] == []


def test_it_can_be_the_end_of_a_transaction_around_a_call():
    with transaction_around_call("jobs") as after_answer:
        in_thread(make_job)  # somebody else's call is answered earlier
        after_answer(5)
        create_job(accepted(user_id="oscar"))
    assert set(Job.objects.values_list("user_id", flat=True)) == {"olivia", "oscar"}


def test_it_is_part_of_its_callers_transaction():
    with pytest.raises(ZeroDivisionError), write_transaction("jobs"):
        create_job(accepted())
        raise ZeroDivisionError
    assert nothing_is_written()


def test_a_second_job_of_one_attempt_is_an_integrity_error_and_changes_nothing():
    job = make_job(cids=("a1",))
    with pytest.raises(IntegrityError):
        make_job(job_id=job.job_id, cids=("b2",), user_id="eve")
    assert Job.objects.get().user_id == "olivia"
    assert customers(job) == [("a1", 0)]


def test_of_twenty_at_once_with_one_id_one_is_written():
    job_id = uuid.uuid4()

    def make(number):
        try:
            return make_job(job_id=job_id, cids=(f"c{number}",))
        except IntegrityError:
            return None

    [job] = [job for job in at_once(20, make) if job]
    assert Job.objects.get() == job
    assert JobCustomer.objects.get().job == job


def test_twenty_at_once_are_all_written():
    at_once(20, lambda number: make_job(cids=(f"c{number}", "a1")))
    assert Job.objects.count() == 20
    assert JobCustomer.objects.filter(cid="a1").count() == 20


@pytest.mark.parametrize("cids", [("a1", "b2", "a1"), ("a1", None)])
def test_a_customer_that_does_not_go_in_leaves_no_job(cids):
    with pytest.raises(IntegrityError):
        make_job(cids=cids)
    assert nothing_is_written()


def test_customers_that_cannot_be_written_leave_no_job():
    with table_missing("jobs", "jobs_jobcustomer"), pytest.raises(DatabaseError):
        make_job()
    assert nothing_is_written()


def test_an_answer_that_is_no_json_leaves_no_job():
    with pytest.raises((ValueError, TypeError)):
        make_job(response_summary=object())
    assert nothing_is_written()


def test_the_log_tells_of_a_job_after_its_commit_and_not_before(caplog):
    caplog.set_level(logging.INFO)
    line = "[JOBS] create_job: Successfully created job"
    with pytest.raises(ZeroDivisionError), write_transaction("jobs"):
        create_job(accepted())
        raise ZeroDivisionError
    assert line not in caplog.text
    job = make_job()
    assert f"{line} {job.job_id} for user olivia with 2 customers" in caplog.text


@pytest.fixture
def read_only(monkeypatch):
    """This thread's connection to the jobs database can only read. (To root no file's mode means anything.)"""
    connection = connections["jobs"]
    path = connection.settings_dict["NAME"]
    usual = connection.get_connection_params
    with monkeypatch.context() as patch:
        patch.setattr(connection, "get_connection_params", lambda: usual() | {"database": f"file:{path}?mode=ro"})
        connection.close()
        connection.connect()
        yield
    connection.close()


# -- assert_writable ----------------------------------------------------------------------------------------------


def test_a_database_that_can_be_written_is_left_as_it_was():
    make_job()
    for _ in range(3):
        assert_writable(wait_s=5)
    assert Job.objects.count() == 1
    with transaction.atomic(using="jobs", durable=True):  # nothing is open any more
        pass


@pytest.mark.sqlite
def test_a_read_only_database_is_an_error(read_only):
    with pytest.raises(OperationalError, match="readonly"):
        assert_writable(wait_s=5)


@pytest.mark.sqlite
def test_only_an_insert_shows_that_a_database_is_read_only(read_only):
    with write_transaction("jobs"):
        assert Job.objects.count() == 0


def test_a_locked_database_is_an_error_after_the_wait():
    with locked("jobs", "jobs_job"), pytest.raises(OperationalError):
        assert_writable(wait_s=0.05)
    assert_writable(wait_s=5)
    assert nothing_is_written()


def test_a_database_without_its_tables_is_an_error():
    with table_missing("jobs", "jobs_job"), pytest.raises(DatabaseError):
        assert_writable(wait_s=5)


@pytest.mark.sqlite
@pytest.mark.parametrize(("free_mib", "enough"), [(0, False), (63, False), (64, True), (10_000, True)])
def test_a_disk_that_is_nearly_full_is_an_error(monkeypatch, free_mib, enough):
    asked = []

    def disk_usage(path):
        asked.append(str(path))
        return SimpleNamespace(free=free_mib << 20)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    if enough:
        assert_writable(wait_s=5)
    else:
        with pytest.raises(OperationalError, match=f"only {free_mib} MiB are free"):
            assert_writable(wait_s=5)
    assert asked == [connections["jobs"].settings_dict["NAME"].rpartition("/")[0]]
    assert nothing_is_written()


# -- selectors ----------------------------------------------------------------------------------------------------


def test_who_may_see_a_job(olivia, oscar, audrey, adam):
    job = make_job()
    seen = {user.username: job_for(user, job.job_id) for user in (olivia, oscar, audrey, adam)}
    assert seen == {"olivia": job, "oscar": None, "audrey": job, "adam": job}
    assert job_for(adam, uuid.uuid4()) is None


def test_ones_own_jobs_come_newest_first(olivia, oscar):
    jobs = [make_job(user_id=name) for name in ("olivia", "oscar", "olivia", "Olivia", "olivia2")]
    assert list(jobs_of(olivia)) == [jobs[2], jobs[0]]
    assert list(jobs_of(oscar)) == [jobs[1]]


def test_a_list_of_jobs_reads_no_payloads(olivia):
    for _ in range(3):
        make_job()
    with CaptureQueriesContext(connections["jobs"]) as captured:
        assert len([job.customer_count for job in jobs_of(olivia)]) == 3
    assert len(captured) == 1
    assert "request_payload" not in captured[0]["sql"]
