"""What a job and a customer take on disk, and how many pages of SQLite's a Set Action writes.

Every index that is added takes its part of both, and each page costs a checksum, a write and its place in the cache.
"""

import random
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections

from audit.actors import Actor
from audit.choices import Action, Evidence, Kind, Source
from audit.services import open_attempt, record_events
from jobs.services import AcceptedAttempt, create_job
from setactions.devtools.demo_data.attempt_rows import AttemptRows, accepted_attempt, intent_body
from tmsdash.db.transactions import write_transaction

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("databases")]

ALIASES = ("audit", "jobs")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ANSWER = {"http_status": 200, "data": {"message": "Sending action to migration services", "success": True}}
JOBS, ACTIONS = 300, 10


def asked(alias, pragma):
    with connections[alias].cursor() as cursor:
        cursor.execute(f"PRAGMA {pragma}")
        return cursor.fetchone()


def bytes_of_all():
    return sum(asked(alias, "page_count")[0] * asked(alias, "page_size")[0] for alias in ALIASES)


class Site:
    """Makes jobs whose ids and times are the same in each run."""

    def __init__(self):
        self._random, self._made = random.Random(1), 0  # noqa: S311 (the same in each run)

    def new_id(self):
        return uuid.UUID(int=self._random.getrandbits(128), version=4)

    def cids(self, count):
        return [f"{self._random.getrandbits(128):032x}" for _ in range(count)]

    def fill(self, jobs, customers):
        rows = AttemptRows()
        for _ in range(jobs):
            self._made += 1
            at = BEGIN + timedelta(seconds=self._made)
            user = f"operator{self._random.randrange(12)}"
            rows.add(accepted_attempt(self.new_id(), user, at, self.cids(customers), "https://tms-1.example"))
        rows.insert()

    def bytes_added(self, customers):
        before = bytes_of_all()
        self.fill(JOBS, customers)
        return (bytes_of_all() - before) / JOBS

    def act(self):
        """Carry out what a Set Action of ten customers writes, as the service does."""
        attempt_id, actor = self.new_id(), Actor(user_id="operator1", ip_address="10.10.225.202", source=Source.FORM)
        intent = intent_body(Action.PE_ENABLE, "https://tms-1.example", self.cids(10), Source.FORM.value)
        open_attempt(attempt_id, actor, intent, accepted_since=BEGIN, covers=lambda *_: True, wait_s=5)
        record_events(attempt_id, [(Kind.ACCEPTED, ANSWER)], wait_s=5)
        with write_transaction("jobs"):
            create_job(
                AcceptedAttempt(
                    attempt_id=attempt_id, user_id="operator1", intent=intent, answer=ANSWER, evidence=Evidence.REPLY
                )
            )
        record_events(attempt_id, [(Kind.RECORDED, {"job_id": str(attempt_id)})], wait_s=5)


def test_a_customer_takes_less_than_150_bytes_and_a_job_of_ten_less_than_4_kb():
    site = Site()
    site.fill(JOBS, 10)
    of_ten, of_hundred_and_ten = site.bytes_added(10), site.bytes_added(110)
    assert (of_hundred_and_ten - of_ten) / 100 <= 135
    assert of_ten <= 3_870


def test_a_set_action_writes_few_pages():
    site = Site()
    site.fill(JOBS, 10)
    written = {}
    for alias in ALIASES:
        asked(alias, "wal_checkpoint(TRUNCATE)")
    for _ in range(ACTIONS):
        site.act()
    for alias in ALIASES:
        _, written[alias], _ = asked(alias, "wal_checkpoint(PASSIVE)")
    assert written["audit"] / ACTIONS <= 45
    assert written["jobs"] / ACTIONS <= 16
