"""Benchmarks of single Set Actions: the Job's insert, the whole action, and closing what was left open."""

import json
import logging
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.utils import timezone

from audit import services as audit
from audit.actors import Actor
from audit.bodies import OutcomeBody
from audit.choices import Kind, Source
from audit.selectors import open_attempts
from jobs.models import Job, customers_from
from jobs.services import AcceptedAttempt, create_job
from setactions.devtools.benchmarks.measurement import FLEET, NOBODY, compare, median_ms, new_ids, scaled
from setactions.devtools.simulator import Simulator
from setactions.resolving import reconcile as module
from setactions.token import Token
from tmsdash.db.transactions import write_transaction

OWED, IN_DOUBT = 300, 100
ACCEPTED: OutcomeBody = {"http_status": 200, "data": {"success": True}}


def job_insert() -> bool:
    """Compare creating a Job of 27,682 customers with a raw executemany of as many rows."""
    cids = new_ids(scaled(FLEET))

    def ours() -> None:
        attempt_id, intent = uuid.uuid4(), intent_of(NOBODY, cids)
        with write_transaction("jobs"):
            create_job(AcceptedAttempt(attempt_id=attempt_id, user_id="bench", intent=intent, answer=ACCEPTED))

    def raw() -> None:
        with write_transaction("jobs"):
            place = customers_from(owner)
            rows = [(place + position, owner, cid, position) for position, cid in enumerate(cids)]
            statement = "INSERT INTO jobs_jobcustomer (id, job_id, cid, position) VALUES (?, ?, ?, ?)"
            connections["jobs"].connection.executemany(statement, rows)

    ours()
    owner = Job.objects.order_by("id").values_list("id", flat=True)[0]  # of the raw rows: the first job, emptied

    def empty() -> None:
        with write_transaction("jobs"), connections["jobs"].cursor() as cursor:
            cursor.execute("DELETE FROM jobs_jobcustomer")

    comparison = compare(ours, raw, before=empty)
    return comparison.report("job-insert", f"a Job of {len(cids):,} customers", "raw executemany", limit=2.0)


def set_action() -> bool:
    """Measure what one Set Action through the endpoint adds to calling TMS directly, for three sizes."""
    settings.ALLOWED_HOSTS = ["testserver"]
    logging.disable(logging.INFO)
    client = Client()
    client.force_login(User.objects.create_superuser("bench"))
    passed = True
    with Simulator() as tms:
        settings.TMS_CLUSTERS = {"bench": tms.url}
        url = f"{tms.url}/tms/v1/set/action"
        for size, limit in ((1, 5.0), (150, 5.0), (scaled(FLEET), 2.0)):
            cids = new_ids(size)
            payload = {"action": "PE-Enable", "cids": cids}
            confirmed = {"sendAgain": True, "confirm": size}
            body = json.dumps({"url": url, "token": "bench", "isPost": True, "postData": payload} | confirmed)

            def through_us(body: str) -> None:
                answer = client.post("/proxy_fetch", body, content_type="application/json")
                if answer.json()["outcome"] != "accepted":
                    raise RuntimeError(answer.content)

            def direct(payload: dict[str, Any]) -> None:
                requests.post(url, json=payload, headers={"Authorization": "Bearer bench"}, timeout=30)

            def direct_and_raw(payload: dict[str, Any], write: Callable[..., None]) -> None:
                direct(payload)
                write(payload)

            with _raw_writer(f"floor-{size}.db") as write_floor:
                floor = partial(direct_and_raw, payload, write_floor)
                comparison = compare(partial(through_us, body), floor, warm_up=True)
            added = comparison.median - median_ms(partial(direct, payload))
            label = f"a Set Action for {size:,} customers (adds {added:.1f} ms to the call)"
            passed &= comparison.report("set-action", label, "call and raw durable writes", limit)
    return passed


