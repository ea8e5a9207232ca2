"""The old dashboard's files, made here as it made them."""

import json
import sqlite3
import uuid
from contextlib import closing
from io import StringIO

import pytest
from django.core.management import call_command

from setactions.operations.legacy.tests.old_code import CUSTOMERS, JOBS, LOG

NEWER = ", http_status INTEGER, error_message TEXT, updated_at TEXT"

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


class OldDashboard:
    """Its two files, to which rows can be added."""

    def __init__(self, folder, *, newer=True):
        self.jobs, self.audit = folder / "jobs.db", folder / "audit.db"
        self._run(self.jobs, JOBS.format(NEWER if newer else ""), CUSTOMERS)
        self._run(self.audit, LOG)

    def _run(self, file, *statements):
        with closing(sqlite3.connect(file)) as database, database:
            for statement in statements:
                database.execute(*statement) if isinstance(statement, tuple) else database.execute(statement)

    def _insert(self, file, table, values):
        marks = ", ".join("?" * len(values))
        self._run(file, (f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values())))

    def job(self, *cids, **changes):
        """Add a job, olivia's PE-Enable, or as `changes` say; returns its id."""
        values = {
            "job_id": str(uuid.uuid4()),
            "user_id": "olivia",
            "batch_id": None,
            "action_code": 2,
            "action_name": "PE-Enable",
            "cluster_url": "https://evian3.example",
            "created_at": "2025-06-01T10:00:00",
            "request_payload": json.dumps({"action": "PE-Enable", "cids": cids}),
            "response_summary": '{"success": true}',
            "status": "SUCCESS",
        } | changes
        self._insert(self.jobs, "jobs", values)
        for cid in cids:
            self.customer(values["job_id"], cid)
        return values["job_id"]

    def customer(self, job_id, cid):
        self._insert(self.jobs, "job_customers", {"job_id": job_id, "cid": cid})

    def log(self, **changes):
        """Add a row of the audit log, or as `changes` say."""
        defaults = {
            "user_id": "olivia",
            "action_type": "PE-Enable",
            "customer_ids": '["a1", "b2"]',
            "timestamp": "2025-06-01 12:00:00.5",
            "ip_address": "10.0.0.7",
            "status": "success",
            "error_message": None,
            "duration_ms": 312,
        }
        self._insert(self.audit, "audit_log", defaults | changes)

    def run(self, *arguments, zone="Europe/Paris"):
        """Import both; returns what was printed, and what was reported."""
        printed, reported = StringIO(), StringIO()
        options = ["--jobs-db", str(self.jobs), "--audit-db", str(self.audit), "--time-zone", zone]
        call_command("import_legacy", *options, *arguments, stdout=printed, stderr=reported)
        return printed.getvalue(), reported.getvalue().splitlines()


@pytest.fixture
def old(tmp_path):
    return OldDashboard(tmp_path)


def facts(model):
    return list(model.objects.order_by("pk").values())
