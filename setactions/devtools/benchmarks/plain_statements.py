"""The floor of what a Set Action writes: its rows, as plain statements in four durable transactions.

The rows are those that the product has written for one; they are written once more, under new keys, to copies of its
databases, with their indexes and triggers.
"""

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

from django.conf import settings

from jobs.models import customers_from

Rows = list[tuple[Any, ...]]


class PlainStatements:
    """Writes the rows of one Set Action again and again."""

    def __init__(self, folder: Path) -> None:
        """Copy the databases of the site; their newest attempt, which must be complete, is what is written."""
        self._audit, self._jobs = (_copy(alias, folder) for alias in ("audit", "jobs"))
        self._attempt = _read(self._audit, "audit_attempt", "ORDER BY id DESC LIMIT 1")
        attempt = self._attempt.rows[0]
        attempt_id = attempt["attempt_id"]
        self._listed = _read(self._audit, "audit_attemptcustomer", "WHERE attempt_id = ?", attempt["id"])
        self._entries = _read(self._audit, "audit_auditentry", "WHERE attempt_id = ? ORDER BY sequence", attempt_id)
        self._job = _read(self._jobs, "jobs_job", "WHERE job_id = ?", attempt_id)
        self._customers = _read(self._jobs, "jobs_jobcustomer", "WHERE job_id = ?", self._job.rows[0]["id"])
        if len(self._entries.rows) != 3 or len(self._listed.rows) != len(self._customers.rows):
            raise RuntimeError("the newest attempt is not complete")

    def write(self) -> None:
        """Write INTENT with its customers, ACCEPTED, the Job with its customers, and RECORDED."""
        attempt_id, audit = uuid.uuid4().hex, self._audit
        audit.execute("BEGIN IMMEDIATE")
        owner = self._attempt.insert(audit, attempt_id=attempt_id)
        self._listed.insert_all(audit, attempt_id=owner)
        self._add_entry(0, attempt_id)
        audit.execute("COMMIT")
        self._add_event(1, attempt_id)
        self._jobs.execute("BEGIN IMMEDIATE")
        job = self._job.insert(self._jobs, job_id=attempt_id)
        customers = "INSERT INTO jobs_jobcustomer (id, job_id, cid, position) VALUES (?, ?, ?, ?)"
        places = [(row["cid"], row["position"]) for row in self._customers.rows]
        rows = [(customers_from(job) + position, job, cid, position) for cid, position in places]
        self._jobs.executemany(customers, rows)
        self._jobs.execute("COMMIT")
        self._add_event(2, attempt_id)

    def close(self) -> None:
        """Close the copies."""
        self._audit.close()
        self._jobs.close()

    def _add_event(self, number: int, attempt_id: str) -> None:
        self._audit.execute("BEGIN IMMEDIATE")
        self._add_entry(number, attempt_id)
        self._audit.execute(
            "UPDATE audit_attempt SET outcome = 'accepted', decided_at = created_at, http_status = 200, is_open = ?, "
            "job_owed = ? WHERE attempt_id = ?",
            [number == 1, number == 1, attempt_id],
        )
        self._audit.execute("COMMIT")

    def _add_entry(self, number: int, attempt_id: str) -> None:
        (sequence,) = self._audit.execute("SELECT sequence FROM audit_chainhead").fetchone()
        self._entries.insert(self._audit, number, attempt_id=attempt_id, sequence=sequence + 1)
        self._audit.execute("UPDATE audit_chainhead SET sequence = ?, mac = mac", [sequence + 1])


class _Read:
    """Rows of a table, to be inserted under other keys; the table gives new ones to those that have an id."""

    def __init__(self, table: str, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self._columns = [name for name in rows[0] if name != "id"]
        marks = ", ".join("?" * len(self._columns))
        self._statement = f"INSERT INTO {table} ({', '.join(self._columns)}) VALUES ({marks})"  # noqa: S608 (its own names)

    def insert(self, database: sqlite3.Connection, number: int = 0, **keys: object) -> int:
        """Insert one row, and return its id."""
        return database.execute(self._statement, self._values(self.rows[number], keys)).lastrowid or 0

    def insert_all(self, database: sqlite3.Connection, **keys: object) -> None:
        """Insert all rows."""
        database.executemany(self._statement, [self._values(row, keys) for row in self.rows])

    def _values(self, row: dict[str, Any], keys: dict[str, object]) -> list[object]:
        return [keys.get(name, row[name]) for name in self._columns]


def _read(database: sqlite3.Connection, table: str, where: str, *values: object) -> _Read:
    cursor = database.execute(f"SELECT * FROM {table} {where}", values)  # noqa: S608 (constants)
    names = [column[0] for column in cursor.description]
    return _Read(table, [dict(zip(names, row, strict=True)) for row in cursor])


def _copy(alias: str, folder: Path) -> sqlite3.Connection:
    """Return a connection to a copy of a database, tuned as the product tunes it."""
    path = folder / f"plain-{uuid.uuid4().hex}.db"
    with closing(sqlite3.connect(settings.DATABASES[alias]["NAME"])) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-8000", "wal_autocheckpoint=8000"):
        database.execute(f"PRAGMA {pragma}")
    return database
