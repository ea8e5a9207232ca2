"""Jobs as the database stores them: what is proven is what is there, not what a model makes of it."""

import json
import uuid
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cached_property, partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from django.db import IntegrityError, connections

from audit.digests import digest
from audit.proof.stored import hex_of, rows_of, time_of, time_sql
from jobs.models import MAX_CUSTOMERS, Job, JobCustomer, customers_from, payload_to_store, whole_payload
from tmsdash.db.bulk import insert_list

DATABASE = "jobs"
_OF_JOB = f"c.id >= j.id * {MAX_CUSTOMERS} AND c.id < (j.id + 1) * {MAX_CUSTOMERS} AND c.job_id = j.id"


class _Facts(NamedTuple):
    job_id: str
    user_id: str
    batch_id: str
    action_code: int
    action_name: str
    cluster_url: str
    created_at: str
    request_payload: Any
    response_summary: Any
    http_status: int | None
    evidence: str
    status: str
    customer_count: int
    source: str
    legacy: bool
    old_status: str
    doubles: str
    mac: str
    key_id: str
    cids: tuple[str, ...]
    """In their order."""
    is_in_order: bool = True
    """Whether the positions of the ids count from 0 without a gap or a repeat."""


class StoredJob(_Facts):
    """A job as text, numbers and JSON: its ids as 32 hex digits or "", its time as it is signed."""

    def signed(self, mac: str, key_id: str) -> "StoredJob":
        """Return the same job with its signature, which is no part of what its digest is of."""
        job = self._replace(mac=mac, key_id=key_id)
        job.digest = self.digest
        return job

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of everything that the job says, its customers in their order included, as 64 hex digits."""
        facts = {name: value for name, value in self._asdict().items() if name not in ("mac", "key_id", "is_in_order")}
        payload = self.request_payload
        # A fleet's ids are in the payload once more; they are encoded once.
        ids = payload.get("cids") if isinstance(payload, dict) else None
        repeats_ids = isinstance(ids, list | tuple) and tuple(ids) == self.cids
        facts["request_payload"] = plain(payload | {"cids": None} if repeats_ids else payload)
        return digest(facts | {"repeats_ids": repeats_ids, "response_summary": plain(self.response_summary)})


COLUMNS = [name for name in StoredJob._fields if name not in ("cids", "is_in_order")]
_INSERT = f'INSERT INTO "jobs_job" ({", ".join(COLUMNS)}) VALUES ({", ".join(["%s"] * len(COLUMNS))}) RETURNING id'  # noqa: S608


def stored_job(job: Job, cids: Sequence[str]) -> StoredJob:
    """Return a job, which may not be saved yet, with its customers in their order, as the database will store it."""
    return _from_columns({name: getattr(job, name) for name in COLUMNS}, cids, is_in_order=True)


def insert_row(job: StoredJob) -> int:
    """Insert the row of a job, without its customers, and return its key: one statement, the same for every job."""
    with connections[DATABASE].cursor() as cursor:
        cursor.execute(_INSERT, row_values(job))
        [key] = cursor.fetchone()
    return int(key)


def row_values(job: StoredJob) -> list[Any]:
    """Return what COLUMNS of a job's row hold.

    Both engines take ids as hex digits, times as text and JSON as text. Times are written as Django writes them:
    whoever compares texts must find no difference.
    """
    values = {name: getattr(job, name) for name in COLUMNS}
    values |= {name: values[name] or None for name in ("batch_id", "doubles")}
    values["request_payload"] = payload_to_store(job.request_payload, job.cids, legacy=job.legacy)
    values |= {name: json.dumps(values[name]) for name in ("request_payload", "response_summary")}
    values["created_at"] = job.created_at.removesuffix(".000000")
    return [*values.values()]


def read_job(job: Job) -> StoredJob:
    """Return a job with all its customers as the database holds them."""
    return next(stored_jobs(f"j.id = {job.pk:d}"))


def jobs_by_id(job_ids: Sequence[uuid.UUID]) -> dict[str, StoredJob]:
    """Return those of some hundred jobs that exist, by their ids as 32 hex digits."""
    if not job_ids:
        return {}
    # Hex digits of a UUID need no quoting, and one literal fits both engines.
    literals = ", ".join(f"'{job_id.hex}'" for job_id in job_ids)
    return {job.job_id: job for job in stored_jobs(f"j.job_id IN ({literals})")}


def stored_jobs(condition: str = "") -> Iterator[StoredJob]:
    """Yield jobs that meet a condition in SQL (`j` is the job's row), in the order of their ids.

    They come as a stream if a transaction is open. One that exists twice comes twice.
    """
    where = f"WHERE {condition}" if condition else ""
    # Of a column Django's driver makes a truth of whatever SQLite holds there, but not of an expression.
    # And of a time that is none, it raises an error which is no database's.
    expressions = {"legacy": "coalesce(j.legacy, j.legacy)", "created_at": time_sql("j.created_at", DATABASE)}
    columns = ", ".join(expressions.get(name, f"j.{name}") for name in COLUMNS)
    of_job = f"jobs_jobcustomer c ON {_OF_JOB}"
    if connections[DATABASE].vendor == "postgresql":  # OFFSET 0 keeps it from reading all customers for a few jobs
        of_job = f"LATERAL (SELECT * FROM jobs_jobcustomer c WHERE {_OF_JOB} ORDER BY c.id OFFSET 0) c ON true"  # noqa: S608
    query = f"SELECT j.id, c.position, c.cid FROM jobs_job j JOIN {of_job} {where} ORDER BY j.job_id, j.id, c.id"  # noqa: S608
    # Both queries run in the same order, so one pass through each joins them; a job without customers has no group.
    customers = ((key, list(rows)) for key, rows in groupby(rows_of(query, DATABASE), key=itemgetter(0)))
    group_key, group = next(customers, (None, []))
    for key, *values in rows_of(f"SELECT j.id, {columns} FROM jobs_job j {where} ORDER BY j.job_id, j.id", DATABASE):  # noqa: S608
        rows: list[tuple[Any, ...]] = []
        if group_key == key:
            rows = group
            group_key, group = next(customers, (None, []))
        is_in_order = [position for _, position, _ in rows] == list(range(len(rows)))
        columns_of_job = dict(zip(COLUMNS, values, strict=True))
        for name in ("request_payload", "response_summary"):
            columns_of_job[name] = _json_of(columns_of_job[name])
        cids = [cid for _, _, cid in rows]
        is_legacy = bool(columns_of_job["legacy"])
        payload = whole_payload(columns_of_job["request_payload"], partial(list, cids), legacy=is_legacy)
        yield _from_columns(columns_of_job | {"request_payload": payload}, cids, is_in_order=is_in_order)


def insert_customers(job_pk: int, cids: Sequence[str]) -> None:
    """Insert the customers of a new job, in their order. Raises DatabaseError unless each is there once after it."""
    if len(set(cids)) < len(cids) or len(cids) > MAX_CUSTOMERS:
        raise IntegrityError(f"a job has at most {MAX_CUSTOMERS:,} customers, each once")
    table = JobCustomer._meta.db_table
    insert_list(DATABASE, table, "job_id", job_pk, cids, keys_from=customers_from(job_pk))


def count_customers() -> int:
    """Return how many customers' rows there are, whether or not their job is there."""
    [(count,)] = rows_of("SELECT count(*) FROM jobs_jobcustomer", DATABASE)
    return int(count)


def plain(value: Any) -> Any:
    """Return JSON as both engines give it back: PostgreSQL keeps no difference between 1e2 and 100."""
    if isinstance(value, float) and value.is_integer():
        return int(Decimal(repr(value)))  # not the number's binary neighbour
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _from_columns(values: dict[str, Any], cids: Sequence[str], *, is_in_order: bool) -> StoredJob:
    for name in ("job_id", "batch_id", "doubles"):
        values[name] = hex_of(values[name])
    values |= {"created_at": time_of(values["created_at"]), "legacy": _truth_of(values["legacy"])}
    # Members of enumerations become plain text, as the database gives it back.
    values = {name: str(value) if isinstance(value, str | bytes) else value for name, value in values.items()}
    return StoredJob(**values, cids=tuple(cids), is_in_order=is_in_order)


def _truth_of(value: Any) -> Any:
    """Return a yes or no as each engine means it; what is neither stands for itself, which fits nothing."""
    return bool(value) if value in (0, 1) else value


def _json_of(value: Any) -> Any:
    """Return what a column of JSON holds; text that is none stands for itself, which fits nothing."""
    if not isinstance(value, str | bytes):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return f"no JSON: {value!r}"
