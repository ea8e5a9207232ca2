"""Exports whose rows cannot be read to their end: a part of one never looks like the whole."""

import csv
import io
import json
import logging

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from audit import exports
from audit.tests.making import make_attempt
from tmsdash.downloads import DOWNLOAD_AGAIN, INCOMPLETE
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import table_missing

pytestmark = pytest.mark.usefixtures("databases")

LIST = "/admin/audit/attempt/export."


@pytest.fixture
def five(databases, monkeypatch):
    """Five attempts, which an export reads two by two."""
    monkeypatch.setattr(exports, "ATTEMPTS_AT_ONCE", 2)
    return [make_attempt(cids=(f"c{number}",)) for number in range(5)]


@pytest.fixture
def gone_midway(five, monkeypatch):
    """The table of events is gone when the third attempt is to be read."""
    original = exports._with_entries

    def read(attempts):
        for number, part in enumerate(original(attempts)):
            yield part
            if number == 1:
                rename("audit_auditentry", "audit_gone")

    def rename(old, new):
        with connections["audit"].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")

    monkeypatch.setattr(exports, "_with_entries", read)
    yield
    rename("audit_gone", "audit_auditentry")


def test_a_table_that_goes_away_midway_leaves_a_last_line_in_csv(gone_midway, audrey, caplog):
    caplog.set_level(logging.ERROR)
    text = signed_in(audrey).get(f"{LIST}csv").getvalue().decode()
    _, *rows, last = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert ([row[-2] for row in rows], last) == (["c4", "c3"], [INCOMPLETE.format(next_step=DOWNLOAD_AGAIN)])
    [record] = caplog.records
    assert record.getMessage().startswith("[DOWNLOAD] EXCEPTION: attempts-")
    assert record.exc_info is None


def test_and_one_in_json_lines(gone_midway, audrey):
    lines = signed_in(audrey).get(f"{LIST}jsonl").getvalue().splitlines()
    *objects, last = [json.loads(line) for line in lines]
    assert [one["customers"] for one in objects] == [["c4"], ["c3"]]
    assert last == {"incomplete": INCOMPLETE.format(next_step=DOWNLOAD_AGAIN)}


def test_a_command_that_cannot_read_all_leaves_no_file(gone_midway, tmp_path):
    file = tmp_path / "export.csv"
    with pytest.raises(CommandError, match=r"^The export failed: .*export.csv was not made\. The rows could not be"):
        call_command("audit_export", "--output", str(file))
    assert [*tmp_path.iterdir()] == []


def test_what_a_command_has_printed_by_then_ends_with_the_line(gone_midway, tmp_path):
    out = io.StringIO()
    with pytest.raises(CommandError, match="what was printed is not whole"):
        call_command("audit_export", stdout=out)
    last = out.getvalue().splitlines()[-1]
    assert "Do not use this file: run the command again, and tell" in last


def test_rows_that_are_gone_from_the_first_on_are_no_download(five, audrey):
    client = signed_in(audrey)
    with table_missing("audit", "audit_auditentry"):
        answer = client.get(f"{LIST}csv")
    assert (answer.status_code, "Content-Disposition" in answer) == (503, False)
