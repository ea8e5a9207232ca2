"""Whether a Job is evidence: whether it is what the audit says of its attempt, and what was signed when it was written.

A Job is compared column by column with the event that opened its attempt and with the answer that it rests on, and,
once it is recorded, with the digest that RECORDED carries. Where the audit holds no answer, because it could not
be written, only the Job's signature makes it one of ours: somebody who can write to the database, but has no key,
cannot turn an unknown attempt into an accepted one.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from audit import chain
from audit.bodies import Intent, OutcomeBody, Recorded
from audit.choices import Evidence, Kind, Outcome, Ruling
from audit.proof import lost_keys
from audit.proof.projection import problems_of_attempt
from audit.proof.stored import StoredEntry, stored_entries
from jobs.models import Job
from jobs.services import AcceptedAttempt
from jobs.signatures import job_is_signed
from jobs.stored import StoredJob, plain
from tmsdash.db import clock
from tmsdash.text import one_line

OUR_EVIDENCE = (Evidence.REPLY, Evidence.READ_BACK, Evidence.DECIDED)
FOUND_BY_JOB = "found by its job"  # the message of an answer that was taken from a Job, as the audit had lost it
UNKNOWN_KEY = "which is neither AUDIT_KEY nor in AUDIT_OLD_KEYS."
CLOCKS_DIFFER = timedelta(minutes=1)
SHOWN_CHARACTERS = 60


class History:
    """What the audit's entries say of one attempt."""

    def __init__(self, entries: Iterable[StoredEntry]) -> None:
        self.entries = list(entries)
        self._by_kind = {entry.kind: entry for entry in self.entries}

    def __contains__(self, kind: Kind) -> bool:
        return kind in self._by_kind

    def entry(self, kind: Kind) -> StoredEntry:
        """Return the entry of a kind, which the attempt has."""
        return self._by_kind[kind]

    def body(self, kind: Kind) -> dict[str, Any]:
        """Return the body of the entry of a kind, empty if the attempt has none."""
        body: dict[str, Any] = json.loads(self._by_kind[kind].body) if kind in self else {}
        return body

    def makes_job_due(self, kind: Kind) -> bool:
        """Tell whether the attempt has an event of this kind, and this event says that TMS accepted."""
        return kind in self and (kind != Kind.DECIDED or self.body(kind).get("ruling") == Ruling.APPLIED)

    def evidence(self) -> Evidence | None:
        """Return what a Job of this attempt rests on, the most trusted first; None if none is due."""
        return next((evidence for evidence in OUR_EVIDENCE if self.makes_job_due(evidence.kind)), None)

    def accepted(self, attempt_id: uuid.UUID) -> AcceptedAttempt:
        """Return what the Job is made from, read from the entries alone: the attempt's row may have been changed."""
        evidence = self.evidence() or Evidence.REPLY
        # A Job that was lost after it was recorded gets its time back, or else its digest would not fit.
        accepted_at = self.body(Kind.RECORDED).get("job_created_at") or self.entry(evidence.kind).time
        return AcceptedAttempt(
            attempt_id=attempt_id,
            user_id=self.entry(Kind.INTENT).user_id,
            intent=cast(Intent, self.body(Kind.INTENT)),
            answer=cast(OutcomeBody, self.body(evidence.kind)),
            evidence=evidence,
            accepted_at=_time(accepted_at),
        )

    def signature_problems(self) -> Iterator[str]:
        """Yield a sentence about each entry that is not as it was signed; only the whole chain proves its place."""
        keys, excused = chain.known_keys(), None
        for entry in self.entries:
            is_signed = entry.is_signed(keys)
            if is_signed is None:
                # An administrator acknowledged that this key is lost, for entries up to a certain one.
                excused = lost_keys.excused_numbers(lost_keys.acknowledged()) if excused is None else excused
                if entry.sequence <= excused.get(entry.key_id, 0):
                    continue
                yield f"Its entry {entry.sequence} is signed with the key {entry.key_id}, {UNKNOWN_KEY}"
            elif not is_signed:
                yield f"Its entry {entry.sequence} was changed: its mac does not match what it says."


