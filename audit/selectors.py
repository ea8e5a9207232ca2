"""Reads of the audit."""

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, cast

from django.db import Error as AnyDatabaseError
from django.db import connections
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Substr
from django.http import Http404

from audit import in_doubt
from audit.bodies import OpeningBody, OutcomeBody
from audit.chain import DATABASE, anchor
from audit.choices import (
    ACCEPTED_OUTCOMES,
    HARMLESS_OUTCOMES,
    IN_DOUBT_OUTCOMES,
    POSSIBLY_APPLIED_OUTCOMES,
    Kind,
    Outcome,
    Source,
)
from audit.customer_index import asked_for, asking_for
from audit.models import Attempt, AuditEntry
from tmsdash.db.broken_rows import BrokenRowError
from tmsdash.db.bulk import IDS_PER_QUERY, parts
from tmsdash.db.expressions import unindexed
from tmsdash.db.transactions import drop_if_broken

CUSTOMERS_AT_ONCE = 20_000  # unless a single attempt has more
# The batch of a chunk stands before its ids, which come last but for a few. No text can hold it: there, quotes have a
# backslash.
_BATCH_ID = re.compile(r'"batch_id": ?"([0-9a-f-]{36})"')
_BEGINNING_OF_BODY = 600  # characters

# With "+", SQLite reads the few that are open instead of the table from its end.
_LAST_UNDECIDED = (
    "SELECT max(+id) FROM audit_attempt WHERE is_open AND cluster_url = %s "  # noqa: S608 (constants)
    f"AND outcome IN ({', '.join(['%s'] * len(IN_DOUBT_OUTCOMES))})"
)

_ANY_OPEN_OF = "SELECT id FROM audit_attempt WHERE is_open AND user_id = %s ORDER BY id LIMIT 1"


def find_attempt(attempt_id: uuid.UUID) -> Attempt | None:
    """Return the attempt, whoever it belongs to, or None."""
    return Attempt.objects.filter(attempt_id=attempt_id).first()


def attempts_by_id(attempt_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Attempt]:
    """Return those of some attempts that exist, whoever they belong to, by their ids."""
    rows = (Attempt.objects.filter(attempt_id__in=part) for part in parts(attempt_ids))
    return {attempt.attempt_id: attempt for part in rows for attempt in part}


def of_few_customers(attempts: Sequence[Attempt]) -> Iterator[list[Attempt]]:
    """Yield attempts in parts whose events, which hold the ids, take some megabytes at most."""
    few: list[Attempt] = []
    customers = 0
    for attempt in attempts:
        customers += attempt.customer_count
        if few and (customers > CUSTOMERS_AT_ONCE or len(few) == IDS_PER_QUERY):
            yield few
            few, customers = [], attempt.customer_count
        few.append(attempt)
    if few:
        yield few


def attempt_for(user: Any, attempt_id: uuid.UUID) -> Attempt:
    """Return the attempt; raises Http404 if there is none, or `user` may not see it."""
    attempt = find_attempt(attempt_id)
    if attempt is None or not may_view_attempt_of(user, attempt.user_id):
        raise Http404
    return attempt


def may_view_attempt_of(user: Any, user_id: str) -> bool:
    """Tell whether `user` sees the attempts of the user called `user_id`: their own, or all."""
    return user_id == user.get_username() or may_view_all_attempts(user)


def may_view_all_attempts(user: Any) -> bool:
    """Tell whether `user` sees other users' attempts: who may view, and who may decide on all."""
    return bool(user.has_perm("audit.view_attempt") or user.has_perm("audit.decide_attempt"))


def may_look_up_customers(user: Any) -> bool:
    """Tell whether `user` may ask what was tried with a customer."""
    return bool(user.has_perm("audit.view_attempt") or user.has_perm("jobs.set_action"))


def may_view_in_full(user: Any, attempt: Attempt) -> bool:
    """Tell whether `user` sees more of an attempt than time, user, action and outcome: it is their own, or all are."""
    return attempt.user_id == user.get_username() or bool(user.has_perm("audit.view_attempt"))


def open_attempts() -> QuerySet[Attempt]:
    """Return the attempts without an outcome, or without the Job that they are owed, oldest first."""
    return Attempt.objects.filter(is_open=True).order_by("id")


def open_attempts_of(user: Any) -> QuerySet[Attempt]:
    """Return the user's own open attempts, oldest first."""
    # Few are open, of whoever it is. The index of a user leads to all that they ever made.
    return open_attempts().filter(*unindexed(user_id=user.get_username()))


