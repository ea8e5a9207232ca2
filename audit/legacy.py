"""What is imported from the old dashboard: facts that it wrote down, chained as such, and marked for ever."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from audit import chain
from audit.chain import DATABASE
from audit.choices import Kind, Outcome, Source
from audit.customer_index import add_customers
from audit.models import Attempt, AuditEntry
from audit.services import project
from tmsdash.db.transactions import BUSY_TIMEOUT_S, write_transaction
from tmsdash.text import one_line


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A job, or a row of the audit log, of the old dashboard; `at` is when it says that it was.

    `facts` are further things that it wrote down, as JSON holds them.
    """

    attempt_id: uuid.UUID
    source: Source
    user_id: str
    action_code: int | None
    action_name: str
    cluster_url: str
    ip_address: str
    cids: tuple[str, ...]
    at: datetime
    outcome: Outcome
    http_status: int | None
    message: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stored:
    """What the audit says of a row that was imported earlier."""

    at: datetime
    user_id: str
    cluster_url: str


def stored_rows(attempt_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Stored]:
    """Return those of some hundred rows that are in the audit."""
    values = ("attempt_id", "created_at", "user_id", "cluster_url")
    return {row[0]: Stored(*row[1:]) for row in Attempt.objects.filter(attempt_id__in=attempt_ids).values_list(*values)}


def imported_body(attempt_id: uuid.UUID) -> dict[str, Any]:
    """Return all that the audit says of an imported row; empty if its entry is in an archive."""
    entry = AuditEntry.objects.filter(attempt_id=attempt_id, kind=Kind.IMPORTED).first()
    body: dict[str, Any] = json.loads(entry.body) if entry else {}
    return body


def record_imported(rows: Sequence[Imported], imported_by: str) -> int:
    """Add those rows that are not in the audit yet, in one transaction; return how many these were.

    Raises DatabaseError if the audit cannot be written; then none of them is added.
    """
    with write_transaction(DATABASE, BUSY_TIMEOUT_S):
        ids = [row.attempt_id for row in rows]
        existing = set(Attempt.objects.filter(attempt_id__in=ids).values_list("attempt_id", flat=True))
        new = [row for row in rows if row.attempt_id not in existing]
        chain.append([_add(row, imported_by) for row in new])
    return len(new)


def _add(row: Imported, imported_by: str) -> chain.NewEntry:
    """Insert the row and the customers of an imported attempt; return its entry."""
    columns: dict[str, Any] = {
        "action_code": row.action_code,
        "action_name": row.action_name,
        "cluster_url": row.cluster_url,
        "customer_count": len(row.cids),
        "source": row.source.value,
    }
    event = {
        "cids": row.cids,
        "http_status": row.http_status,
        "imported_by": imported_by,
        "message": one_line(row.message),
        "outcome": row.outcome.value,
        "time": chain.stored_time(row.at),
    }
    body = row.facts | columns | event
    attempt = Attempt(attempt_id=row.attempt_id, user_id=row.user_id, ip_address=row.ip_address, **columns)
    attempt.created_at = row.at
    project(attempt, Kind.IMPORTED, body, row.at)
    attempt.save(force_insert=True)
    add_customers(attempt.pk, row.cids)
    shown = {"action_type": row.action_name, "ip_address": row.ip_address}
    return chain.new_entry(row.attempt_id, Kind.IMPORTED, row.user_id, body, **shown)
