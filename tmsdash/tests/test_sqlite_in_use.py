"""One SQLite in each process, whichever module begins it: the wheel's where it is installed, else the system's."""

import importlib.util
import sqlite3
import subprocess
import sys

import pytest
from django.conf import settings
from django.db.backends.sqlite3.base import DatabaseWrapper

from tmsdash.cores import Workers

BEGINNINGS = [
    *("manage", "tmsdash.settings", "audit", "jobs"),
    *("setactions.inputs.spool", "setactions.devtools.demo", "setactions.devtools.stub_tms"),
    *("setactions.devtools.proofs.evidence", "setactions.devtools.call_then_record.__main__"),
]
IS_THERE = importlib.util.find_spec("pysqlite3") is not None
PACKAGE = "pysqlite3" if IS_THERE else "sqlite3"
COUNT = """
import sqlite3, sys
from django.db.backends.sqlite3.base import Database
print(sqlite3.__name__, Database.__name__, [name in sys.modules for name in ("_sqlite3", "pysqlite3._sqlite3")])
"""


def sqlite_after(program, tmp_path):
    """Return the package of a new process, what Django uses there, and which of the two libraries are loaded."""
    environment = {"PATH": "/usr/bin:/bin", "ENV_FILE": "", "VAR_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program + COUNT]
    return subprocess.run(
        command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("module", BEGINNINGS)
def test_a_process_has_one_sqlite_whatever_it_imports_first(tmp_path, module):
    said = sqlite_after(f"import {module}", tmp_path)
    assert said == f"{PACKAGE} {PACKAGE}.dbapi2 {[not IS_THERE, IS_THERE]}\n"


def test_the_tests_have_one_too():
    assert (sqlite3.__name__, DatabaseWrapper.Database.__name__) == (PACKAGE, f"{PACKAGE}.dbapi2")
    assert ("_sqlite3" in sys.modules) is not IS_THERE


def test_without_the_wheel_it_is_the_system_s(tmp_path):
    said = sqlite_after("import sys; sys.modules['pysqlite3'] = None; import tmsdash", tmp_path)
    assert said == "sqlite3 sqlite3.dbapi2 [True, False]\n"


def package_of_worker(task):
    return sqlite3.__name__, "_sqlite3" in sys.modules


def test_so_has_a_process_that_reads_the_databases_for_another():
    with Workers() as workers:
        assert list(workers.answers(package_of_worker, [0])) == [(0, (PACKAGE, not IS_THERE))]