def has_open_attempts(user: Any) -> bool:
    """Tell whether the user has open attempts, which as a rule is not so: every list of their jobs asks."""
    with connections[DATABASE].cursor() as cursor:
        cursor.execute(_ANY_OPEN_OF, [user.get_username()])
        return cursor.fetchone() is not None


def attempts_in_doubt_of(user: Any | None) -> QuerySet[Attempt]:
    """Return the attempts in doubt, oldest first: the user's own, or everybody's for None.

    What has no outcome counts as soon as its call is over, or if the clock cannot tell; see `Attempt.is_in_doubt`.
    `in_doubt.count` counts the same.
    """
    after, until = in_doubt.running()
    may_run = Q(outcome=Outcome.PENDING, created_at__gt=after, created_at__lte=until)
    attempts = open_attempts() if user is None else open_attempts_of(user)
    return attempts.filter(outcome__in=IN_DOUBT_OUTCOMES).exclude(may_run)


def batch_ids_of(attempt_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Return the ids of their batches, for those attempts of chunks whose INTENT is not archived."""
    batch_ids: dict[uuid.UUID, uuid.UUID] = {}
    for part in parts(attempt_ids):
        intents = AuditEntry.objects.filter(attempt_id__in=part, kind=Kind.INTENT)
        for attempt_id, beginning in intents.values_list("attempt_id", Substr("body", 1, _BEGINNING_OF_BODY)):
            if match := _BATCH_ID.search(beginning):
                batch_ids[attempt_id] = uuid.UUID(match[1])
    return batch_ids


def count_open() -> tuple[int, datetime | None]:
    """Return how many attempts are open, and when the oldest of them had begun."""
    oldest = open_attempts().first()
    return open_attempts().count(), oldest.begun_by if oldest else None


def undecided_overlaps(cluster_url: str, cids: Sequence[str]) -> list[Attempt]:
    """Return the attempts on a cluster, oldest first, that asked for any of `cids` and have no outcome yet."""
    with connections[DATABASE].cursor() as cursor:  # every Set Action asks, and there is none as a rule
        cursor.execute(_LAST_UNDECIDED, [cluster_url, *IN_DOUBT_OUTCOMES])
        [last] = cursor.fetchone()
    if last is None:
        return []
    undecided = open_attempts().filter(cluster_url=cluster_url, outcome__in=IN_DOUBT_OUTCOMES)
    return _asking_for(undecided, cids, last)


def attempts_touching(attempt: Attempt, cids: Sequence[str]) -> list[Attempt]:
    """Return the other attempts on its cluster that asked something for any of `cids` and may have changed it."""
    others = Attempt.objects.filter(cluster_url=attempt.cluster_url).exclude(pk=attempt.pk)
    return _asking_for(others.exclude(outcome__in=HARMLESS_OUTCOMES), cids)


def any_accepted(cluster_url: str) -> bool:
    """Tell whether a cluster is known to have accepted anything."""
    return Attempt.objects.filter(cluster_url=cluster_url, outcome__in=ACCEPTED_OUTCOMES).exists()


def actions_asked_for(cluster_url: str, cids: Sequence[str]) -> set[tuple[str, int]]:
    """Return (id, action code) of what attempts on a cluster asked for any of `cids` and was, or may be, accepted."""
    telling = {"attempt__cluster_url": cluster_url, "attempt__outcome__in": POSSIBLY_APPLIED_OUTCOMES}
    actions: set[tuple[str, int]] = set()
    for part in parts(cids):
        pairs = asking_for(part).filter(**telling).values_list("cid", "attempt__action_code").distinct()
        actions.update((cid, code) for cid, code in pairs if code is not None)
    return actions


def _asking_for(attempts: QuerySet[Attempt], cids: Sequence[str], last: int | None = None) -> list[Attempt]:
    asking = (asking_for(part, last) for part in parts(cids))
    matches = {attempt for rows in asking for attempt in attempts.filter(pk__in=rows.values("attempt"))}
    return sorted(matches, key=lambda attempt: attempt.pk)


def anchor_of(attempt: Attempt) -> str:
    """Return the anchor of the attempt's newest entry, with which to prove that the audit held it; "" if archived."""
    entry = entries_of(attempt).last()
    return anchor(entry.sequence, entry.mac) if entry else ""


def newest_anchor() -> str:
    """Return the anchor of the newest entry, which proves all that is before it; "" if there is none."""
    entry = AuditEntry.objects.order_by("sequence").last()
    return anchor(entry.sequence, entry.mac) if entry else ""


def entries_of(attempt: Attempt) -> QuerySet[AuditEntry]:
    """Return the attempt's events in their order."""
    return AuditEntry.objects.filter(attempt_id=attempt.attempt_id).order_by("sequence")


def opening_body(attempt: Attempt) -> OpeningBody:
    """Return the body of the event that opened the attempt, with its ids; once archived, it says no more than that."""
    opening = entries_of(attempt).first()
    if opening is None:
        return cast(OpeningBody, {"archived": True, "action_sent": "", "batch_id": None, "cids": []})
    return read_opening(opening.sequence, opening.body)


def read_body(sequence: int, text: str) -> dict[str, Any]:
    """Return the body of an entry; raises BrokenRowError unless its text is a JSON object."""
    try:
        body = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise BrokenRowError(f"The body of audit entry {sequence} is no event of ours.")
    return body


def read_opening(sequence: int, text: str) -> OpeningBody:
    """Return the body of an attempt's first entry; raises BrokenRowError unless it opened the attempt."""
    body = read_body(sequence, text)
    if not isinstance(body.get("cids"), list):
        raise BrokenRowError(f"The attempt of audit entry {sequence} has lost the entry that opened it.")
    return cast(OpeningBody, body)


def jobs_of_log_rows(attempts: Iterable[Attempt]) -> dict[uuid.UUID, uuid.UUID]:
    """Return, for those attempts that are rows of the old audit log, the job of the same action, if it is known."""
    return jobs_of_log_row_ids([attempt.attempt_id for attempt in attempts if attempt.source == Source.LEGACY_LOG])


def jobs_of_log_row_ids(row_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Return the same for some hundred ids of such rows."""
    entries = AuditEntry.objects.filter(attempt_id__in=row_ids, kind=Kind.IMPORTED) if row_ids else ()
    jobs = {entry.attempt_id: json.loads(entry.body).get("job_id") for entry in entries}
    return {row_id: uuid.UUID(job_id) for row_id, job_id in jobs.items() if row_id and job_id}


def outcome_body(attempt: Attempt) -> OutcomeBody:
    """Return the body of the event that the attempt's outcome rests on; empty if there is only the INTENT."""
    entries = list(entries_of(attempt))
    if not entries:  # they are in an archive; what the row holds is still known
        return {"http_status": attempt.http_status, "message": attempt.error_message}
    if strange := [entry.sequence for entry in entries if entry.kind not in Kind]:
        raise BrokenRowError(f"Audit entry {strange[0]} is of no kind of ours.")
    telling = [entry for entry in entries if entry.kind not in (Kind.INTENT, Kind.RECORDED)]
    deciding = max(telling, key=lambda entry: Kind(entry.kind).trust, default=None)
    return cast(OutcomeBody, read_body(deciding.sequence, deciding.body)) if deciding else {}


def note_of(attempt_id: uuid.UUID) -> str:
    """Return the note of an attempt; "" if there is none, there is no such attempt, or the audit does not answer."""
    with suppress(AnyDatabaseError), drop_if_broken(DATABASE):
        return Attempt.objects.filter(attempt_id=attempt_id).values_list("note", flat=True).first() or ""
    return ""


def noted(text: str) -> Q:
    """Return the condition that the note of an attempt holds a text, in capitals or not.

    `attempt_by_note` has the attempts with a note alone, newest first or last, and with the note itself.
    """
    known = text.replace("\0", "")  # no note holds it, and PostgreSQL takes no such text
    return Q(note__gt="", note__icontains=known)


def attempts_of_customer(cid: str) -> QuerySet[Attempt]:
    """Return the attempts that asked for exactly this customer id, newest first."""
    return Attempt.objects.filter(asked_for(cid)).order_by("-pk")


def last_attempts_of(cids: Sequence[str]) -> dict[str, Attempt]:
    """Return the newest attempt on each of some hundred customers, for those of whom anything was ever asked."""
    newest = dict(asking_for(cids).values_list("cid").annotate(newest=Max("attempt_id")))
    attempts = Attempt.objects.in_bulk(set(newest.values()))
    return {cid: attempts[key] for cid, key in newest.items()}


def older_than(attempt: Attempt) -> Q:
    """Return the condition for the attempts that stand behind `attempt` in a list, newest first."""
    return Q(pk__lt=attempt.pk)
