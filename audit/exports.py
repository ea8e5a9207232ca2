"""Attempts with their customers as CSV or JSON lines, however many. Each export is noted in the audit first."""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from audit.actors import Actor, actor_of
from audit.chain import DATABASE
from audit.choices import Kind
from audit.models import Attempt
from audit.proof.stored import StoredEntry, stored_entries
from audit.rates import has_exported_too_often
from audit.selectors import of_few_customers, read_opening
from audit.services import record_fact
from tmsdash.csv_text import CSV_TYPE, csv_text, id_field, to_cell
from tmsdash.db.broken_rows import BrokenRowError
from tmsdash.db.transactions import drop_if_broken
from tmsdash.rates import WINDOW_S, Rate
from tmsdash.text import one_line
from tmsdash.web.errors import error_response

ATTEMPTS_AT_ONCE = 200
ROWS_AT_ONCE = 1000
WAIT_S = 5.0  # for other writers of the audit

# Each export leaves an entry in the audit and reads everything that it names; an evidence pack is of one attempt only.
LISTS_PER_MINUTE = 10
PACKS_PER_MINUTE = 60
lists, packs = Rate("attempts"), Rate("evidence")  # as the audit names what was exported
COLUMNS = (
    *("time", "attempt_id", "user", "action", "cluster", "source", "address", "outcome", "outcome_since"),
    *("http_status", "error", "job_id", "customer_count", "customer_id", "note"),
)

AttemptWithEntries = tuple[Attempt, list[StoredEntry]]
logger = logging.getLogger(__name__)


def answer_export(
    request: HttpRequest, rate: Rate, per_minute: int, make: Callable[[Actor], HttpResponseBase]
) -> HttpResponseBase:
    """Return the download that `make` returns for a user, or why there is none: 429 for too many, 503.

    `make` notes the export in the audit before anything else. That there were too many is not noted.
    """
    actor = actor_of(request)
    if not rate.take(actor.user_id, per_minute) or has_exported_too_often(actor.user_id, rate.name, per_minute):
        logger.warning("[AUDIT] export refused, too many: user=%s, address=%s", actor.user_id, actor.ip_address)
        message = f"You made {per_minute} exports within a minute, so this one was not made. Wait a minute."
        return error_response(request, 429, message, retry_after_s=WINDOW_S)
    try:
        with drop_if_broken(DATABASE):
            return make(actor)
    except AnyDatabaseError:
        return error_response(request, 503, "The audit cannot be written, so nothing was exported. Try again.")


def export(
    attempts: QuerySet[Attempt], form: str, filters: dict[str, Any], actor: Actor, count: int | None = None
) -> Iterator[str]:
    """Note in the audit who exports what, and return the lines of the file, the newest attempt first.

    `form` is one of FORMS, `filters` what the attempts were chosen by, as JSON holds it, `count` how many they are, if
    it is known. Raises DatabaseError, before any line, if the audit cannot be written: nothing is exported then.
    """
    count = attempts.count() if count is None else count
    body = {"what": "attempts", "format": form, "filters": filters, "count": count}
    record_fact(Kind.EXPORTED, body, actor=actor, wait_s=WAIT_S)
    return FORMS[form](_with_entries(attempts))


def note_export(what: str, filters: dict[str, Any], actor: Actor) -> None:
    """Note in the audit who exports `what` else lists show, as CSV, narrowed by `filters`. Raises DatabaseError."""
    record_fact(Kind.EXPORTED, {"what": what, "format": "csv", "filters": filters}, actor=actor, wait_s=WAIT_S)


def _with_entries(attempts: QuerySet[Attempt]) -> Iterator[AttemptWithEntries]:
    """Yield each attempt with its events, a few hundred attempts at a time, without keeping a transaction open.

    A transaction would last as long as the slowest download, and keep the database from tidying up behind it.
    """
    part = list(attempts.order_by("-pk")[:ATTEMPTS_AT_ONCE])
    while part:
        for few in of_few_customers(part):
            entries: defaultdict[str, list[StoredEntry]] = defaultdict(list)
            literals = ", ".join(f"'{attempt.attempt_id.hex}'" for attempt in few)
            for entry in stored_entries(f"attempt_id IN ({literals})"):
                entries[entry.attempt_id].append(entry)
            for attempt in few:
                yield attempt, entries[attempt.attempt_id.hex]
        part = list(attempts.filter(pk__lt=part[-1].pk).order_by("-pk")[:ATTEMPTS_AT_ONCE])


def cids_of(entries: list[StoredEntry]) -> list[str]:
    """Return the ids of an attempt in the order given, from its events; none if these are in an archive."""
    return [*read_opening(entries[0].sequence, entries[0].body)["cids"]] if entries else []


def facts_of(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt as exports and evidence show it."""
    return {
        "time": attempt.created_at.isoformat(),
        "attempt_id": str(attempt.attempt_id),
        "user": attempt.user_id,
        "action": attempt.action_name,
        "cluster": attempt.cluster_url,
        "source": attempt.source,
        "address": attempt.ip_address,
        "outcome": attempt.outcome,
        "outcome_since": attempt.decided_at.isoformat() if attempt.decided_at else None,
        "http_status": attempt.http_status,
        "error": attempt.error_message or None,
        "job_id": str(attempt.attempt_id) if attempt.has_job else None,
        "customer_count": attempt.customer_count,
        "note": attempt.note or None,
    }


def _csv_lines(attempts: Iterable[AttemptWithEntries]) -> Iterator[str]:
    """Yield a row for each customer of each attempt, safe for spreadsheets: no formula, and ids stay text."""
    yield csv_text([COLUMNS])
    for attempt, entries in attempts:
        *facts, note = ["" if value is None else to_cell(str(value)) for value in facts_of(attempt).values()]
        begin, end, cids = csv_text([facts]).removesuffix("\r\n"), csv_text([[note]]), cids_of(entries) or [""]
        for start in range(0, len(cids), ROWS_AT_ONCE):
            yield "".join(f"{begin},{id_field(cid)},{end}" for cid in cids[start : start + ROWS_AT_ONCE])


def _json_lines(attempts: Iterable[AttemptWithEntries]) -> Iterator[str]:
    """Yield an object for each attempt, with its customers and what chains its events."""
    for attempt, entries in attempts:
        chained = [
            {"sequence": entry.sequence, "kind": entry.kind, "time": _iso(entry.time)}
            | {"user": entry.user_id, "address": entry.ip_address, "mac": entry.mac}
            for entry in entries
        ]
        yield json.dumps(facts_of(attempt) | {"customers": cids_of(entries), "entries": chained}) + "\n"


def _iso(stored: str) -> str:
    try:
        return datetime.fromisoformat(f"{stored}+00:00").isoformat()
    except ValueError:
        raise BrokenRowError(f"The time of an audit entry is {one_line(stored, 40)!r}, which is none.") from None


FORMS: dict[str, Callable[[Iterable[AttemptWithEntries]], Iterator[str]]] = {"csv": _csv_lines, "jsonl": _json_lines}
CONTENT_TYPES = {"csv": CSV_TYPE, "jsonl": "application/jsonl; charset=utf-8"}
