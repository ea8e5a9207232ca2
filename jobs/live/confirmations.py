"""Jobs against the facts: what readings show of their customers, and what that confirms.

1. A customer is confirmed if TMS showed exactly the job's action for them, in a reading that began after the job was
   accepted.
2. An older reading confirms nothing, and neither does an answer that somebody pasted or uploaded. What they show is
   counted apart, and says so.
3. Customers who show a later action are further on: counted apart, too, and not confirmed.
4. Of all that was ever confirmed of a job the most is kept. It can be derived again from new readings, so a row that is
   lost, or older than a restored database, harms nothing.

All functions raise DatabaseError when the jobs database cannot be used.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum

from django.db import connections
from django.db.models import Min, QuerySet, Sum

from audit.choices import Action
from jobs.live.codes import NO_ACTION, UNREAD_IN_WORDS, UNREADABLE, state_name
from jobs.models import MAX_CUSTOMERS, Job, JobConfirmation, LiveReading
from tmsdash.db.bulk import listed_uuids, parts
from tmsdash.db.rows import Rows
from tmsdash.db.transactions import write_transaction

DATABASE = "jobs"
UNREAD = "unread"  # stands in addresses for customers who were never read

# A customer's own state counts; without one, what the cluster's newest whole reading shows.
_FROM = f"""
FROM jobs_job AS job
JOIN jobs_jobcustomer AS customer
  ON customer.id >= job.id * {MAX_CUSTOMERS} AND customer.id < (job.id + 1) * {MAX_CUSTOMERS}
LEFT JOIN jobs_livecluster AS cluster ON cluster.cluster_url = job.cluster_url
LEFT JOIN jobs_livestate AS state ON state.cluster_id = cluster.id AND state.cid = customer.cid
"""
_READING = "COALESCE(state.reading_id, cluster.whole_id)"
_COUNTS = f"SELECT job.id, state.code, {_READING}, COUNT(*) {_FROM} WHERE job.id IN ({{}}) GROUP BY 1, 2, 3"
_CUSTOMERS = f"SELECT customer.cid, state.code, {_READING} {_FROM} WHERE job.id = %s ORDER BY customer.id"
_KEPT = "SELECT {columns} FROM jobs_jobconfirmation AS kept WHERE kept.job_id IN ({listed})"
_ROWS = Rows(DATABASE, JobConfirmation)  # every list of jobs asks: Django's way takes several times as long


class Basis(IntEnum):
    """What a customer's state is known from, the best first."""

    SINCE = 0  # read from TMS after the job was accepted
    BEFORE = 1  # read from TMS before
    GIVEN = 2  # an answer that somebody pasted or uploaded
    NOTHING = 3

    @classmethod
    def of(cls, reading: LiveReading | None, job: Job) -> "Basis":
        """Return what a reading is for a job."""
        if reading is None:
            return cls.NOTHING
        if reading.source != LiveReading.Source.TMS:
            return cls.GIVEN
        return cls.SINCE if reading.began_at >= job.created_at else cls.BEFORE


@dataclass(frozen=True)
class StatePart:
    """How many of a job's customers show one state, known on one basis; `code` is None if they were never read.

    `oldest` and `newest` are the first and the last of the readings that show it.
    """

    action_code: int
    code: int | None
    basis: Basis
    count: int
    oldest: LiveReading | None = None
    newest: LiveReading | None = None

    @property
    def is_confirmed(self) -> bool:
        return self.basis == Basis.SINCE and self.code == self.action_code

    @property
    def is_behind(self) -> bool:
        """Whether they are known not to have come to the job's action, or past it."""
        is_known = self.basis == Basis.SINCE and self.code not in (None, UNREADABLE)
        return is_known and not (self.is_confirmed or self.is_further_on)

    @property
    def is_further_on(self) -> bool:
        """Whether they show a later action. Who has come to the end of one way does not go the other one."""
        is_at_other_end = (self.code, self.action_code) == (Action.PE_FINALIZE, Action.PE_DIRECT)
        return self.code is not None and (self.code > self.action_code or is_at_other_end)

    @property
    def words(self) -> str:
        """What stands behind the number: "confirmed", "still at PE-Enable", "further on (T-Enable)" and the like."""
        if self.code is None:
            return UNREAD_IN_WORDS
        shown = state_name(self.code)
        at = shown if self.code in (NO_ACTION, UNREADABLE) else f"at {shown}"
        if self.basis == Basis.BEFORE:
            return f"{at} before this was accepted"
        if self.basis == Basis.GIVEN:
            return f"{at}, by an answer that was given"
        if self.is_confirmed:
            return "confirmed"
        if self.is_further_on:
            return f"further on ({shown})"
        return at if self.code in (NO_ACTION, UNREADABLE) else f"still {at}"

    @property
    def state(self) -> str:
        """What stands for the state in addresses."""
        return UNREAD if self.code is None else str(self.code)

    @property
    def css(self) -> str:
        """The class of its colour."""
        if self.is_confirmed:
            return "state-confirmed"
        if self.basis != Basis.SINCE:
            return "state-none"
        return "state-further" if self.is_further_on else "state-behind"


