"""What batches cost: `manage.py bench batch` and `bench batch-check`."""

import csv
import os
import resource
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from setactions.devtools.benchmarks.measurement import FLEET, NOBODY, compare, scaled
from setactions.devtools.simulator import Simulator
from setactions.inputs.csv_table import read_table

CALL_S = 0.3  # the quickest that TMS was ever seen
LIMIT = 1.15
USER = "bench"
BARE_CALLS = "setactions.devtools.bare_calls"

LINES = 1_000_000
CHECK_LIMIT = 8
MAX_RSS_MIB = 250


def batch() -> bool:
    """Compare the command with a program that makes the same calls and records nothing: each a process of its own."""
    User.objects.create_superuser(USER)
    fleet = scaled(FLEET)
    size, workers = settings.TMS_BATCH_CHUNK, settings.TMS_BATCH_CALLS
    file = Path(settings.VAR_DIR) / "fleet.csv"
    with Simulator(latency_s=CALL_S) as tms:
        options = {"user": USER, "cluster": "bench", "action": "PE-Enable", "confirm": fleet}
        command = ["manage.py", "set_action_batch", str(file), "--yes", "--json", "--no-check"]
        command += [f"--{name}={value}" for name, value in options.items()]
        environment = os.environ | {"TMS_CLUSTERS": f"bench={tms.url}", "TMS_TOKEN": "bench"}

        def new_list() -> None:
            file.write_text("".join(f"{uuid.uuid4().hex}\n" for _ in range(fleet)))

        def run(*arguments: str) -> None:
            program = [sys.executable, *arguments]
            subprocess.run(program, env=environment, cwd=settings.BASE_DIR, capture_output=True, check=True)  # noqa: S603

        bare = ["-m", BARE_CALLS, tms.url, str(file), str(size), str(workers)]
        comparison = compare(lambda: run(*command), lambda: run(*bare), before=new_list)
    what = f"a batch of {fleet:,} customers, {size} a call, {workers} calls at once of {CALL_S:g} s"
    return comparison.report("batch", what, "the bare calls", LIMIT)


def batch_check() -> bool:
    """Compare checking a file of a million lines with only reading and sorting it on disk, and look at the memory."""
    settings.TMS_CLUSTERS = {"bench": NOBODY}
    lines = scaled(LINES)
    path = Path(settings.VAR_DIR) / "million.csv"
    with path.open("w") as file:
        file.write("customer_id\n")
        file.writelines(f"{uuid.uuid4().hex}\n" for _ in range(lines))

    def ours() -> None:
        with path.open("rb") as source, read_table(source, cluster="bench", action="PE-Enable", strict=False) as table:
            if table.customer_count != lines:
                raise RuntimeError("not all lines were read")

    def bare() -> None:
        with path.open(newline="") as source, closing(sqlite3.connect("")) as database:  # a private temporary file
            database.execute("CREATE TABLE ids (cid TEXT)")
            database.executemany("INSERT INTO ids VALUES (?)", csv.reader(source))
            for _ in database.execute("SELECT cid FROM ids ORDER BY cid"):
                pass

    comparison = compare(ours, bare)
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux gives KiB
    what = f"checking {lines:,} lines with at most {rss_mib:.0f} MiB in memory (limit {MAX_RSS_MIB})"
    is_quick = comparison.report("batch-check", what, "csv.reader into a sorted SQLite table", CHECK_LIMIT)
    return is_quick and rss_mib <= MAX_RSS_MIB
