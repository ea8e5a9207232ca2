"""Events of attempts, accounts and exports, and what adds them to the audit while the product runs.

Each writes its events, the attempt's row and its customers in one transaction. All raise DatabaseError when the
audit cannot be written within `wait_s` seconds; nothing is half written.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from django.db import IntegrityError

from audit import chain
from audit.actors import Actor
from audit.bodies import Intent, Refused, outcome_of
from audit.chain import DATABASE
from audit.choices import ACCEPTED_OUTCOMES, IN_DOUBT_OUTCOMES, Kind, Outcome
from audit.models import CID_LENGTH, Attempt, AttemptCustomer, AuditEntry
from audit.overlap import OverlapError, attempts_sharing
from audit.selectors import find_attempt
from tmsdash.db.bulk import insert_list
from tmsdash.db.transactions import one_at_a_time, write_transaction
from tmsdash.kill_points import kill_point
from tmsdash.text import one_line

MOVING_FIELDS = ("outcome", "decided_at", "http_status", "error_message", "is_open", "job_owed")
# What an attempt's row repeats of the event that opened it.
OPENING_COLUMNS = (
    *("action_code", "action_name", "cluster_url", "source", "customer_count"),
    *("payload_digest", "list_digest"),
)
REFUSED_CIDS_KEPT = 500  # of a refused list, which anybody can make as long as they like

Event = tuple[Kind, Mapping[str, Any]]  # a kind and the body that goes with it, see audit.bodies


def open_attempt(
    attempt_id: uuid.UUID,
    actor: Actor,
    intent: Intent,
    *,
    accepted_since: datetime,
    covers: Callable[[Attempt, frozenset[str]], bool] = lambda attempt, cids: False,
    wait_s: float,
) -> tuple[Attempt, bool]:
    """Write the INTENT and return the new attempt and True; or, if there is one with this id, that one and False.

    Raises OverlapError, and writes nothing, if customers are part of another attempt at the same action that is open,
    or that TMS accepted after `accepted_since`. Those whose customers a user's word `covers` do not count.
    """
    try:
        with write_transaction(DATABASE, wait_s):
            target = intent["cluster_url"], intent["action_code"]
            # Two that share customers must not both miss the other.
            one_at_a_time(DATABASE, "{} {}".format(*target))
            if known := find_attempt(attempt_id):
                return known, False
            shared = attempts_sharing(*target, intent["cids"], accepted_since)
            if uncovered := {attempt: cids for attempt, cids in shared.items() if not covers(attempt, cids)}:
                raise OverlapError(uncovered)
            return _add_attempt(attempt_id, actor, Kind.INTENT, intent), True
    except IntegrityError:
        # PostgreSQL lets two transactions insert the same attempt id; the later one comes here.
        known = find_attempt(attempt_id)
        if known is None:
            raise
        return known, False


def refuse_attempt(attempt_id: uuid.UUID, actor: Actor, refused: Refused, *, wait_s: float) -> Attempt:
    """Write a REFUSED attempt. Of a long list only the first REFUSED_CIDS_KEPT ids are kept."""
    kept: Refused = {**refused, "cids": refused["cids"][:REFUSED_CIDS_KEPT]}
    with write_transaction(DATABASE, wait_s):
        return _add_attempt(attempt_id, actor, Kind.REFUSED, kept)


def record_events(
    attempt_id: uuid.UUID, events: Sequence[Event], *, wait_s: float, actor: Actor | None = None
) -> Attempt:
    """Add `events` to an attempt that was opened before; those that it has already are left alone.

    A body may hold `http_status` and `message`, which lists show. Returns the attempt as it is then.
    """
    return record_many({attempt_id: events}, wait_s=wait_s, actor=actor)[0]


def record_many(events_of: Mapping[uuid.UUID, Sequence[Event]], *, wait_s: float, actor: Actor | None) -> list[Attempt]:
    """Add events to several attempts in one transaction, as `record_events` does to one; return them as given."""
    with write_transaction(DATABASE, wait_s):
        attempts, kinds = _locked(list(events_of))
        added = [
            entry
            for attempt_id, events in events_of.items()
            for entry in _add_events(attempts[attempt_id], kinds[attempt_id], events, actor)
        ]
        chain.append(added)
        kill_point("audit: events added, not committed")
    return [attempts[attempt_id] for attempt_id in events_of]


def record_fact(kind: Kind, body: Mapping[str, Any], *, actor: Actor, wait_s: float) -> None:
    """Add an event that belongs to no attempt: a sign-in, an export, a change of an account or a setting."""
    with write_transaction(DATABASE, wait_s):
        chain.append([_new_entry(None, kind, actor, body)])


def close_doubt(attempt_id: uuid.UUID, event: Event, *, wait_s: float, actor: Actor) -> tuple[Attempt, bool]:
    """Add what a reading or a person says of an attempt, unless its outcome has become known meanwhile.

    Returns the attempt as it is then, and whether the event was added.
    """
    with write_transaction(DATABASE, wait_s):
        attempts, kinds = _locked([attempt_id])
        attempt = attempts[attempt_id]
        is_in_doubt = attempt.outcome in IN_DOUBT_OUTCOMES
        if is_in_doubt:
            chain.append(_add_events(attempt, kinds[attempt_id], [event], actor))
    return attempt, is_in_doubt


def project(attempt: Attempt, kind: Kind, body: Mapping[str, Any], at: datetime) -> None:
    """Bring the attempt's row, unsaved, to where one more event, of the time `at`, takes it.

    An event that is trusted less than what the outcome rests on changes nothing; see Kind.trust.
    """
    had_job = attempt.has_job
    if kind == Kind.RECORDED:
        had_job = True
    elif not attempt.outcome or kind.trust > Outcome(attempt.outcome).kind.trust:
        attempt.outcome = outcome_of(kind, body)
        attempt.decided_at = None if kind == Kind.INTENT else at
        attempt.http_status = body.get("http_status")
        accepted = attempt.outcome in ACCEPTED_OUTCOMES
        attempt.error_message = "" if accepted else one_line(body.get("message") or "")
    attempt.job_owed = attempt.outcome in ACCEPTED_OUTCOMES and not had_job
    attempt.is_open = attempt.outcome in IN_DOUBT_OUTCOMES or attempt.job_owed


def _locked(attempt_ids: Sequence[uuid.UUID]) -> tuple[dict[uuid.UUID, Attempt], dict[uuid.UUID, set[str]]]:
    """Return attempts, locked until the transaction ends, and the kinds of events that each has already."""
    # The row locks are for PostgreSQL, where all take them in one order; SQLite's transactions are alone anyway.
    rows = Attempt.objects.select_for_update().filter(attempt_id__in=attempt_ids).order_by("pk")
    attempts = {attempt.attempt_id: attempt for attempt in rows}
    if len(attempts) < len(attempt_ids):
        raise Attempt.DoesNotExist("events can only be added to attempts that were opened")
    kinds: dict[uuid.UUID, set[str]] = {attempt_id: set() for attempt_id in attempt_ids}
    for attempt_id, kind in AuditEntry.objects.filter(attempt_id__in=attempt_ids).values_list("attempt_id", "kind"):
        kinds[cast(uuid.UUID, attempt_id)].add(kind)
    return attempts, kinds


def _add_events(attempt: Attempt, kinds: set[str], events: Sequence[Event], actor: Actor | None) -> list[AuditEntry]:
    """Move the attempt's row by those of `events` whose kind is not among its `kinds` yet; return their new entries."""
    added: list[AuditEntry] = []
    if not kinds:  # even the event that opened it is in an archive: it is closed for good
        return added
    for kind, body in events:
        if kind not in kinds:
            kinds.add(kind)
            entry = _new_entry(attempt, kind, actor, body)
            project(attempt, kind, body, entry.created_at)
            added.append(entry)
    attempt.save(update_fields=MOVING_FIELDS)
    return added


