"""What somebody can do who writes to the databases' files, and has no key."""

from django.db import connections

from audit.models import AttemptCustomer
from jobs.models import Job, JobCustomer
from setactions.proof.job_comparison import JobComparison


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