def read_histories(attempt_ids: Sequence[uuid.UUID]) -> dict[str, History]:
    """Return what the audit says of each of some hundred attempts, by their ids as 32 hex digits."""
    entries: dict[str, list[StoredEntry]] = {attempt_id.hex: [] for attempt_id in attempt_ids}
    if attempt_ids:
        literals = ", ".join(f"'{digits}'" for digits in entries)  # both engines take a UUID so
        for entry in stored_entries(f"attempt_id IN ({literals})"):
            entries[entry.attempt_id].append(entry)
    return {attempt_id: History(of_attempt) for attempt_id, of_attempt in entries.items()}


def doubt_problems(attempt_id: uuid.UUID) -> list[str]:
    """Return a sentence on everything that makes what is known of an attempt in doubt no ground for a verdict."""
    return [*read_histories([attempt_id])[attempt_id.hex].signature_problems(), *problems_of_attempt(attempt_id)]


def recorded_body(job: StoredJob, *, by: str = "") -> Recorded:
    """Return the body of the event that says that a Job is committed, `by` somebody else than the service.

    It holds the digest of the Job and its time, so that a later change is noticed, and a Job that was lost can be
    made again as it was. A Job without a signature gets neither: it is compared field by field.
    """
    body: Recorded = {"job_id": str(uuid.UUID(job.job_id))}
    if by:
        body["by"] = by
    return {**body, "job_created_at": job.created_at, "job_digest": job.digest} if job.mac else body


