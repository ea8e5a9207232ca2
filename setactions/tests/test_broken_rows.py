"""Rows with a value that their column does not take, in tables that were altered by hand: pages say so.

Each column in turn holds nothing, and then a text that is of another type or too long. No page may end with an error
that nobody foresaw, and whatever checks must not call it whole.
"""

import re
from contextlib import suppress

import pytest
from django.db import connections

from audit.models import Attempt, AuditEntry
from audit.proof import append_only
from audit.proof.verification import verify
from jobs.models import Job, JobCustomer
from setactions.proof.tests.forging import problems, write
from setactions.resolving.tests.doubting import run, send
from tmsdash.db.broken_rows import BrokenRowError
from tmsdash.tests.fixtures import signed_in

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("databases", "tms", "impatient")]
VALUES = [None, "~" * 600]
NOT_NULL = re.compile(r" NOT NULL")
REFERENCES = re.compile(r' REFERENCES "\w+" \("\w+"\)(?: DEFERRABLE INITIALLY DEFERRED)?')
CHECK = re.compile(r" CHECK \((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)")
PAGES_OF_AUDIT = [
    *("/attempts/{a}/", "/attempts/{a}/all.csv", "/attempts/{a}/evidence.zip", "/customers/a1/", "/"),
    "/activity/?whose=all",
    *("/api/audit/customer/a1", "/admin/audit/attempt/", "/admin/audit/attempt/1/change/", "/admin/jobs/job/"),
    *("/admin/audit/attempt/export.jsonl", "/admin/audit/auditentry/", "/admin/audit/auditentry/1/change/"),
]
PAGES_OF_JOBS = [
    *("/jobs/", "/jobs/{a}/", "/jobs/{a}/customers.csv", "/api/jobs/mine", "/api/jobs/{a}", "/api/jobs/{a}/customers"),
    *("/attempts/{a}/", "/admin/jobs/job/", "/admin/jobs/job/1/change/"),
]


def loosen(alias, table):
    """Let the columns of a table take whatever they are given."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute("SELECT sql FROM sqlite_master WHERE name = %s", [table])
        [sql] = cursor.fetchone()
        cursor.execute("PRAGMA schema_version")
        [version] = cursor.fetchone()
        cursor.execute("PRAGMA writable_schema = ON")
        loose = REFERENCES.sub("", CHECK.sub("", NOT_NULL.sub("", sql)))
        cursor.execute("UPDATE sqlite_master SET sql = %s WHERE name = %s", [loose, table])
        cursor.execute(f"PRAGMA schema_version = {version + 1}")
    connection.close()  # the next one reads the tables anew


@pytest.fixture
def broken(fetch):
    """Yield, after each change, what was changed: a column of the rows of a table that the condition names."""
    append_only.remove(connections["audit"])

    def changes(alias, model, condition):
        table = model._meta.db_table
        loosen(alias, table)
        for column in [field.column for field in model._meta.concrete_fields if not field.primary_key]:
            with connections[alias].cursor() as cursor:
                cursor.execute(f"SELECT quote({column}) FROM {table} WHERE {condition}")
                [before] = cursor.fetchone()
            for value in VALUES[before == "NULL" :]:
                write(alias, f"UPDATE {table} SET {column} = %s WHERE {condition}", value)
                yield f"{table}.{column} = {value!r:.5}"
            write(alias, f"UPDATE {table} SET {column} = {before} WHERE {condition}")

    return changes


def failures(client, pages, attempt):
    for page in pages:
        answer = client.get(page.format(a=attempt.attempt_id))
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        if b"Something went wrong on our side" in content:
            yield page, answer.status_code


@pytest.mark.parametrize(
    ("model", "condition"), [(AuditEntry, "sequence = 1"), (AuditEntry, "sequence = 3"), (Attempt, "id = 1")]
)
def test_of_a_broken_row_of_the_audit_every_page_and_every_check_says_so(fetch, adam, broken, model, condition):
    attempt, client = send(fetch, "z9", "a1"), signed_in(adam, raise_request_exception=False)
    found = []
    for change in broken("audit", model, condition):
        found += [(change, *failure) for failure in failures(client, PAGES_OF_AUDIT, attempt)]
        found += [(change, "whole")] if verify().is_whole else []
        with suppress(BrokenRowError):
            run(None, full=True)
    assert found == []


@pytest.mark.parametrize(("model", "condition"), [(Job, "id = 1"), (JobCustomer, "position = 0")])
def test_of_a_broken_row_of_jobs_every_page_and_every_check_says_so(fetch, adam, broken, model, condition):
    attempt, client = send(fetch, "z9", "a1"), signed_in(adam, raise_request_exception=False)
    found = []
    for change in broken("jobs", model, condition):
        found += [(change, *failure) for failure in failures(client, PAGES_OF_JOBS, attempt)]
        found += [] if problems() else [(change, "whole")]
        if "job_id" not in change:  # else the attempt gets another Job
            with suppress(BrokenRowError):
                run(None, full=True)
    assert found == []


def test_an_entry_without_a_mac_is_named_in_the_place_of_its_attempt(fetch, adam, broken):
    send(fetch)
    loosen("audit", "audit_auditentry")
    write("audit", "UPDATE audit_auditentry SET mac = NULL WHERE sequence = 2")
    answer = signed_in(adam, raise_request_exception=False).get("/admin/audit/attempt/1/change/")
    assert answer.status_code == 503
    assert "The column mac of audit_auditentry 2 holds no such value." in answer.content.decode()
    assert "manage.py audit_verify --jobs names all" in answer.content.decode()
