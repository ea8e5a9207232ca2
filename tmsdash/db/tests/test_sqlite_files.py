"""Connections to SQLite's files that cannot be opened."""

import pytest

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