def _add_attempt(attempt_id: uuid.UUID, actor: Actor, kind: Kind, opening: Intent | Refused) -> Attempt:
    """Insert the row, the customers and the first event of an attempt."""
    # What is too long for its column, or would break a line of a log, is made to fit in the event as well.
    name, cluster_url = one_line(opening["action_name"], CID_LENGTH), one_line(opening["cluster_url"], 300)
    body = {**opening, "action_name": name, "cluster_url": cluster_url}
    columns = {column: body[column] for column in OPENING_COLUMNS}
    attempt = Attempt(attempt_id=attempt_id, user_id=actor.user_id, ip_address=actor.ip_address, **columns)
    entry = _new_entry(attempt, kind, None, body)
    attempt.created_at = entry.created_at
    project(attempt, kind, body, attempt.created_at)
    attempt.save(force_insert=True)
    insert_list(DATABASE, AttemptCustomer._meta.db_table, "attempt_id", attempt.pk, opening["cids"])
    chain.append([entry])
    kill_point("audit: attempt added, not committed")
    return attempt


def _new_entry(attempt: Attempt | None, kind: Kind, actor: Actor | None, body: Mapping[str, Any]) -> AuditEntry:
    """Return the entry of an event, of the attempt's own user unless an actor is named."""
    if actor is None:
        actor = Actor(user_id=attempt.user_id, ip_address=attempt.ip_address) if attempt else Actor(user_id="")
    attempt_id, action_name = (attempt.attempt_id, attempt.action_name) if attempt else (None, "")
    shown = {"action_type": action_name, "ip_address": actor.ip_address}
    return chain.new_entry(attempt_id, kind, actor.user_id, body, **shown)
