"""The tables of jobs and audit: migrations that go both ways, and indexes that reads use."""

import uuid
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.db.models import Q

from audit.choices import Action
from audit.models import Attempt
from audit.tests.making import make_attempt
from jobs.models import MAX_CUSTOMERS, Job, JobCustomer
from jobs.selectors import all_jobs, customers_of, jobs_of, narrowed, older_than
from jobs.tests.making import make_job
from tmsdash.db.bulk import listed_uuids
from tmsdash.db.plans import planned

pytestmark = pytest.mark.usefixtures("databases")


def tables(alias):
    return {table for table in connections[alias].introspection.table_names() if table.startswith(f"{alias}_")}


def schema(alias):
    """What every table of the app looks like: columns, and what guards and indexes them."""
    introspection = connections[alias].introspection
    with connections[alias].cursor() as cursor:
        return {
            table: (
                [column[:6] for column in introspection.get_table_description(cursor, table)],
                sorted(
                    str((part["columns"], part["unique"], part["foreign_key"], part["check"]))
                    for part in introspection.get_constraints(cursor, table).values()
                ),
            )
            for table in tables(alias)
        }


@pytest.mark.parametrize("alias", ["jobs", "audit"])
def test_migrations_can_be_reversed_and_applied_again(alias):
    make_job()
    make_attempt()
    Attempt.objects.update(outcome="decided_not_applied")  # which the first migration has no room for
    Job.objects.update(http_status=None)  # nor for this
    before = schema(alias)
    assert len(before) >= 2
    try:
        call_command("migrate", alias, "zero", database=alias, verbosity=0, discard=[*tables(alias)])
        assert tables(alias) == set()
    finally:
        call_command("migrate", alias, database=alias, verbosity=0)
    assert schema(alias) == before
    make_job()
    make_attempt()


def test_the_migrations_make_what_the_models_say():
    output = StringIO()
    call_command("makemigrations", check=True, dry_run=True, stdout=output)
    assert output.getvalue() == "No changes detected\n"


class Somebody:
    def get_username(self):
        return "olivia"


SEEN = Job(pk=99, created_at=datetime(2026, 3, 1, tzinfo=UTC))
DAY = (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))


def in_admin(**conditions):
    return planned(Job.objects.filter(**conditions)).order_by("-id")[:51]


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (lambda: all_jobs()[:51], "SCAN jobs_job USING INDEX job_by_time"),
        (lambda: all_jobs().filter(older_than(SEEN))[:51], "INDEX job_by_time (created_at<?)"),
        (lambda: jobs_of(Somebody())[:51], "INDEX job_by_user_time (user_id=?)"),
        (
            lambda: jobs_of(Somebody()).filter(older_than(SEEN))[:51],
            "INDEX job_by_user_time (user_id=? AND created_at<?)",
        ),
        (lambda: all_jobs().filter(action_code=2)[:51], "INDEX job_by_action_time (action_code=?)"),
        (lambda: all_jobs().filter(cluster_url="x")[:51], "INDEX job_by_cluster_time (cluster_url=?)"),
        (lambda: all_jobs().filter(created_at__range=DAY)[:51], "INDEX job_by_time (created_at>? AND created_at<?)"),
        (lambda: in_admin(cluster_url="x"), "INDEX job_by_cluster (cluster_url=?)"),
        (lambda: in_admin(status="failed").values("pk"), "USING COVERING INDEX job_exception"),
        (lambda: in_admin(evidence="read_back").values("pk"), "USING COVERING INDEX job_exception"),
        (lambda: in_admin(legacy=True).values("pk"), "USING COVERING INDEX job_exception"),
        (
            lambda: in_admin(status="failed", created_at__range=DAY, pk__gte=1).values("pk"),
            "USING COVERING INDEX job_exception (id>?)",
        ),
        (lambda: in_admin(source="api"), "INDEX job_listed_by_source (<expr>=?)"),
        (lambda: in_admin(status="success", evidence="reply"), "SCAN jobs_job"),
        (lambda: in_admin(batch_id="0" * 32, status="success"), "INDEX job_by_batch (batch_id=?)"),
        (lambda: in_admin(action_code=2), "INDEX job_by_action (action_code=?)"),
        (lambda: in_admin(user_id="olivia"), "INDEX job_by_user (user_id=?)"),
        (lambda: Job.objects.filter(job_id="0" * 32).order_by(), "sqlite_autoindex_jobs_job_1 (job_id=?)"),
        (lambda: customers_of(Job(pk=1)), "jobs_jobcustomer USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    ],
)
def test_reads_use_their_index_and_sort_nothing(query, index):
    plan = query().explain()
    assert index in plan
    assert "TEMP B-TREE" not in plan


