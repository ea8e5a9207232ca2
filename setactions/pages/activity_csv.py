"""Activity as CSV: a line for each attempt and for each batch, safe for spreadsheets."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from audit.models import Attempt
from jobs.activity.selectors import Activity, Entry, Place, attempts_of
from tmsdash.csv_text import csv_text, to_cell

AT_ONCE = 200
COLUMNS = (
    *("time", "kind", "id", "user", "action", "cluster", "source", "outcome", "customers", "accepted", "chunks"),
    *("matching_chunks", "job_id", "http_status", "error", "note"),
)


def csv_lines(activity: Activity) -> Iterator[str]:
    """Yield a header and a line for each entry, some hundred at a time, without a transaction that stays open."""
    yield csv_text([COLUMNS])
    entries = activity.entries(Place())
    while part := list(islice(entries, AT_ONCE)):
        attempts = attempts_of(part)
        rows = (_of_batch(entry) if entry.batch else _of_attempt(attempts.get(entry.pk)) for entry in part)
        yield csv_text([to_cell("" if value is None else str(value)) for value in row] for row in rows if row)


def _of_attempt(attempt: Attempt | None) -> list[Any]:
    if attempt is None:
        return []
    return [
        *(attempt.created_at.isoformat(), "attempt", attempt.attempt_id, attempt.user_id, attempt.action_name),
        *(attempt.cluster_url, attempt.source, attempt.outcome, attempt.customer_count),
        *(attempt.customer_count if attempt.is_accepted else 0, None, None),
        *(attempt.attempt_id if attempt.has_job else None, attempt.http_status, attempt.error_message),
        attempt.note,
    ]


def _of_batch(entry: Entry) -> list[Any]:
    batch: Any = entry.batch
    return [
        *(batch.created_at.isoformat(), "batch", batch.batch_id, batch.user_id, batch.get_action_code_display()),
        *(batch.cluster_url, "batch", batch.shown_state.value, batch.customer_count, batch.accepted or 0),
        *(batch.chunk_count, entry.matching or None, None, None, batch.reason),
        batch.note,
    ]
