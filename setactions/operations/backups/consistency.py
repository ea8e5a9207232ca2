"""Whether jobs and audit are consistent with each other, at one moment of both."""

import uuid
from collections.abc import Iterable, Iterator

from django.db.models import Model

from audit import chain
from audit.choices import ACCEPTED_OUTCOMES
from audit.models import GENESIS, Attempt, AuditEntry, ChainHead
from jobs.models import Job
from setactions.operations.backups.engine import Source
from tmsdash.db.fields import bytes_of
from tmsdash.text import one_line

NAMED = 3  # of the ids that do not fit


def disagreements(jobs: Source, audit: Source) -> list[str]:
    """Return a sentence for each way in which jobs and audit contradict each other or themselves; none if they fit.

    A recorded attempt has its Job, because that is committed before it is noted as recorded; a Job has
    its attempt, because the intent is committed before TMS is called. The audit's chain ends with a key that is known.
    """
    tables = {Job._meta.db_table, Attempt._meta.db_table}
    if not tables <= {*jobs.tables(), *audit.tables()}:
        return []  # a database that is being set up
    outcomes = ", ".join(f"'{outcome.value}'" for outcome in sorted(ACCEPTED_OUTCOMES))
    recorded = f"WHERE outcome IN ({outcomes}) AND NOT job_owed"
    without_job = list(lacking(_ids(audit, Attempt, "attempt_id", recorded), _ids(jobs, Job, "job_id")))
    without_attempt = list(lacking(_ids(jobs, Job, "job_id"), _ids(audit, Attempt, "attempt_id")))
    problems = {
        "attempts are recorded in the audit, but have no Job": without_job,
        "Jobs are unknown to the audit": without_attempt,
    }
    return _chain_disagreements(audit) + [
        f"{len(ids):,} {text}: {_named(ids)}." for text, ids in problems.items() if ids
    ]


def _chain_disagreements(audit: Source) -> list[str]:
    """Return a sentence if the audit's chain does not end as its head says, or if this cannot be checked."""
    table = ChainHead._meta.db_table
    if table not in audit.tables():
        return []  # one of long ago
    heads = list(audit.ask(f"SELECT sequence, mac, key_id, signature FROM {table}"))  # noqa: S608 (constants)
    ends = list(audit.ask(f"SELECT sequence, mac FROM {AuditEntry._meta.db_table} ORDER BY sequence DESC LIMIT 1"))  # noqa: S608
    if not heads:
        return ["The head of the audit's chain is missing."]
    [(sequence, mac, key_id, signature)] = heads
    is_signed = chain.is_signed(sequence, mac, key_id, signature)
    if is_signed is None:
        return [f"The audit's chain ends with the key {one_line(key_id, 40)}, which is not known here."]
    # A backup of an earlier version holds macs as hex digits.
    [(number, stored_mac)] = ends or [(0, GENESIS)]
    if not is_signed or (sequence, bytes_of(mac)) != (number, bytes_of(stored_mac)):
        return ["The audit's chain does not end as its head says: manage.py audit_verify says more."]
    return []


def lacking(ids: Iterable[str], others: Iterable[str]) -> Iterator[str]:
    """Yield which of `ids` are not among `others`; both are sorted."""
    rest = iter(others)
    other = next(rest, None)
    for wanted in ids:
        while other is not None and other < wanted:
            other = next(rest, None)
        if other != wanted:
            yield wanted


def _ids(source: Source, model: type[Model], column: str, where: str = "") -> Iterator[str]:
    """Return ids as 32 hex digits, in order: SQLite holds them as such, PostgreSQL as uuid, in the same order."""
    rows = source.ask(f"SELECT {column} FROM {model._meta.db_table} {where} ORDER BY {column}")  # noqa: S608 (constants)
    return (value.hex if isinstance(value, uuid.UUID) else str(value) for (value,) in rows)


def _named(ids: list[str]) -> str:
    return ", ".join(str(uuid.UUID(text)) for text in ids[:NAMED]) + (", …" if len(ids) > NAMED else "")
