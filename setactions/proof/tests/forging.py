"""What somebody can do who writes to the databases' files, and has no key."""

import json

from django.db import connections

from audit.actors import Actor
from audit.models import AttemptCustomer, AuditEntry
from audit.proof.closed_periods import archive
from audit.tests.sealing import run
from jobs.models import Job, JobCustomer
from setactions.proof.job_comparison import JobComparison

OTHER_ID = "0" * 31 + "1"
# For each column of a Job but its key: a value that no Job of these tests has.
COLUMNS = {
    "user_id": "oscar",
    "batch_id": OTHER_ID,
    "action_code": 3,
    "action_name": "T-Enable",
    "cluster_url": "https://other.example",
    "created_at": "2001-01-01 00:00:00",
    "request_payload": '{"action": "PE-Enable", "cids": ["a1"]}',
    "response_summary": '{"success": true, "more": 1}',
    "http_status": 201,
    "evidence": "read_back",
    "status": "failed",
    "customer_count": 3,
    "source": "api2",
    "legacy": True,
    "old_status": "done",
    "doubles": OTHER_ID,
    "mac": "0" * 64,
    "key_id": "0" * 16,
    "job_id": OTHER_ID,
}


def write(alias, statement, *parameters):
    """Run a statement past the product."""
    with connections[alias].cursor() as cursor:
        cursor.execute(statement, parameters)


def set_column(alias, table, column, value, where="1 = 1"):
    """Give a column of all rows, or of some, another value."""
    write(alias, f"UPDATE {table} SET {column} = %s WHERE {where}", value)


def forge_job(attempt, **changes):
    """Write a Job that fits an attempt in all that its INTENT says, with a signature that looks like one."""
    cids = list(AttemptCustomer.objects.filter(attempt=attempt).order_by("cid").values_list("cid", flat=True))
    facts = {
        "job_id": attempt.attempt_id,
        "user_id": attempt.user_id,
        "action_code": attempt.action_code,
        "action_name": attempt.action_name,
        "cluster_url": attempt.cluster_url,
        "created_at": attempt.created_at,
        "request_payload": {"action": attempt.action_name, "cids": cids},
        "response_summary": {"success": True},
        "http_status": 200,
        "customer_count": len(cids),
        "source": attempt.source,
    }
    job = Job.objects.create(**(facts | changes))
    for position, cid in enumerate(cids):
        JobCustomer.objects.create(job=job, cid=cid, position=position)
    return job


def problems():
    """What the comparison of all jobs says: sentences by the ids of the jobs."""
    found = {}
    for job_id, problem in JobComparison().problems():
        found.setdefault(job_id, []).append(problem)
    return found


def verify_jobs(*arguments):
    """Return the exit code of `audit_verify --jobs`, and what it says."""
    code, printed = run("audit_verify", "--jobs", "--json", *arguments)
    return code, json.loads(printed)


def archive_all(folder):
    """Move all entries there are into an archive."""
    last = AuditEntry.objects.order_by("sequence").last().sequence
    return archive(last, folder, Actor(user_id="ops"))
