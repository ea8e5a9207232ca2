"""What Activity reads: the same as looking at everything, and through indexes alone, on both engines."""

import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from audit.choices import CHUNK_SOURCES, Action, Kind, Source
from audit.models import Attempt
from audit.tests.making import make_attempt, refuse
from jobs.activity.choices import ShownOutcome, ShownSource
from jobs.activity.selectors import Activity, Place
from jobs.activity.wanted import Count, Wanted
from jobs.models import Batch, BatchChunk
from jobs.tests.making import CLUSTER, make_batch

pytestmark = pytest.mark.usefixtures("databases")

START = datetime(2026, 3, 5, tzinfo=UTC)
OTHER = "https://brooke.example"
STATES = {Kind.ACCEPTED: "accepted", Kind.REJECTED: "rejected", Kind.UNKNOWN: "unknown", Kind.NOT_SENT: "not_sent"}


@pytest.fixture
def years(databases):
    """Attempts and batches of all kinds, in days that follow each other."""
    kinds = [*STATES]
    for number in range(24):
        kind, user_id = kinds[number % 4], ("olivia", "oscar")[number % 3 == 0]
        facts = {"user_id": user_id, "cluster_url": (CLUSTER, OTHER)[number % 5 == 0]}
        source = (Source.FORM, Source.API)[number % 7 == 0]
        action, cids = Action(1 + number % 2), (f"c{number % 6}",)
        note = f"CHG-{number}" if number % 3 else ""
        made = [make_attempt(kind, source=source, action=action, cids=cids, note=note, **facts)]
        if number % 6 == 1:
            made.append(refuse(cids=cids, user_id=user_id))
        if number % 4 == 2:
            batch = make_batch(
                batch_id=uuid.uuid4(), cids=cids, clusters=(facts["cluster_url"],), actions=(action,), user_id=user_id
            )
            [chunk] = batch.chunks.all()
            of_chunk = {"source": Source.BATCH, "batch_id": str(batch.batch_id), "attempt_id": chunk.derived_attempt_id}
            made += [batch, make_attempt(kind, action=action, cids=cids, **of_chunk, **facts)]
            BatchChunk.objects.filter(pk=chunk.pk).update(state=STATES[kind], attempt_id=chunk.derived_attempt_id)
        for seconds, thing in enumerate(made):
            at = START + timedelta(days=number, seconds=seconds)
            type(thing).objects.filter(pk=thing.pk).update(created_at=at)


def looked_through(wanted):
    """What a look at every row finds, newest first."""

    def meets(row):
        shared = {"user_id": row.user_id, "action_code": row.action_code, "cluster_url": row.cluster_url}
        first, last = wanted.period
        return (
            all(shared[name] == value for name, value in wanted.columns.items())
            and (not first or row.created_at >= first)
            and (not last or row.created_at <= last)
            and wanted.note.lower() in row.note.lower()
        )

    found = []
    for attempt in Attempt.objects.exclude(source__in=CHUNK_SOURCES):
        of_outcome = not wanted.outcome or attempt.outcome in wanted.outcome.outcomes
        of_source = not wanted.source or attempt.source == wanted.source
        if meets(attempt) and of_outcome and of_source:
            found.append(attempt)
    for batch in Batch.objects.all():
        states = {chunk.state for chunk in batch.chunks.all()}
        of_outcome = not wanted.outcome or states.intersection(wanted.outcome.chunk_states)
        if meets(batch) and of_outcome and wanted.source in (None, ShownSource.BATCH):
            found.append(batch)
    return [(row.pk, isinstance(row, Batch)) for row in sorted(found, key=lambda row: row.created_at, reverse=True)]


def listed(wanted, place=None):
    return [(entry.pk, entry.batch is not None) for entry in Activity(wanted).entries(place or Place())]


COLUMNS: list[dict[str, Any]] = [
    {},
    {"user_id": "olivia"},
    {"action_code": 2},
    {"user_id": "oscar", "cluster_url": OTHER, "action_code": 1},
]
PERIODS: list[dict[str, Any]] = [
    {},
    {"created_at__gte": START + timedelta(days=5), "created_at__lte": START + timedelta(days=15)},
]
OTHERS: list[dict[str, Any]] = [
    {},
    *({"outcome": outcome} for outcome in ShownOutcome),
    *({"source": source} for source in (ShownSource.API, ShownSource.BATCH)),
    {"outcome": ShownOutcome.REJECTED, "source": ShownSource.FORM},
    {"note": "chg-1"},
]
WANTED = [
    Wanted(conditions=columns | period, **others) for columns, period, others in product(COLUMNS, PERIODS, OTHERS)
]


def test_every_filter_finds_what_a_look_at_every_row_finds(years, monkeypatch):
    monkeypatch.setattr("jobs.activity.attempts.FIRST_STEP", 3)
    monkeypatch.setattr("jobs.activity.batches.AT_ONCE", 2)
    assert len(looked_through(Wanted())) == 34
    for wanted in WANTED:
        expected = looked_through(wanted)
        assert listed(wanted) == expected, wanted
        entries, has_more = Activity(wanted).page(Place(), 3)
        if has_more:
            assert listed(wanted, entries[-1].behind) == expected[3:], wanted
        attempts, batches = Activity(wanted).counts()
        assert attempts.is_exact, wanted
        assert batches == Count(sum(is_batch for _, is_batch in expected), is_exact=True), wanted


@pytest.mark.sqlite
def test_sqlite_reads_indexes_alone_and_sorts_nothing(years):
    for wanted in WANTED:
        with ExitStack() as stack:
            captured = [stack.enter_context(CaptureQueriesContext(connections[name])) for name in ("audit", "jobs")]
            Activity(wanted).page(Place(), 3)
            Activity(wanted).counts()
        for name, queries in zip(("audit", "jobs"), captured, strict=True):
            for query in queries:
                if query["sql"].startswith("SELECT") and "day" not in query["sql"]:
                    with connections[name].cursor() as cursor:
                        cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                        plan = " · ".join(row[-1] for row in cursor.fetchall())
                    if wanted.outcome == ShownOutcome.NOT_APPLIED:  # two of them, which few attempts have, are sorted
                        assert plan.count("USING INDEX attempt_by_seldom_outcome") in (0, 2)
                    else:
                        assert "TEMP B-TREE" not in plan, (query["sql"], plan)