def problems_of(job: StoredJob, history: History) -> list[str]:
    """Return a sentence for each way in which a Job is not what the audit says; none if it is evidence."""
    try:
        return [*_problems(job, history)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ["What it says, or what the audit says of its attempt, cannot be understood."]


def _problems(job: StoredJob, history: History) -> Iterator[str]:
    denial = next((kind for kind in (Kind.REFUSED, Kind.REJECTED, Kind.NOT_SENT) if kind in history), None)
    if Kind.IMPORTED in history:
        yield from _differences(job, _imported(history))
    elif denial is not None:
        yield f"The audit says of its attempt: {denial.label}. There can be no Job of it."
        return
    elif Kind.INTENT not in history:
        yield (
            "The audit knows no such attempt: somebody wrote this Job, or the audit was put back to an earlier state. "
            "Compare the backups."
        )
        return
    else:
        yield from _differences(job, _asked(history))
        yield from _answer_problems(job, history)
    if not job.is_in_order:
        yield "The positions of its customers do not count from 0 without a gap."
    yield from _signature_problems(job, history)


def _asked(history: History) -> dict[str, Any]:
    """Return the columns that are known when the attempt begins."""
    body, entry = history.body(Kind.INTENT), history.entry(Kind.INTENT)
    cids = tuple(body["cids"])
    return {
        "user_id": entry.user_id,
        "batch_id": _hex(body["batch_id"]),
        **{name: body[name] for name in ("action_code", "action_name", "cluster_url", "source")},
        "cids": cids,
        "customer_count": len(cids),
        "request_payload": {"action": body["action_sent"], "cids": list(cids)},
        "status": Job.Status.SUCCESS.value,
        "legacy": False,
        "old_status": "",
        "doubles": "",
    }


def _imported(history: History) -> dict[str, Any]:
    """Return all columns of a Job of the old dashboard."""
    body, entry = history.body(Kind.IMPORTED), history.entry(Kind.IMPORTED)
    outcome, cids, old = Outcome(body["outcome"]), tuple(body["cids"]), body["old"]
    return {
        "user_id": entry.user_id,
        "batch_id": _hex(old.get("batch_id")),
        **{name: body[name] for name in ("action_code", "action_name", "cluster_url", "source", "http_status")},
        "cids": cids,
        "customer_count": len(cids),
        "request_payload": body["payload"],
        "response_summary": body["answer"],
        "created_at": body["time"],
        "status": outcome.removeprefix("legacy_"),
        "evidence": Evidence.LEGACY.value,
        "legacy": True,
        "old_status": one_line(str(old.get("status") or ""), 64),
        "doubles": _hex(body["doubles"]),
    }


def _hex(value: Any) -> str:
    try:
        return uuid.UUID(str(value)).hex
    except ValueError:
        return ""


def _differences(job: StoredJob, expected: dict[str, Any]) -> Iterator[str]:
    for name, value in expected.items():
        actual = getattr(job, name)
        if plain(actual) == plain(value) and type(actual) is type(value):
            continue
        if name in ("cids", "request_payload"):  # too long to be shown
            what = "customers, or their order, are" if name == "cids" else "request_payload is"
            yield f"Its {what} not what the audit says."
        else:
            yield f"Its {name} is {_shown(actual)}; the audit says {_shown(value)}."


def _shown(value: Any) -> str:
    return one_line(repr(value), SHOWN_CHARACTERS)


def _answer_problems(job: StoredJob, history: History) -> Iterator[str]:
    """Compare a Job with the answer that it rests on."""
    if job.evidence not in OUR_EVIDENCE:
        yield f"Its evidence is {_shown(job.evidence)}, which is none."
        return
    kind = Evidence(job.evidence).kind
    if history.makes_job_due(kind):
        answer = history.body(kind)
        status = answer.get("http_status") if kind == Kind.ACCEPTED or _was_taken_from_job(answer) else None
        yield from _differences(job, {"http_status": status})
        if plain(job.response_summary) not in _summaries(kind, answer) and not (
            kind == Kind.ACCEPTED and answer.get("data") is None and job.mac
        ):
            yield "Its response_summary is not what the audit says."
        yield from _time_problems(job, history)
    elif not job.mac or not job_is_signed(job):
        yield (
            f"It rests on {kind.value}, which the audit does not hold, and it has no signature of ours: it is no "
            "evidence. Find out who wrote it, and remove it."
        )
    elif job.evidence != Evidence.REPLY and (Kind.NOT_APPLIED in history or Kind.DECIDED in history):
        yield "It rests on a reading or a person, and the audit says that nothing was applied."


def _was_taken_from_job(answer: dict[str, Any]) -> bool:
    return answer.get("message") == FOUND_BY_JOB


def _summaries(kind: Kind, answer: dict[str, Any]) -> list[Any]:
    """Return what a Job may say of its answer: TMS's JSON, which is dropped where a database does not take it."""
    if kind == Kind.ACCEPTED or _was_taken_from_job(answer):
        return [plain(answer.get("data") or {}), {}]
    return [plain(answer)]


def _time_problems(job: StoredJob, history: History) -> Iterator[str]:
    """Yield whether the Job's time cannot be: before it was asked for, or after it was recorded."""
    recorded = history.body(Kind.RECORDED)
    if "job_created_at" in recorded:
        yield from _differences(job, {"created_at": recorded["job_created_at"]})
        return
    first = _time(history.entry(Kind.INTENT).time)
    last = _time(history.entry(Kind.RECORDED).time) if Kind.RECORDED in history else clock.known_now(chain.DATABASE)
    if not first - CLOCKS_DIFFER <= _time(job.created_at) <= last + CLOCKS_DIFFER:
        yield f"Its created_at is {_shown(job.created_at)}, which is not between its attempt's events."


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _signature_problems(job: StoredJob, history: History) -> Iterator[str]:
    digest = history.body(Kind.RECORDED).get("job_digest")
    if digest is not None and digest != job.digest:
        yield "It was changed after it was recorded: the digest in its RECORDED entry does not match."
    if not job.mac:
        if job.key_id or digest is not None:
            yield "Its signature was removed."
    elif job.key_id not in chain.known_keys():
        # A key that is lost: RECORDED vouches for the Job, if it is of the time of that key.
        if digest is None or job.key_id not in {entry.key_id for entry in history.entries}:
            yield f"It is signed with the key {_shown(job.key_id)}, {UNKNOWN_KEY}"
    elif not job_is_signed(job):
        yield "It was changed after it was written: its signature does not match."
