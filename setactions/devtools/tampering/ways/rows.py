"""What is drawn from the entries for lists and pages, and the Jobs with their customers, without a key."""

from collections.abc import Callable

from setactions.devtools.tampering.forger import Forger
from setactions.devtools.tampering.way import Way, sql
from setactions.devtools.tampering.ways.entries import LAST

LAST_ATTEMPT = "(SELECT max(id) FROM audit_attempt)"
LAST_JOB = "(SELECT max(id) FROM jobs_job)"


def attempt(assignment: str) -> str:
    return f"UPDATE audit_attempt SET {assignment} WHERE id = {LAST_ATTEMPT}"


def job(assignment: str) -> str:
    return f"UPDATE jobs_job SET {assignment} WHERE id = {LAST_JOB}"


def on_jobs(*statements: str) -> Callable[[Forger], object]:
    return sql(*statements, database="jobs")


WAYS = [
    Way("an attempt with another outcome", sql(attempt("outcome = 'rejected'")), "outcome"),
    Way("an attempt of another user", sql(attempt("user_id = 'eve'")), "user_id"),
    Way("an attempt with another number of customers", sql(attempt("customer_count = 7")), "customer_count"),
    Way("an attempt with another note", sql(attempt("note = 'agreed'")), "note"),
    Way(
        "an attempt's row taken away",
        sql(
            f"DELETE FROM audit_attemptcustomer WHERE attempt_id = {LAST_ATTEMPT}",
            f"DELETE FROM audit_attempt WHERE id = {LAST_ATTEMPT}",
        ),
        "attempt",
    ),
    Way("an attempt of which no entry tells", sql(attempt("attempt_id = lower(hex(randomblob(16)))")), "attempt"),
    Way(
        "a customer taken out of the index",
        sql(f"DELETE FROM audit_attemptcustomer WHERE attempt_id = {LAST_ATTEMPT}"),
        "attempt",
    ),
    Way(
        "a customer exchanged in the index",
        sql("UPDATE audit_attemptcustomer SET cid = 'z9' WHERE cid = 'd1'"),
        "attempt",
    ),
    Way(
        "days of entries that leave some out",
        sql(f"INSERT INTO audit_entryday VALUES ('2020-01-01', {LAST}, {LAST})"),
        "days of entries",
    ),
    Way(
        "a day of the summary without its attempts",
        sql(
            "INSERT INTO audit_talliedperiod (unit, period, last_key, in_doubt) "
            f"SELECT 'day', substr(created_at, 1, 10), {LAST_ATTEMPT}, 0 FROM audit_attempt ORDER BY id LIMIT 1"
        ),
        "summary",
    ),
    Way("a job of another user", on_jobs(job("user_id = 'eve'")), "job"),
    Way("a job of another action", on_jobs(job("action_name = 'PE-Direct'")), "job"),
    Way("a job at another time", on_jobs(job("created_at = '2020-01-01 00:00:00'")), "job"),
    Way("a job without a signature", on_jobs(job("mac = '', key_id = ''")), "job"),
    Way("a job with another answer", on_jobs(job("response_summary = '[]'")), "job"),
    Way("a customer exchanged in a job", on_jobs("UPDATE jobs_jobcustomer SET cid = 'z9' WHERE cid = 'd1'"), "job"),
    Way("a customer taken out of a job", on_jobs("DELETE FROM jobs_jobcustomer WHERE cid = 'd1'"), "job"),
    Way(
        "a job taken away",
        on_jobs(
            f"DELETE FROM jobs_jobcustomer WHERE job_id = {LAST_JOB}",
            f"DELETE FROM jobs_job WHERE id = {LAST_JOB}",
        ),
        "job",
    ),
    Way("a job that TMS never accepted", on_jobs(job("job_id = lower(hex(randomblob(16)))")), "job"),
]
