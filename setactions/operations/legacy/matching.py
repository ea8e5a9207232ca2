"""Which job and which row of the audit log tell of the same action.

The old code wrote a row of the log around each job that it wrote, and neither names the other. Two are linked if

1. user (as called here) and action are the same, and so are the customers where both have them;
2. the row lies within seconds of the job, or further by the time that its call took; the log knows no fractions of
   a second, so any instant within its second counts;
3. each is the other's nearest, with no other within a second of that. Of jobs that repeat each other, which
   have one row, it is the first one. What could be two things is not linked.

A row that names a job is linked to it and to no other.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter
from uuid import UUID

from setactions.operations.legacy.rows import Entry

WITHIN = timedelta(seconds=5)
SECOND = timedelta(seconds=1)
DOUBLED_WITHIN = timedelta(seconds=2)
OUT_OF_ORDER = timedelta(minutes=1)  # rows of calls that ran side by side may be written so much earlier or later
NAMED = timedelta(days=-1)  # nearer than anything
ANY = "any"


@dataclass(frozen=True, slots=True)
class Pair:
    """A row of the log and a job that may belong together, `gap` apart, if the job was written at `at`."""

    row: Entry
    job: Entry
    at: datetime
    gap: timedelta


def link(jobs: Sequence[Entry], log: Sequence[Entry]) -> None:
    """Link what belongs together, and settle at which instant each job was written.

    A job of an hour that the clock showed twice goes where its row is. Where more than one fits, as for a script that
    does the same every hour, the order of jobs decides, and then the rows decide that are left over.
    """
    _link(jobs, log)
    unsure = [job for job in jobs if job.at is None and job.moment.is_shown_twice]
    if unsure:
        _settle(jobs)
        _link(jobs, log)
        for job in unsure:
            job.at = job.at if job.partner else None
        _link(jobs, log)
    _settle(jobs)


def _link(jobs: Sequence[Entry], log: Sequence[Entry]) -> None:
    """Link those that clearly belong together of all that have no link yet."""
    of_job: dict[UUID, list[Pair]] = defaultdict(list)
    of_row: dict[UUID, list[Pair]] = defaultdict(list)
    for pair in _pairs(jobs, log):
        of_job[pair.job.attempt_id].append(pair)
        of_row[pair.row.attempt_id].append(pair)
    for pairs in of_row.values():
        best = _first_of_repeats(_nearest(pairs))
        if best and _nearest(of_job[best.job.attempt_id]) == [best]:
            best.job.partner, best.row.partner, best.job.at = best.row.attempt_id, best.job.attempt_id, best.at


def _settle(jobs: Sequence[Entry]) -> None:
    """Give every job that has no instant yet the one that fits the order of rows."""
    before: datetime | None = None
    for job in jobs:
        if job.at is None:
            earliest = before - OUT_OF_ORDER if before else None
            fitting = (instant for instant in job.moment.instants if earliest is None or instant >= earliest)
            job.at = next(fitting, job.moment.instants[0])
        before = job.at


def mark_doubles(jobs: Sequence[Entry]) -> int:
    """Mark the jobs that repeat one written within two seconds, unless each has a row of its own.

    Returns how many are marked. Those that were imported earlier stay as they were marked then.
    """
    lately: dict[tuple[object, ...], Entry] = {}
    for job in jobs:
        key = job.user_id, job.action_code, job.cids_digest
        first = lately.get(key)
        is_near = first and abs(job.instant - first.instant) <= DOUBLED_WITHIN
        if first and is_near and not (job.partner and first.partner):
            job.doubles = job.doubles if job.has_job else first.attempt_id
        else:
            lately[key] = job
    return sum(job.doubles is not None for job in jobs)


def _pairs(jobs: Sequence[Entry], log: Sequence[Entry]) -> Iterator[Pair]:
    jobs = [job for job in jobs if not job.partner]
    by_id = {job.attempt_id: job for job in jobs}
    by_key: dict[tuple[object, ...], list[tuple[datetime, Entry]]] = defaultdict(list)
    for job in jobs:
        for at in [job.at] if job.at else job.moment.instants:
            for cids_digest in (job.cids_digest, ANY):
                by_key[job.user_id, job.action_code, cids_digest].append((at, job))
    for times in by_key.values():
        times.sort(key=itemgetter(0))
    for row in log:
        if row.partner:
            continue
        if row.named_job:
            if named := by_id.get(row.named_job):
                nearest = min((_pair(row, named, at) for at in named.moment.instants), key=lambda pair: pair.gap)
                yield replace(nearest, gap=NAMED)
            continue
        reach = WITHIN + row.duration
        for cids_digest in [row.cids_digest, ""] if row.cids_digest else [ANY]:
            times = by_key.get((row.user_id, row.action_code, cids_digest), [])
            for place in range(bisect_left(times, row.instant - reach, key=itemgetter(0)), len(times)):
                at, job = times[place]
                if at > row.instant + SECOND + reach:
                    break
                yield _pair(row, job, at)


def _pair(row: Entry, job: Entry, at: datetime) -> Pair:
    return Pair(row, job, at, max(row.instant - at, at - row.instant - SECOND, timedelta()))


def _nearest(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the nearest pair and those that are as near for all that a time without fractions tells."""
    nearest = min(pair.gap for pair in pairs)
    return [pair for pair in pairs if pair.gap < nearest + SECOND]


def _first_of_repeats(pairs: Sequence[Pair]) -> Pair | None:
    """Return the pair of the first job if the others only repeat it; None if they are jobs of their own."""
    first = min(pairs, key=lambda pair: pair.job.number)
    repeat = all(
        pair.job.cids_digest == first.job.cids_digest and abs(pair.at - first.at) <= DOUBLED_WITHIN for pair in pairs
    )
    return first if repeat else None