def customers(cid):
    return Job.objects.filter(job_id__in=listed_uuids("jobs", [str(uuid.UUID(int=len(cid)))])).order_by().values("pk")


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("conditions", "index"),
    [
        ({"user_id": "olivia", "cluster_url": "rare"}, "INDEX job_by_cluster_time (cluster_url=?)"),
        ({"user_id": "olivia", "action_code": 5}, "INDEX job_by_action_time (action_code=?)"),
        ({"user_id": "rare", "action_code": 2}, "INDEX job_by_user_time (user_id=?)"),
        ({"user_id": "olivia", "action_code": 2, "cluster_url": "rare"}, "INDEX job_by_cluster_time (cluster_url=?)"),
        (
            {"user_id": "olivia", "cluster_url": "rare", "created_at__gte": DAY[0], "created_at__lte": DAY[1]},
            "INDEX job_by_cluster_time (cluster_url=? AND created_at>? AND created_at<?)",
        ),
        (
            {"user_id": "olivia", "created_at__gte": DAY[0]},
            "INDEX job_by_user_time (user_id=? AND created_at>?)",
        ),
        ({"user_id": "olivia", "pk__in": customers("a1")}, "INTEGER PRIMARY KEY (rowid=?)"),
        (
            {"cluster_url": "rare", "action_code": 2, "pk__in": customers("a1"), "created_at__gte": DAY[0]},
            "INTEGER PRIMARY KEY (rowid=?)",
        ),
    ],
)
@pytest.mark.parametrize("place", [Q(), older_than(SEEN)], ids=["newest", "older"])
def test_filters_are_read_through_the_index_of_the_one_that_keeps_fewest(conditions, index, place):
    for _ in range(3):
        make_job(created_at=DAY[0])
    make_job(created_at=DAY[0], user_id="rare", action=Action.PE_DIRECT, cluster_url="rare")
    plan = narrowed(all_jobs(), **conditions).filter(place)[:51].explain()
    assert index.partition(" AND")[0].rstrip(")") in plan
    assert plan.count("jobs_job USING") == 1
    if "pk__in" not in conditions:
        assert "TEMP B-TREE" not in plan


def test_customers_of_before_are_carried_over_and_back():
    """Into the places that their jobs and their order give them."""
    first, second = make_job(cids=["b", "a"]), make_job(cids=["a", "c", "b"])
    before = [*JobCustomer.objects.values_list("pk", "job_id", "position", "cid")]
    assert before == [
        (job.pk * MAX_CUSTOMERS + position, job.pk, position, cid)
        for job, cids in ((first, "ba"), (second, "acb"))
        for position, cid in enumerate(cids)
    ]
    try:
        call_command("migrate", "jobs", "0010_ascending_indexes", database="jobs", verbosity=0)
        with connections["jobs"].cursor() as cursor:
            cursor.execute("SELECT job_id, position, cid FROM jobs_jobcustomer ORDER BY job_id, position")
            assert cursor.fetchall() == [row[1:] for row in before]
            cursor.execute("SELECT max(id) FROM jobs_jobcustomer")
            assert cursor.fetchone()[0] < MAX_CUSTOMERS
            cursor.execute("INSERT INTO jobs_jobcustomer (job_id, position, cid) VALUES (%s, 2, 'z')", [first.pk])
    finally:
        call_command("migrate", "jobs", database="jobs", verbosity=0)
    assert [*first.customers.values_list("cid", flat=True)] == ["b", "a", "z"]
    assert [*second.customers.values_list("cid", flat=True)] == ["a", "c", "b"]


def test_a_customer_stands_in_the_place_of_its_job_alone():
    job = make_job(cids=["a"])
    with pytest.raises(IntegrityError), connections["jobs"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_jobcustomer (id, job_id, position, cid) VALUES (%s, %s, 1, 'b')", [job.pk, job.pk]
        )


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (lambda: all_jobs().filter(older_than(SEEN))[:51], "job_by_time"),
        (lambda: narrowed(all_jobs(), user_id="olivia")[:51], "job_by_user_time"),
        (lambda: narrowed(all_jobs(), cluster_url="x", created_at__gte=DAY[0])[:51], "job_by_cluster_time"),
        (lambda: in_admin(evidence="decided"), "job_exception"),
        (lambda: in_admin(status="unknown"), "job_exception"),
        (lambda: in_admin(legacy=True), "job_exception"),
    ],
)
def test_postgresql_reads_through_the_same_indexes(query, index):
    for _ in range(3):
        make_job()
    with transaction.atomic(using="jobs"), connections["jobs"].cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")  # best for three rows
        plan = query().explain()
    assert f"using {index} " in plan
    assert "Sort" not in plan
