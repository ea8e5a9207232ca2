"""What the guard against repeats costs: `manage.py bench overlap`."""

import logging
import sqlite3
import uuid
from contextlib import closing
from datetime import timedelta
from itertools import product

from django.conf import settings
from django.db import connections
from django.utils import timezone

from audit import services as audit
from audit.actors import Actor
from audit.models import Attempt, segment_of
from jobs.batches.creation import create_batch
from jobs.batches.lists import NewBatch, NewChunk
from setactions.devtools.benchmarks import measurement
from setactions.devtools.benchmarks.measurement import FLEET, NOBODY, compare, new_ids, scaled
from setactions.devtools.benchmarks.set_actions import intent_of
from setactions.devtools.demo_data.attempt_rows import AttemptRows, accepted_attempt
from setactions.devtools.demo_data.bulk_rows import prepared_for_bulk
from setactions.overlap import find_overlap

ATTEMPTS = 1_000_000
RECENT = 100_000  # of them, within the window
CUSTOMERS_EACH = 10
OPEN = 20  # old ones without an outcome
MAX_MS = 150
LIMIT = 5
PE_ENABLE = 2


def overlap() -> bool:
    """Compare looking for a fleet among a million attempts and in an open batch with bare look-ups in the index."""
    logging.disable(logging.INFO)
    fleet, recent = scaled(FLEET), scaled(RECENT)
    cids = new_ids(4 * fleet)
    listed, others, in_batch = cids[:fleet], cids[fleet : 3 * fleet], cids[3 * fleet :]
    _leave_open(others)
    with prepared_for_bulk("audit"):
        _fill(scaled(ATTEMPTS) - recent, listed + others, days=(366, 1))
        _fill(recent - 1, others, days=(settings.TMS_DUPLICATE_WINDOW_S / 86_400, 0))
        _fill(1, listed[-CUSTOMERS_EACH:], days=(0, 0))
    _start_batch([*in_batch, listed[0]])
    last = Attempt.objects.latest("pk").pk
    first = last - recent
    segments = range(segment_of(first), segment_of(last) + 1)

    def ours() -> None:
        shared = find_overlap(NOBODY, PE_ENABLE, listed)
        if (len(shared.cids), len(shared.attempts), len(shared.batches)) != (CUSTOMERS_EACH + 1, 1, 1):
            raise RuntimeError(f"{shared.summary} That is not right.")

    with closing(sqlite3.connect(connections["audit"].settings_dict["NAME"])) as database:

        def bare() -> None:
            for segment, cid in product(segments, listed):
                database.execute(
                    "SELECT attempt_id FROM audit_attemptcustomer WHERE segment = ? AND cid = ? AND attempt_id >= ?",
                    (segment, cid, first),
                ).fetchall()

        comparison = compare(ours, bare)
    bound = MAX_MS * max(measurement.scale, 0.1)
    what = f"{fleet:,} customers among {scaled(ATTEMPTS):,} attempts and in a batch"
    return comparison.report("overlap", what, "look-ups in the index", LIMIT, bound=bound)


def _leave_open(cids: list[str]) -> None:
    """Make attempts from a year ago that have no outcome."""
    for start in range(0, OPEN * CUSTOMERS_EACH, CUSTOMERS_EACH):
        intent = intent_of(NOBODY, cids[start : start + CUSTOMERS_EACH])
        audit.open_attempt(uuid.uuid4(), Actor(user_id="bench"), intent, accepted_since=timezone.now(), wait_s=5)
    Attempt.objects.update(created_at=timezone.now() - timedelta(days=365))


def _fill(count: int, pool: list[str], *, days: tuple[float, float]) -> None:
    """Add accepted attempts without their events: from so many days ago to so many, for customers of a pool."""
    rows, now, (first, end) = AttemptRows(with_entries=False, with_jobs=False), timezone.now(), days
    for number in range(count):
        # The factor makes neighbours of a pool meet in no attempt.
        places = (number * CUSTOMERS_EACH + place for place in range(CUSTOMERS_EACH))
        cids = [pool[place * 7919 % len(pool)] for place in places]
        at = now - timedelta(days=first - (first - end) * number / count)
        rows.add(accepted_attempt(uuid.uuid4(), "bench", at, cids, NOBODY))
    rows.insert()


def _start_batch(cids: list[str]) -> None:
    """Make a batch that counts as open."""
    size = settings.TMS_BATCH_CHUNK
    chunks = [
        NewChunk(cluster_url=NOBODY, action_code=PE_ENABLE, action_sent="PE-Enable", cids=cids[start : start + size])
        for start in range(0, len(cids), size)
    ]
    create_batch("bench", NewBatch(batch_id=uuid.uuid4(), chunks=chunks))
