"""Connections to SQLite's files that cannot be opened."""

from contextlib import closing

import pytest
from django.conf import settings
from django.db.utils import ConnectionHandler

from tmsdash.tests.tools import run_python

OPEN = """
import sys
from tmsdash.db.sqlite_files import ExistingFile, sqlite3
try:
    ExistingFile(sys.argv[1], uri=True)
except sqlite3.OperationalError as error:
    print(error)
"""


@pytest.mark.sqlite
@pytest.mark.parametrize(("name", "sentence"), [("missing", "is not there"), ("folder", "unable to open")])
def test_a_file_that_cannot_be_opened_is_an_error_and_not_the_end_of_the_process(tmp_path, name, sentence):
    (tmp_path / "folder").mkdir()
    ended = run_python("-c", OPEN, str(tmp_path / name), var_dir=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sentence in ended.stdout


@pytest.mark.sqlite
def test_a_database_in_memory_leaves_no_lock_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    in_memory = {"default": settings.DATABASES["default"] | {"NAME": "file:memorydb_default?mode=memory&cache=shared"}}
    connection = ConnectionHandler(in_memory)["default"]
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert list(tmp_path.iterdir()) == []
