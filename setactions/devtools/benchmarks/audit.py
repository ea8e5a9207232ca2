"""What the audit's chain costs: `manage.py bench audit-chain`, `audit-verify`, `audit-seal` and `audit-customer`."""

import json
import logging
import sqlite3
import statistics
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from unittest import mock

from django.conf import settings
from django.db import connections
from django.utils import timezone

from audit.actors import Actor
from audit.choices import Kind
from audit.models import MerkleTile, StoredCheckpoint
from audit.proof import sealing
from audit.proof.sealing import seal
from audit.proof.verification import verify
from audit.selectors import attempts_of_customer
from audit.services import record_fact
from setactions.devtools.benchmarks import measurement
from setactions.devtools.benchmarks.measurement import Comparison, compare, median_ms, new_ids, scaled
from setactions.devtools.demo_data.attempt_rows import AttemptRows, accepted_attempt
from setactions.devtools.demo_data.bulk_rows import prepared_for_bulk

WRITERS = 32
ENTRIES_EACH = 20
# Four times what was reached when each entry was committed on its own.
MIN_PER_S = 1_200
CHAIN_LIMIT = 1.1

ATTEMPTS = 333_334  # of three entries and three customers
MAX_VERIFY_S = 15
VERIFY_LIMIT = 15
MAX_FIRST_SEAL_S = 10
SEAL_LIMIT = 15
MAX_SEAL_MS = 1_000
FEW_ATTEMPTS = 3_334
LOOK_UPS = 200
CUSTOMER_LIMIT = 1.5


def audit_chain() -> bool:
    """Compare entries that 32 threads add to the chain with as many bare durable inserts by as many threads."""
    logging.disable(logging.INFO)
    actor, body = Actor(user_id="bench"), {"customers": new_ids(3)}
    path = Path(settings.VAR_DIR) / "floor.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript("PRAGMA journal_mode=WAL; CREATE TABLE event (id INTEGER PRIMARY KEY, body TEXT)")

    def ours(number: int) -> None:
        try:
            for _ in range(ENTRIES_EACH):
                record_fact(Kind.EXPORTED, body, actor=actor, wait_s=30)
        finally:
            connections.close_all()

    def bare(text: str, lock: Lock, number: int) -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as database:
            database.execute("PRAGMA synchronous=FULL")
            for _ in range(ENTRIES_EACH):
                with lock:
                    database.execute("INSERT INTO event (body) VALUES (?)", [text])

    comparison = compare(
        partial(_by_all_writers, ours), partial(_by_all_writers, partial(bare, json.dumps(body), Lock()))
    )
    entries = WRITERS * ENTRIES_EACH
    rate = entries / comparison.median * 1000
    what = f"{WRITERS} writers add {entries} entries ({rate:.0f} a second)"
    bound = entries / MIN_PER_S * 1000
    return comparison.report("audit-chain", what, "bare durable inserts", CHAIN_LIMIT, bound=bound)


def _by_all_writers(write: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))


def audit_verify() -> bool:
    """Compare verifying a million entries with only reading them."""
    _fill(scaled(ATTEMPTS))
    entries = 0

    def ours() -> None:
        nonlocal entries
        result = verify()
        if not result.is_whole:
            raise RuntimeError(result.findings)
        entries = result.entries

    comparison = compare(ours, _read_entries)
    bound = MAX_VERIFY_S * measurement.scale * 1000
    return comparison.report(
        "audit-verify", f"verifying {entries:,} entries", "reading them", VERIFY_LIMIT, bound=bound
    )


def audit_seal() -> bool:
    """Compare sealing a million entries, for the first time and once more, with only reading them."""
    logging.disable(logging.INFO)
    _fill(scaled(ATTEMPTS))
    actor, last = Actor(user_id="bench"), 0

    def ours() -> None:
        nonlocal last
        last = seal(actor).checkpoint.size

    def first() -> None:
        # The chain notes what was sealed in an earlier round, and no entry can be taken out of it.
        with mock.patch.object(sealing, "noted_in_database", return_value=()):
            ours()

    def never_sealed() -> None:
        for model in (StoredCheckpoint, MerkleTile):
            model.objects.all().delete()

    comparison = compare(first, _read_entries, never_sealed)
    bound = MAX_FIRST_SEAL_S * measurement.scale * 1000
    is_quick = comparison.report("audit-seal", f"sealing {last:,} entries", "reading them", SEAL_LIMIT, bound=bound)
    first()
    again = compare(ours, _read_entries)
    return again.report("audit-seal", "sealing once more", "reading all", bound=MAX_SEAL_MS) and is_quick


def audit_customer() -> bool:
    """Compare what was asked for a customer among a million entries with the same among ten thousand."""

    def look_up(cids: list[str]) -> None:
        for cid in cids:
            if not list(attempts_of_customer(cid)[:50]):
                raise RuntimeError("a customer was not found")

    few = scaled(FEW_ATTEMPTS)
    cids = _fill(few)[:LOOK_UPS]
    few_ms = statistics.median(median_ms(partial(look_up, cids)) for _ in range(3))
    _fill(scaled(ATTEMPTS) - few)
    many_ms = statistics.median(median_ms(partial(look_up, cids)) for _ in range(3))
    what = f"{len(cids)} look-ups by customer among {3 * scaled(ATTEMPTS):,} entries"
    return Comparison([many_ms], [few_ms]).report("audit-customer", what, f"among {3 * few:,}", CUSTOMER_LIMIT)


def _read_entries() -> None:
    with connections["audit"].cursor() as cursor:
        cursor.execute("SELECT * FROM audit_auditentry")
        while cursor.fetchmany(1000):
            pass


def _fill(count: int) -> list[str]:
    """Add so many accepted attempts of three customers each to the audit; return their customers."""
    begin, customers = timezone.now() - timedelta(days=365), []
    with prepared_for_bulk("audit"):
        rows = AttemptRows(with_jobs=False)
        for number in range(count):
            cids = [uuid.uuid4().hex for _ in range(3)]
            at = begin + timedelta(days=364) * (number / count)
            rows.add(accepted_attempt(uuid.uuid4(), "bench", at, cids))
            customers += cids
        rows.insert()
    return customers
