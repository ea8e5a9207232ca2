"""Backups made by the command in this process, and what is in them."""

import sqlite3
from contextlib import closing
from io import StringIO

from django.core.management import call_command


def run(folder):
    """Run the command in this process; returns what it printed, and what it said besides."""
    printed, said = StringIO(), StringIO()
    call_command("backup", str(folder), stdout=printed, stderr=said)
    return printed.getvalue(), said.getvalue()


def rows_of(file, sql):
    with closing(sqlite3.connect(file)) as copy:
        return copy.execute(sql).fetchall()


def nothing_in(folder):
    return not folder.exists() or not list(folder.iterdir())