@dataclass(frozen=True)
class ShownStates:
    """What readings show of the customers of one job, or of several for the same action on the same cluster."""

    cluster_url: str
    action_code: int
    parts: tuple[StatePart, ...] = ()

    @property
    def customer_count(self) -> int:
        return sum(part.count for part in self.parts)

    @property
    def confirmed(self) -> int:
        return sum(part.count for part in self.parts if part.is_confirmed)

    @property
    def rest_count(self) -> int:
        """How many customers are known not to have come to the action."""
        return sum(part.count for part in self.parts if part.is_behind)

    @property
    def is_whole(self) -> bool:
        return self.confirmed == self.customer_count

    @property
    def is_read(self) -> bool:
        """Whether any of the customers was read from TMS since."""
        return any(part.basis == Basis.SINCE for part in self.parts)

    @property
    def is_partly_old(self) -> bool:
        """Whether the states of some are known from before, or from an answer that was given."""
        return any(part.basis in (Basis.BEFORE, Basis.GIVEN) for part in self.parts)

    @property
    def oldest(self) -> LiveReading | None:
        """The first of the readings that show them."""
        readings = (part.oldest for part in self.parts if part.oldest)
        return min(readings, key=lambda reading: reading.began_at, default=None)

    @property
    def newest(self) -> LiveReading | None:
        """The last of the readings that show them."""
        readings = (part.newest for part in self.parts if part.newest)
        return max(readings, key=lambda reading: reading.began_at, default=None)

    @property
    def in_words(self) -> str:
        """The numbers of all customers, as in "Confirmed 2 of 5 · 3 still at PE-Enable"."""
        others = (f"{part.count:,} {part.words}" for part in self.parts if not part.is_confirmed)
        return " · ".join([f"Confirmed {self.confirmed:,} of {self.customer_count:,}", *others])


def states_of_jobs(jobs: Collection[Job]) -> dict[uuid.UUID, ShownStates]:
    """Return what readings show of the customers of each job, by the job's id."""
    rows: list[tuple[int, int | None, int | None, int]] = []
    for some in parts([job.pk for job in jobs]):
        with connections[DATABASE].cursor() as cursor:
            cursor.execute(_COUNTS.format(", ".join(["%s"] * len(some))), some)
            rows += cursor.fetchall()
    readings = LiveReading.objects.in_bulk({row[2] for row in rows if row[2]})
    job_of = {job.pk: job for job in jobs}
    parts_of: dict[int, list[StatePart]] = defaultdict(list)
    for job_pk, code, reading_pk, count in rows:
        parts_of[job_pk].append(_part(job_of[job_pk], code, readings.get(reading_pk or 0), count))
    return {job.job_id: ShownStates(job.cluster_url, job.action_code, _united(parts_of[job.pk])) for job in jobs}


def _part(job: Job, code: int | None, reading: LiveReading | None, count: int = 1) -> StatePart:
    """Return the part of customers whom a reading shows at this code, or does not list; nothing read them if None."""
    shown = (NO_ACTION if code is None else code) if reading else None
    return StatePart(job.action_code, shown, Basis.of(reading, job), count, reading, reading)


def states_of_job(job: Job) -> ShownStates:
    """Return what readings show of a job's customers."""
    return states_of_jobs([job])[job.job_id]


def united(states: Iterable[ShownStates]) -> list[ShownStates]:
    """Return the same for all jobs together, for each cluster and action."""
    alike: dict[tuple[str, int], list[StatePart]] = defaultdict(list)
    for shown in states:
        alike[shown.cluster_url, shown.action_code] += shown.parts
    return [ShownStates(*target, _united(some)) for target, some in sorted(alike.items())]


