"""Attempts as rows, made as the product makes them, without its services: chained, signed, and with their Jobs.

A test has `audit_verify --jobs` judge what comes out.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings

from audit import chain
from audit.bodies import Recorded
from audit.choices import ACCEPTED_OUTCOMES, Action, Evidence, Kind, Source
from audit.digests import canonical, digest, list_digest
from audit.models import Attempt, AttemptCustomer, AuditEntry, ChainHead, segment_of
from audit.services import NOTE, OPENING_COLUMNS, project
from jobs.models import Job, JobCustomer, customers_from
from jobs.signatures import sign_job
from jobs.stored import COLUMNS, StoredJob, row_values
from setactions.devtools.demo_data.bulk_rows import BulkRows, last_pk
from setactions.proof.job_evidence import recorded_body

_ENTRY = "sequence, previous_mac, mac, key_id, attempt_id, kind, created_at, user_id, action_type, ip_address, body"
_ATTEMPT = (
    "id, attempt_id, user_id, ip_address, created_at, outcome, decided_at, is_open, job_owed, http_status, "
    f"error_message, {', '.join(OPENING_COLUMNS)}, {NOTE}"
)
_JOB = f"id, {', '.join(COLUMNS)}"
_SOME_TIME = datetime(1970, 1, 1, tzinfo=UTC)

Event = tuple[Kind, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class MadeAttempt:
    """An attempt that never was: `opening` is the body of its first event, `events` came after it.

    The first of them came `took` after `at`; each other one as long after the one before.
    """

    attempt_id: uuid.UUID
    user_id: str
    ip_address: str
    at: datetime
    opening: Mapping[str, Any]
    kind: Kind = Kind.INTENT
    events: Sequence[Event] = ()
    took: timedelta = timedelta(seconds=1)

    @property
    def last_at(self) -> datetime:
        """When its last event came."""
        return self.at + self.took * len(self.events)


def intent_body(action: Action, cluster_url: str, cids: Sequence[str], source: str, **facts: Any) -> dict[str, Any]:
    """Return the body of an INTENT; `facts` are further ones of a chunk or a batch."""
    sent = {"cluster": cluster_url, "action": action.label, "cids": cids}
    return {
        "action_code": action.value,
        "action_name": action.label,
        "action_sent": action.label,
        "batch_id": None,
        "cids": cids,
        "cluster_url": cluster_url,
        "customer_count": len(cids),
        "list_digest": list_digest(cluster_url, action.value, cids),
        "payload_digest": digest(sent),
        "repeated": 0,
        "send_again": False,
        "source": source,
        **facts,
    }


def accepted_attempt(
    attempt_id: uuid.UUID, user_id: str, at: datetime, cids: Sequence[str], cluster_url: str = "https://bench.example"
) -> MadeAttempt:
    """Return the plainest attempt: PE-Enable by a script, accepted."""
    opening = intent_body(Action.PE_ENABLE, cluster_url, cids, Source.API.value)
    took, events = timedelta(0), [(Kind.ACCEPTED, {"http_status": 200, "data": {"success": True}})]
    return MadeAttempt(
        attempt_id=attempt_id, user_id=user_id, ip_address="", at=at, opening=opening, events=events, took=took
    )


class AttemptRows:
    """Puts attempts and other events behind what the audit and the jobs database hold already.

    Accepted ones get their RECORDED, and their Job unless `with_jobs` is false. Without `with_entries` the audit gets
    the attempts' rows and customers only, with which nothing but an index can be measured.
    """

    def __init__(self, *, with_entries: bool = True, with_jobs: bool = True) -> None:
        head = ChainHead.objects.get()
        self._sequence, self._mac = head.sequence, head.mac
        self._key, self._key_id = settings.AUDIT_KEY, chain.id_of_key(settings.AUDIT_KEY)
        self._attempt_pk, self._job_pk = last_pk(Attempt), last_pk(Job)
        self._with_entries, self._with_jobs = with_entries, with_jobs
        self._audit, self._jobs = BulkRows("audit"), BulkRows("jobs")
        self._scratch = Attempt()
        self.jobs = 0

    def add(self, attempt: MadeAttempt) -> None:
        """Add an attempt with its customers, its events, and its Job if it was accepted."""
        events = [(attempt.kind, attempt.opening), *attempt.events]
        times = [chain.stored_time(attempt.at + attempt.took * number) for number in range(len(events))]
        row = self._projected(events)
        cids, digits = attempt.opening["cids"], attempt.attempt_id.hex
        if row.outcome in ACCEPTED_OUTCOMES:
            recorded: Recorded = self._add_job(attempt, events[-1], times[-1], row) if self._with_jobs else {}
            events.append((Kind.RECORDED, recorded))
            times.append(times[-1])
            project(row, Kind.RECORDED, {}, _SOME_TIME)
        self._attempt_pk += 1
        decided_at = times[len(attempt.events)] if row.decided_at else None
        moving = (row.outcome, decided_at, row.is_open, row.job_owed, row.http_status, row.error_message)
        opening = [*(attempt.opening[column] for column in OPENING_COLUMNS), attempt.opening.get(NOTE, "")]
        columns = (self._attempt_pk, digits, attempt.user_id, attempt.ip_address, times[0], *moving, *opening)
        self._audit.add(Attempt._meta.db_table, _ATTEMPT, [columns])
        customers = [(segment_of(self._attempt_pk), self._attempt_pk, cid) for cid in sorted(cids)]
        self._audit.add(AttemptCustomer._meta.db_table, "segment, attempt_id, cid", customers)
        if self._with_entries:
            shown = attempt.user_id, attempt.opening["action_name"], attempt.ip_address
            for (kind, body), at in zip(events, times, strict=True):
                self._add_entry(digits, kind, at, *shown, canonical(body))
        if self._audit.is_full or self._jobs.is_full:
            self.insert()

    def add_fact(self, kind: Kind, at: datetime, user_id: str, ip_address: str, body: Mapping[str, Any]) -> None:
        """Add an event that belongs to no attempt."""
        self._add_entry(None, kind, chain.stored_time(at), user_id, "", ip_address, canonical(body))

    def insert(self) -> None:
        """Insert what was added, the Jobs first, and move the head of the chain. Raises DatabaseError."""
        self._jobs.insert()
        self._audit.insert()
        signature = chain.sign_head(self._key, self._sequence, self._mac)
        head = {"sequence": self._sequence, "mac": self._mac, "key_id": self._key_id, "signature": signature}
        ChainHead.objects.update(**head)

    def _projected(self, events: Sequence[Event]) -> Attempt:
        row = self._scratch  # making a model for each would take as long as inserting it
        row.outcome, row.job_owed, row.error_message, row.http_status = "", False, "", None
        for kind, body in events:
            project(row, kind, body, _SOME_TIME)
        return row

    def _add_entry(
        self, digits: str | None, kind: Kind, at: str, user_id: str, action_type: str, ip_address: str, body: str
    ) -> None:
        self._sequence, previous = self._sequence + 1, self._mac
        name, facts = kind.value, (user_id, action_type, ip_address, body)
        self._mac = chain.mac_of_stored(self._key, (previous, self._sequence, at, digits or "", name), facts)
        macs = bytes.fromhex(previous), bytes.fromhex(self._mac)
        entry = (self._sequence, *macs, self._key_id, digits, name, at, *facts)
        self._audit.add(AuditEntry._meta.db_table, _ENTRY, [entry])

    def _add_job(self, attempt: MadeAttempt, last: Event, at: str, row: Attempt) -> Recorded:
        """Add the Job of an attempt; return the body of its RECORDED."""
        job = _stored_job(attempt, last, at, row.http_status)
        self.jobs += 1
        self._job_pk += 1
        self._jobs.add(Job._meta.db_table, _JOB, [(self._job_pk, *row_values(job))])
        place = customers_from(self._job_pk)
        rows = [(place + position, self._job_pk, cid, position) for position, cid in enumerate(job.cids)]
        self._jobs.add(JobCustomer._meta.db_table, "id, job_id, cid, position", rows)
        return recorded_body(job)


def _stored_job(attempt: MadeAttempt, last: Event, at: str, http_status: int | None) -> StoredJob:
    kind, answer = last
    is_reply, opening, cids = kind == Kind.ACCEPTED, attempt.opening, tuple(attempt.opening["cids"])
    evidence = next(evidence for evidence in Evidence if evidence.kind == kind)
    job = StoredJob(
        job_id=attempt.attempt_id.hex,
        user_id=attempt.user_id,
        batch_id=uuid.UUID(opening["batch_id"]).hex if opening["batch_id"] else "",
        action_code=opening["action_code"],
        action_name=opening["action_name"],
        cluster_url=opening["cluster_url"],
        created_at=at,
        request_payload={"action": opening["action_sent"], "cids": [*cids]},
        response_summary=answer["data"] if is_reply else answer,
        http_status=http_status if is_reply else None,
        evidence=evidence.value,
        status=Job.Status.SUCCESS.value,
        customer_count=len(cids),
        source=opening["source"],
        legacy=False,
        old_status="",
        doubles="",
        mac="",
        key_id="",
        cids=cids,
    )
    mac, key_id = sign_job(job)
    return job._replace(mac=mac, key_id=key_id)
