"""The tables of jobs and audit: migrations that go both ways, and indexes that reads use."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connections

from audit.tests.making import make_attempt
from jobs.models import Job, JobCustomer
from jobs.selectors import all_jobs, customers_of, jobs_of
from jobs.tests.making import make_job

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
    before = schema(alias)
    assert len(before) >= 2
    try:
        call_command("migrate", alias, "zero", database=alias, verbosity=0)
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


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (lambda: jobs_of(Somebody())[:51], "SEARCH jobs_job USING INDEX job_by_user (user_id=?)"),
        (lambda: jobs_of(Somebody()).filter(id__lt=99)[:51], "SEARCH jobs_job USING INDEX job_by_user (user_id=?"),
        (lambda: all_jobs().filter(id__lt=99)[:51], "SEARCH jobs_job USING INTEGER PRIMARY KEY (rowid<?)"),
        (lambda: all_jobs().filter(status="success")[:51], "SEARCH jobs_job USING INDEX job_by_status (status=?)"),
        (lambda: all_jobs().filter(action_code=2)[:51], "SEARCH jobs_job USING INDEX job_by_action (action_code=?)"),
        (lambda: Job.objects.filter(job_id="0" * 32).order_by(), "sqlite_autoindex_jobs_job_1 (job_id=?)"),
        # SQLite names the indexes of unique constraints itself: these are job_customer_by_cid and ..._in_order.
        (lambda: JobCustomer.objects.filter(cid="a").order_by().values("job_id"), "jobs_jobcustomer_2 (cid=?)"),
        (lambda: customers_of(Job(pk=1)), "jobs_jobcustomer_1 (job_id=?)"),
        (
            lambda: customers_of(Job(pk=1)).filter(position__gte=500, position__lt=1000),
            "jobs_jobcustomer_1 (job_id=? AND position>? AND position<?)",
        ),
    ],
)
def test_reads_use_their_index_and_sort_nothing(query, index):
    plan = query().explain()
    assert index in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.sqlite
def test_all_jobs_newest_first_are_read_in_the_order_of_their_table():
    [step] = all_jobs()[:51].explain().splitlines()
    assert step.endswith("SCAN jobs_job")  # backwards along the primary key, nothing is sorted