def _united(some: Iterable[StatePart]) -> tuple[StatePart, ...]:
    """Return one part for each state and basis.

    The confirmed come first, then those behind, from the nearest on, those further on, and what is known less well.
    """
    alike: dict[tuple[int | None, Basis], list[StatePart]] = defaultdict(list)
    for part in some:
        alike[part.code, part.basis].append(part)

    def place(part: StatePart) -> tuple[bool, Basis, bool, int]:
        return not part.is_confirmed, part.basis, part.is_further_on, -(part.code or 0)

    return tuple(sorted(map(_one, alike.values()), key=place))


def _one(some: Sequence[StatePart]) -> StatePart:
    count, together = sum(part.count for part in some), ShownStates("", 0, tuple(some))
    return replace(some[0], count=count, oldest=together.oldest, newest=together.newest)


def rest_of(job: Job) -> list[str]:
    """Return the customers who are known not to have come to the job's action, in the order of the job."""
    return [cid for cid, part in customers_shown(job) if part.is_behind]


def customers_shown(job: Job) -> list[tuple[str, StatePart]]:
    """Return a job's customers in their order, each with the part that consists of them alone."""
    with connections[DATABASE].cursor() as cursor:
        cursor.execute(_CUSTOMERS, [job.pk])
        rows = cursor.fetchall()
    readings = LiveReading.objects.in_bulk({row[2] for row in rows if row[2]})
    return [(cid, _part(job, code, readings.get(reading_pk or 0))) for cid, code, reading_pk in rows]


def keep_confirmations(states: Mapping[uuid.UUID, ShownStates], jobs: Iterable[Job]) -> None:
    """Write down what was confirmed of jobs, unless more was confirmed of them before."""
    seen = [row for job in jobs if (row := _confirmation(job, states[job.job_id]))]
    with write_transaction(DATABASE):
        for row in seen:
            kept = JobConfirmation.objects.filter(job_id=row.job_id)
            better = kept.filter(confirmed__lte=row.confirmed)
            if not better.update(confirmed=row.confirmed, read_at=row.read_at) and not kept.exists():
                # Somebody else may just have written what the same reading confirmed.
                JobConfirmation.objects.bulk_create([row], ignore_conflicts=True)


def best_of(job: Job, states: ShownStates, kept: JobConfirmation | None) -> JobConfirmation | None:
    """Return the best that is known to have been confirmed of a job: what was kept, or what is shown now."""
    seen = _confirmation(job, states)
    return seen if seen and (kept is None or seen.confirmed > kept.confirmed) else kept


def _confirmation(job: Job, states: ShownStates) -> JobConfirmation | None:
    read_at = max((part.newest.began_at for part in states.parts if part.is_confirmed and part.newest), default=None)
    if read_at is None:
        return None
    facts = {"customer_count": job.customer_count, "confirmed": states.confirmed, "read_at": read_at}
    return JobConfirmation(job_id=job.job_id, **facts)


def confirmations_of(job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, JobConfirmation]:
    """Return what was confirmed of some jobs, by the job's id, in one query."""
    listed = listed_uuids(DATABASE, [str(job_id) for job_id in job_ids])
    with connections[DATABASE].cursor() as cursor:
        cursor.execute(_KEPT.format(columns=_ROWS.columns_of("kept"), listed=listed.sql), listed.params)
        rows = [_ROWS.read(values) for values in cursor.fetchall()]
    return {row.job_id: row for row in rows}


@dataclass(frozen=True)
class BatchConfirmation:
    """How many customers of a batch were confirmed, each job at its best, and when the first of them was read."""

    confirmed: int
    read_at: datetime


def confirmation_of_batch(batch_id: uuid.UUID) -> BatchConfirmation | None:
    """Return what was confirmed of a batch, None if nothing was."""
    of_batch = JobConfirmation.objects.filter(job_id__in=jobs_of_batch(batch_id).order_by().values("job_id"))
    sums = of_batch.aggregate(confirmed=Sum("confirmed"), read_at=Min("read_at"))
    return BatchConfirmation(**sums) if sums["confirmed"] else None


def jobs_of_batch(batch_id: uuid.UUID) -> QuerySet[Job]:
    """Return the jobs of a batch, in the order in which they were recorded, without their large JSON."""
    return Job.objects.filter(batch_id=batch_id).defer("stored_payload", "response_summary").order_by("pk")