@contextmanager
def _raw_writer(file_name: str) -> Iterator[Callable[..., None]]:
    """Yield what writes the least that has to be: for a Set Action four durable commits, each customer twice."""
    with closing(sqlite3.connect(Path(settings.VAR_DIR) / file_name, isolation_level=None)) as database:
        database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE event (id INTEGER PRIMARY KEY, body TEXT);"
            "CREATE TABLE customer (id INTEGER PRIMARY KEY, owner INTEGER, cid TEXT);"
            "CREATE INDEX by_cid ON customer (cid, owner); CREATE INDEX by_owner ON customer (owner);"
        )

        def write(payload: dict[str, Any], commits: int = 4) -> None:
            text = json.dumps(payload)
            for body, cids in ((text, payload["cids"]), ("{}", []), (text, payload["cids"]), ("{}", []))[:commits]:
                database.execute("BEGIN IMMEDIATE")
                owner = database.execute("INSERT INTO event (body) VALUES (?)", [body]).lastrowid
                database.executemany("INSERT INTO customer (owner, cid) VALUES (?, ?)", [(owner, cid) for cid in cids])
                database.execute("COMMIT")

        yield write


def reconcile() -> bool:
    """Compare rolling owed jobs forward with the raw writes, and reading attempts back with the bare reads."""
    logging.disable(logging.INFO)
    owed, in_doubt = scaled(OWED), scaled(IN_DOUBT)
    settings.TMS_OPEN_AFTER_S = settings.TMS_READBACK_INTERVAL_S = 0
    module.INTERVAL_MARGIN_S = 0
    actor, token, run = Actor(user_id="bench"), Token("bench"), module.reconcile
    with Simulator() as tms, _raw_writer("floor.db") as write:
        settings.TMS_CLUSTERS = {"accepting": NOBODY, "bench": tms.url}

        def expect(closed: int, token: Token | None = None) -> None:
            if run(actor, token).closed != closed:
                raise RuntimeError("reconcile did not close what was left open")

        def raw() -> None:
            for _ in range(owed):
                write({"cids": ["a", "b", "c"]}, commits=2)

        before = partial(_leave_open, NOBODY, owed, 3, Kind.ACCEPTED)
        comparison = compare(partial(expect, owed), raw, before=before)
        label = f"{owed} owed jobs rolled forward ({owed / comparison.median * 1000:.0f} a second)"
        passed = comparison.report("reconcile", label, "raw durable writes", limit=8.0)
        run(actor)  # what was left open for the last floor

        def bare() -> None:
            for _ in range(2):
                requests.get(f"{tms.url}/tms/v1/get/action?cid=ALL", headers={"Authorization": "Bearer x"}, timeout=30)
            for _ in range(in_doubt):
                write({"cids": []}, commits=1)

        before = partial(_leave_open, tms.url, in_doubt, 150, Kind.UNKNOWN)
        comparison = compare(partial(expect, in_doubt, token), bare, before=before)
        label = f"{in_doubt} attempts of 150 customers in doubt read back"
        return comparison.report("reconcile", label, "bare reads and raw durable writes", limit=100.0) and passed


def _leave_open(cluster_url: str, count: int, size: int, kind: Any) -> None:
    """Make open attempts of so many customers each: with the answer that `kind` tells of, and no more."""
    if open_attempts().exists():
        return  # `compare` prepares for the floor, too
    actor = Actor(user_id="bench", source=Source.API)
    for _ in range(count):
        attempt_id = uuid.uuid4()
        intent = intent_of(cluster_url, [f"{attempt_id.hex[:20]}{number:012x}" for number in range(size)])
        audit.open_attempt(attempt_id, actor, intent, accepted_since=timezone.now(), wait_s=5)
        audit.record_events(attempt_id, [(kind, ACCEPTED)], wait_s=5)


def intent_of(cluster_url: str, cids: Sequence[str]) -> Any:
    """Return what opens an attempt in the audit."""
    return {
        "action_code": 2,
        "action_name": "PE-Enable",
        "action_sent": "PE-Enable",
        "batch_id": None,
        "cids": cids,
        "cluster_url": cluster_url,
        "customer_count": len(cids),
        "list_digest": uuid.uuid4().hex,
        "payload_digest": "",
        "repeated": 0,
        "send_again": False,
        "source": "api",
    }
