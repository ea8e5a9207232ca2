"""Events of attempts, accounts and exports, and what adds them to the audit while the product runs.

Each writes its events, the attempt's row and its customers in one transaction. All raise DatabaseError when the
audit cannot be written within `wait_s` seconds; nothing is half written.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError
from django.db.backends.utils import CursorWrapper

from audit import chain
from audit.actors import Actor
from audit.bodies import Intent, Refused, outcome_of
from audit.chain import DATABASE, ChainEnd
from audit.choices import ACCEPTED_OUTCOMES, IN_DOUBT_OUTCOMES, Kind, Outcome
from audit.customer_index import add_customers
from audit.groups import write, write_later
from audit.in_flight import assert_room
from audit.models import CID_LENGTH, Attempt
from audit.overlap import OverlapError, attempts_sharing
from audit.selectors import find_attempt
from audit.tallies import forget
from tmsdash.db import clock
from tmsdash.db.bulk import LONG_LIST, Listed
from tmsdash.db.rows import Rows
from tmsdash.kill_points import kill_point
from tmsdash.text import one_line

STATE_FIELDS = ("outcome", "is_open", "job_owed")  # what tells whether an attempt has moved
MOVING_FIELDS = ("outcome", "decided_at", "http_status", "error_message", "is_open", "job_owed")
# What an attempt's row repeats of the event that opened it.
OPENING_COLUMNS = ("action_code", "action_name", "cluster_url", "source", "customer_count", "payload_digest")
NOTE = "note"  # the same, if its user wrote one
REFUSED_CIDS_KEPT = 500  # of a refused list, which anybody can make as long as they like

Event = tuple[Kind, Mapping[str, Any]]  # a kind and the body that goes with it, see audit.bodies


def open_attempt(
    attempt_id: uuid.UUID,
    actor: Actor,
    intent: Intent,
    *,
    accepted_since: datetime,
    covers: Callable[[Attempt, frozenset[str]], bool] = lambda attempt, cids: False,
    at_most: int | None = None,
    wait_s: float,
) -> tuple[Attempt, bool]:
    """Write the INTENT and return the new attempt and True; or, if there is one with this id, that one and False.

    Raises OverlapError, and writes nothing, if customers are part of another attempt at the same action that is open,
    or that TMS accepted after `accepted_since`. Those whose customers a user's word `covers` do not count. Raises
    NoRoomError, and writes nothing, if `at_most` calls are in flight already, on all hosts together.
    """
    opening = _Opening(attempt_id, actor, Kind.INTENT, intent)
    target = intent["cluster_url"], intent["action_code"]

    def open_unless_shared(end: ChainEnd) -> tuple[Attempt, bool]:
        shared = attempts_sharing(*target, opening.cids, accepted_since)
        uncovered = {attempt: common for attempt, common in shared.items() if not covers(attempt, common)}
        known = find_attempt(attempt_id) if uncovered else None
        if uncovered and not known:
            raise OverlapError(uncovered)
        if at_most is not None and not known:
            assert_room(end.cursor, at_most)
        if not known and opening.write(end):
            return opening.attempt, True
        return known or Attempt.objects.get(attempt_id=attempt_id), False

    return write(open_unless_shared, wait_s, alone=len(opening.cids) > LONG_LIST)


def refuse_attempt(attempt_id: uuid.UUID, actor: Actor, refused: Refused, *, wait_s: float) -> Attempt:
    """Write a REFUSED attempt. Of a long list only the first REFUSED_CIDS_KEPT ids are kept."""
    kept: Refused = {**refused, "cids": refused["cids"][:REFUSED_CIDS_KEPT]}
    opening = _Opening(attempt_id, actor, Kind.REFUSED, kept)

    def refuse(end: ChainEnd) -> Attempt:
        if not opening.write(end):
            raise IntegrityError(f"there is an attempt {attempt_id} already")
        return opening.attempt

    return write(refuse, wait_s)


def record_events(
    attempt_id: uuid.UUID,
    events: Sequence[Event],
    *,
    wait_s: float,
    actor: Actor | None = None,
    known: Attempt | None = None,
) -> Attempt:
    """Add `events` to an attempt that was opened before; those that it has already are left alone.

    A body may hold `http_status` and `message`, which lists show. Returns the attempt as it is then. It is not read if
    its row is still as its caller knows it, who knows of no such event then.
    """
    [attempt] = write(_recording({attempt_id: events}, actor, known), wait_s)
    return attempt


def record_many(events_of: Mapping[uuid.UUID, Sequence[Event]], *, wait_s: float, actor: Actor | None) -> list[Attempt]:
    """Add events to several attempts in one transaction, as `record_events` does to one; return them as given."""
    return write(_recording(events_of, actor), wait_s)


def record_later(
    attempt_id: uuid.UUID,
    events: Sequence[Event],
    *,
    on_failure: Callable[[BaseException], None],
    known: Attempt | None = None,
) -> None:
    """Add events soon, as `record_events` does, with what others write.

    Nobody waits for it; `on_failure` is called if they were not added.
    """
    write_later(_recording({attempt_id: events}, None, known), on_failure)


def record_fact(kind: Kind, body: Mapping[str, Any], *, actor: Actor, wait_s: float) -> None:
    """Add an event that belongs to no attempt: a sign-in, an export, a change of an account or a setting."""
    entry = chain.new_entry(None, kind, actor.user_id, body, ip_address=actor.ip_address)
    write(lambda end: end.add(entry), wait_s)


def close_doubt(attempt_id: uuid.UUID, event: Event, *, wait_s: float, actor: Actor) -> tuple[Attempt, bool]:
    """Add what a reading or a person says of an attempt, unless its outcome has become known meanwhile.

    Returns the attempt as it is then, and whether the event was added.
    """
    prepared = _PreparedEvent(event)

    def close(end: ChainEnd) -> tuple[Attempt, bool]:
        [(attempt, kinds)] = _locked(end.cursor, [attempt_id])
        is_in_doubt = attempt.outcome in IN_DOUBT_OUTCOMES
        if is_in_doubt:
            _add_events(end, attempt, kinds, [prepared], actor)
        return attempt, is_in_doubt

    return write(close, wait_s)


class _Opening:
    """The row and the first event of an attempt, prepared before the audit is locked."""

    def __init__(self, attempt_id: uuid.UUID, actor: Actor, kind: Kind, opening: Intent | Refused) -> None:
        # What is too long for its column, or would break a line of a log, is made to fit in the event as well.
        name, cluster_url = one_line(opening["action_name"], CID_LENGTH), one_line(opening["cluster_url"], 300)
        self._kind = kind
        self._body: dict[str, Any] = {**opening, "action_name": name, "cluster_url": cluster_url}
        columns = {column: self._body[column] for column in OPENING_COLUMNS} | {NOTE: self._body.get(NOTE, "")}
        shown = {"user_id": actor.user_id, "ip_address": actor.ip_address}
        self.attempt = Attempt(attempt_id=attempt_id, **shown, **columns)
        self._entry = chain.new_entry(attempt_id, kind, body=chain.prepared(self._body), action_type=name, **shown)
        self._cids = Listed.of(DATABASE, sorted(opening["cids"]))

    @property
    def cids(self) -> Listed:
        """The customers."""
        return self._cids

    def write(self, end: ChainEnd) -> bool:
        """Insert them, and the customers; False, and nothing is written, if there is an attempt with this id."""
        attempt = self.attempt
        attempt.created_at, attempt.outcome = clock.now(DATABASE), ""  # whether or not this was done and undone before
        project(attempt, self._kind, self._body, attempt.created_at)
        if not _ATTEMPTS.insert_unless_taken(end.cursor, attempt):
            return False
        add_customers(attempt.pk, self._cids)
        end.add(self._entry, attempt.created_at)
        kill_point("audit: attempt added, not committed")
        return True


class _PreparedEvent:
    """An event to be added to an attempt, prepared before the audit is locked."""

    def __init__(self, event: Event) -> None:
        self.kind, self.body = event
        self.text = chain.prepared(self.body)


def _recording(
    events_of: Mapping[uuid.UUID, Sequence[Event]], actor: Actor | None, known: Attempt | None = None
) -> Callable[[ChainEnd], list[Attempt]]:
    """Return the work of adding events to attempts, which returns these; `known` is the only one, if it is given."""
    prepared = [[*map(_PreparedEvent, events)] for events in events_of.values()]
    expected = known and known.copy()  # its caller may go on with the other one before this is written

    def record(end: ChainEnd) -> list[Attempt]:
        moved = expected and expected.copy()  # this may be undone, and done again
        if moved and _move(end, moved, prepared[0], actor, STATE_FIELDS):
            return [moved]
        locked = _locked(end.cursor, [*events_of])
        for (attempt, kinds), events in zip(locked, prepared, strict=True):
            _add_events(end, attempt, kinds, events, actor)
        return [attempt for attempt, _ in locked]

    return record


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


def _moving(attempt: Attempt) -> dict[str, Any]:
    return {name: getattr(attempt, name) for name in MOVING_FIELDS}


def _locked(cursor: CursorWrapper, attempt_ids: Sequence[uuid.UUID]) -> list[tuple[Attempt, set[str]]]:
    """Return attempts, in the order of their ids in the list, each with the kinds of events that it has already."""
    if cursor.db.vendor == "postgresql":
        cursor.execute(_LOCKED_POSTGRESQL, [[*attempt_ids]])
    else:
        cursor.execute(_LOCKED_SQLITE, [json.dumps([attempt_id.hex for attempt_id in attempt_ids])])
    rows = cursor.fetchall()
    attempts = [(_ATTEMPTS.read(columns), set((kinds or "").split(",")) - {""}) for *columns, kinds in rows]
    if len(attempts) < len(attempt_ids):
        raise Attempt.DoesNotExist("events can only be added to attempts that were opened")
    place = {attempt_id: number for number, attempt_id in enumerate(attempt_ids)}
    return sorted(attempts, key=lambda attempt: place[attempt[0].attempt_id])


_ATTEMPTS = Rows(DATABASE, Attempt)
_LOCKED = (  # with the kinds of an attempt's events; %s is what sets them side by side, and which attempts
    f"SELECT {_ATTEMPTS.columns_of('attempt')}, "  # noqa: S608 (names of ours)
    "(SELECT {kinds} FROM audit_auditentry AS entry WHERE entry.attempt_id = attempt.attempt_id) "
    "FROM audit_attempt AS attempt WHERE attempt.attempt_id {listed} ORDER BY attempt.id"
)
_LOCKED_SQLITE = _LOCKED.format(kinds="group_concat(kind)", listed="IN (SELECT value FROM json_each(%s))")
# The head of the chain, which its writers lock first, keeps them apart. The rows are locked for everybody else.
_LOCKED_POSTGRESQL = _LOCKED.format(kinds="string_agg(kind, ',')", listed="= ANY(%s::uuid[])") + " FOR UPDATE"


def _add_events(
    end: ChainEnd, attempt: Attempt, kinds: set[str], events: Sequence[_PreparedEvent], actor: Actor | None
) -> None:
    """Add those of `events` whose kind is not among its `kinds` yet, and move the attempt's row by them.

    They are of the attempt's own user unless an actor is named.
    """
    new = [event for event in events if event.kind not in kinds]
    if not kinds or not new:  # without kinds even the event that opened it is in an archive: it is closed for good
        return
    _move(end, attempt, new, actor)


def _move(
    end: ChainEnd,
    attempt: Attempt,
    events: Sequence[_PreparedEvent],
    actor: Actor | None,
    unmoved: Sequence[str] = (),
) -> bool:
    """Add events to an attempt, and move its row by them.

    False, and nothing is written, if any of the columns `unmoved` holds something else in the row by now. One that was
    just read is moved whatever it holds: somebody else may have written there what no comparison finds again.
    """
    at, before = clock.now(DATABASE), _moving(attempt)
    for event in events:
        project(attempt, event.kind, event.body, at)
    # Columns that are given the value that they have would be written again in each of their indexes.
    changed = tuple(name for name, value in _moving(attempt).items() if value != before[name]) or MOVING_FIELDS[:1]
    if not _ATTEMPTS.update(end.cursor, attempt, changed, {name: before[name] for name in unmoved}):
        return False
    user_id, ip_address = (actor.user_id, actor.ip_address) if actor else (attempt.user_id, attempt.ip_address)
    shown = {"action_type": attempt.action_name, "ip_address": ip_address}
    for event in events:
        end.add(chain.new_entry(attempt.attempt_id, event.kind, user_id, event.text, **shown), at)
    kill_point("audit: events added, not committed")
    if attempt.outcome != before["outcome"]:
        forget(attempt, at, was_in_doubt=before["outcome"] in IN_DOUBT_OUTCOMES)
    return True
