"""How the old dashboard's code writes its files. Run as a program in the time zone that TZ names.

It takes a folder, and on standard input a JSON list of actions: `at`, in seconds since 1970 (null is now), `user`,
`cids` and `style`, as which it wrote times in one version or another.
"""

import json
import sqlite3
import sys
import uuid
from contextlib import closing
from datetime import datetime
from pathlib import Path

JOBS = (
    "CREATE TABLE jobs (job_id TEXT PRIMARY KEY, user_id TEXT, batch_id TEXT, action_code INTEGER, action_name TEXT, "
    "cluster_url TEXT, created_at TEXT, request_payload TEXT, response_summary TEXT, status TEXT{})"
)
CUSTOMERS = "CREATE TABLE job_customers (id INTEGER PRIMARY KEY, job_id TEXT, cid TEXT)"
LOG = (
    "CREATE TABLE audit_log (id INTEGER PRIMARY KEY, user_id TEXT, action_type TEXT, customer_ids TEXT, "
    "timestamp TEXT DEFAULT CURRENT_TIMESTAMP, ip_address TEXT, status TEXT, error_message TEXT, duration_ms INTEGER)"
)
STYLES = {
    "iso": lambda at: at.isoformat(),
    "seconds": lambda at: at.replace(microsecond=0).isoformat(),
    "text": str,
}


def write_log(audit, action):
    columns = "user_id, action_type, customer_ids, ip_address, status, duration_ms"
    values = [action["user"], "PE-Enable", json.dumps(action["cids"]), "10.0.0.7", "success", 312]
    if action["at"] is None:  # as CURRENT_TIMESTAMP has it
        audit.execute(f"INSERT INTO audit_log ({columns}) VALUES (?, ?, ?, ?, ?, ?)", values)
    else:
        query = f"INSERT INTO audit_log ({columns}, timestamp) VALUES (?, ?, ?, ?, ?, ?, datetime(?, 'unixepoch'))"
        audit.execute(query, [*values, int(action["at"])])


def write_job(jobs, action):
    job_id, cids = str(uuid.uuid4()), action["cids"]
    # Local, without an offset: that is its fault.
    at = datetime.now() if action["at"] is None else datetime.fromtimestamp(action["at"] + 0.3)  # noqa: DTZ005, DTZ006
    payload = json.dumps({"action": "PE-Enable", "cids": cids})
    url = "https://evian3.example/tms/v1/set/action"
    created_at = STYLES[action["style"]](at)
    values = [job_id, action["user"], None, 2, "PE-Enable", url, created_at, payload, '{"success": true}', "SUCCESS"]
    jobs.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    jobs.executemany("INSERT INTO job_customers (job_id, cid) VALUES (?, ?)", [(job_id, cid) for cid in cids])


def main(folder, actions):
    with closing(sqlite3.connect(folder / "jobs.db")) as jobs, closing(sqlite3.connect(folder / "audit.db")) as audit:
        with jobs, audit:
            for database, schema in ((jobs, JOBS.format("")), (jobs, CUSTOMERS), (audit, LOG)):
                database.execute(schema)
            for action in actions:
                if not action.get("without_log"):
                    write_log(audit, action)
                write_job(jobs, action)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.load(sys.stdin))
