"""Exports: what the screen shows, all of it, in files that harm nobody, and never without a note in the audit."""

import csv
import io
import json
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit import exports, selectors
from audit.actors import Actor
from audit.choices import Action, Kind
from audit.models import Attempt, AuditEntry
from audit.tests.making import make_attempt, refuse
from tmsdash import csv_text
from tmsdash.commands import os_actor_name
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import locked, table_missing, text_of

pytestmark = pytest.mark.usefixtures("databases")

LIST = "/admin/audit/attempt/"


@pytest.fixture
def three(databases):
    """An old attempt of ruth's, olivia's accepted one, and one that was refused before its ids were read."""
    with mock.patch("django.utils.timezone.now", return_value=timezone.now() - timedelta(days=40)):
        old = make_attempt(Kind.REJECTED, user_id="ruth", cids=("old",), message="=cmd()", http_status=400)
    accepted = make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=("0123456", "=1+1", "c3"), action=Action.T_ENABLE)
    return old, accepted, refuse(cids=(), message="The list is empty.", source="api")


def content(answer):
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def as_rows(text):
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def as_objects(text):
    return [json.loads(line) for line in text.splitlines()]


def exported(client, form, **query):
    return content(client.get(f"{LIST}export.{form}", query))


def test_csv_has_a_row_for_each_customer_of_what_the_list_shows(three, audrey):
    _, accepted, refused = three
    answer = signed_in(audrey).get(f"{LIST}export.csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="attempts-')
    assert answer["Cache-Control"].startswith("no-") or "no-store" in answer["Cache-Control"]
    rows = as_rows(content(answer))
    assert tuple(rows[0]) == exports.COLUMNS
    assert [(row["attempt_id"], row["customer_id"]) for row in rows] == [
        (str(refused.attempt_id), ""),
        *((str(accepted.attempt_id), cid) for cid in ("'0123456", "'=1+1", "c3")),
    ]
    assert rows[1] == {
        "time": accepted.created_at.isoformat(),
        "attempt_id": str(accepted.attempt_id),
        "user": "olivia",
        "action": "T-Enable",
        "cluster": "https://evian3.example",
        "source": "form",
        "address": "203.0.113.7",
        "outcome": "accepted",
        "outcome_since": accepted.decided_at.isoformat(),
        "http_status": "200",
        "error": "",
        "job_id": str(accepted.attempt_id),
        "customer_count": "3",
        "customer_id": "'0123456",
        "note": "",
    }


def test_a_few_large_attempts_are_read_at_a_time_and_their_rows_come_in_parts(databases, audrey, monkeypatch):
    monkeypatch.setattr(selectors, "CUSTOMERS_AT_ONCE", 5)
    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 3)
    lists = [
        tuple(f"{letter}{number}" for number in range(count))
        for letter, count in zip("abcd", (1, 4, 8, 1), strict=True)
    ]
    for cids in lists:
        make_attempt(Kind.ACCEPTED, cids=cids)
    parts = selectors.of_few_customers(list(Attempt.objects.order_by("-pk")))
    assert [[attempt.customer_count for attempt in part] for part in parts] == [[1], [8], [4, 1]]
    rows = as_rows(exported(signed_in(audrey), "csv"))
    assert [row["customer_id"] for row in rows] == [cid for cids in reversed(lists) for cid in cids]
    objects = as_objects(exported(signed_in(audrey), "jsonl"))
    assert [tuple(one["customers"]) for one in objects] == lists[::-1]


@pytest.mark.parametrize("cid", ["", 'a"b', "a,b", "a\nb", "'", "007", "ordinary", "é"])
def test_an_id_at_the_end_of_a_row_is_written_as_any_other_cell(cid):
    assert f"x,{csv_text.id_field(cid)}\r\n" == csv_text.csv_text([["x", csv_text.to_id_cell(cid)]])


def test_formulas_are_inert_in_every_column(three, audrey):
    [row] = as_rows(exported(signed_in(audrey), "csv", user_id="ruth", time="all"))
    assert row["error"] == "'=cmd()"


def test_json_lines_have_an_object_for_each_attempt_with_what_chains_it(three, audrey):
    _, accepted, refused = three
    answer = signed_in(audrey).get(f"{LIST}export.jsonl")
    assert answer["Content-Type"] == "application/jsonl; charset=utf-8"
    first, second = as_objects(content(answer))
    assert (first["attempt_id"], first["customers"]) == (str(refused.attempt_id), [])
    assert (second["customers"], second["customer_count"]) == (["0123456", "=1+1", "c3"], 3)
    entries = AuditEntry.objects.filter(attempt_id=accepted.attempt_id).order_by("sequence")
    assert second["entries"] == [
        {
            "sequence": entry.sequence,
            "kind": entry.kind,
            "time": entry.created_at.isoformat(),
            "user": "olivia",
            "address": "203.0.113.7",
            "mac": entry.mac,
        }
        for entry in entries
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [2, 1]),
        ({"time": "all"}, [2, 1, 0]),
        ({"user_id": "olivia"}, [2, 1]),
        ({"outcome__exact": "refused"}, [2]),
        ({"action_code__exact": "3"}, [1]),
        ({"source": "api"}, [2]),
        ({"q": "old"}, [0]),
        ({"q": "ruth"}, [0]),
        ({"p": "1"}, [2, 1]),
        ({"user_id": "nobody"}, []),
    ],
)
def test_the_file_holds_what_the_screen_shows(three, audrey, query, expected):
    client = signed_in(audrey)
    found = [one["attempt_id"] for one in as_objects(exported(client, "jsonl", **query))]
    assert found == [str(three[number].attempt_id) for number in expected]
    listed = client.get(LIST, query).content.decode().partition("<table")[2]
    assert {str(attempt.attempt_id) for attempt in three if str(attempt.attempt_id) in listed} == set(found)


def test_the_list_leads_to_the_exports_of_what_it_shows(three, audrey):
    page = signed_in(audrey).get(LIST, {"user_id": "olivia", "time": "7"}).content.decode()
    for form in ("csv", "jsonl"):
        assert f'href="{LIST}export.{form}?time=7&amp;user_id=olivia"' in page


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7])
def test_a_long_export_is_read_in_parts(audrey, monkeypatch, count):
    monkeypatch.setattr(exports, "ATTEMPTS_AT_ONCE", 3)
    ids = [str(refuse(cids=(f"c{number}",)).attempt_id) for number in range(count)]
    assert [one["attempt_id"] for one in as_objects(exported(signed_in(audrey), "jsonl"))] == ids[::-1]


def test_who_exported_what_is_in_the_audit_before_the_first_line(three, audrey):
    answer = signed_in(audrey).get(f"{LIST}export.csv", {"user_id": "olivia", "time": "all", "p": "1"})
    entry = AuditEntry.objects.get(kind="EXPORTED")
    assert (entry.user_id, entry.attempt_id) == ("audrey", None)
    assert json.loads(entry.body) == {
        "what": "attempts",
        "format": "csv",
        "filters": {"user_id": "olivia", "since": None, "until": None},
        "count": 2,
    }
    assert content(answer)
    exported(signed_in(audrey), "csv")
    assert json.loads(AuditEntry.objects.filter(kind="EXPORTED").latest("sequence").body)["filters"]["since"]


def test_without_the_audit_nothing_is_exported(three, audrey, monkeypatch):
    monkeypatch.setattr(exports, "WAIT_S", 0.1)
    client = signed_in(audrey)
    with locked("audit", "audit_chainhead"):
        answer = client.get(f"{LIST}export.csv")
    assert answer.status_code == 503
    assert "nothing was exported" in text_of(answer)
    assert not AuditEntry.objects.filter(kind="EXPORTED").exists()


def test_filters_that_make_no_sense_are_refused(three, audrey):
    client = signed_in(audrey)
    assert client.get(f"{LIST}export.csv", {"customer_count": "x"}).status_code == 400
    assert client.get(f"{LIST}export.csv", {"password": "x"}).status_code == 400
    assert client.post(f"{LIST}export.csv").status_code == 405
    assert not AuditEntry.objects.filter(kind="EXPORTED").exists()


# -- The command --------------------------------------------------------------------------------------------------


def run(*arguments):
    output = io.StringIO(newline="")
    call_command("audit_export", *arguments, stdout=output)
    return output.getvalue()


def test_the_command_writes_the_same(three, audrey):
    for form in ("csv", "jsonl"):
        assert run("--format", form) == exported(signed_in(audrey), form, time="all")
    assert run() == run("--format", "csv")
    entry = AuditEntry.objects.filter(kind="EXPORTED").latest("sequence")
    assert entry.user_id == os_actor_name()
    assert json.loads(entry.body) == {"what": "attempts", "format": "csv", "filters": {}, "count": 3}


def day(days_ago):
    return f"{timezone.now() - timedelta(days=days_ago):%Y-%m-%d}"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # A number is a day: so many days ago when the test runs, which may be after the midnight of its collection.
        (["--since", 1], [2, 1]),
        (["--until", 1], [0]),
        (["--since", 41, "--until", 39], [0]),
        (["--since", 40, "--until", 40], [0]),
        (["--until", 41], []),
        (["--user", "ruth"], [0]),
        (["--action", "T-Enable"], [1]),
        (["--cluster", "https://nowhere.example"], []),
        (["--outcome", "refused"], [2]),
        (["--source", "api"], [2]),
        (["--customer", "c3"], [1]),
        (["--customer", "c"], []),
    ],
)
def test_the_command_has_filters(three, arguments, expected):
    arguments = [day(word) if isinstance(word, int) else word for word in arguments]
    found = [one["attempt_id"] for one in as_objects(run("--format", "jsonl", *arguments))]
    assert found == [str(three[number].attempt_id) for number in expected]


def test_the_command_writes_a_new_file_for_its_owner_only(three, tmp_path):
    file = tmp_path / "export.csv"
    assert run("--output", str(file)) == ""
    assert as_rows(file.read_text())[0]["user"] == "olivia"
    assert file.stat().st_mode & 0o777 == 0o600
    count = AuditEntry.objects.filter(kind="EXPORTED").count()
    for name in (file, tmp_path / "no" / "file"):
        with pytest.raises(CommandError, match="cannot be written"):
            run("--output", str(name))
    assert AuditEntry.objects.filter(kind="EXPORTED").count() == count


def test_an_output_that_cannot_be_written_is_called_that(three):
    full = Path("/dev/full").open("w")  # noqa: SIM115 (to close it is to write once more, which fails as well)
    with pytest.raises(CommandError) as raised:
        call_command("audit_export", stdout=full)
    with suppress(OSError):
        full.close()
    assert str(raised.value) == "The output cannot be written: No space left on device."


@pytest.mark.parametrize("day", ["2026-02-30", "yesterday", "20260230"])
def test_what_is_no_day_is_refused(day):
    with pytest.raises(CommandError, match="is no day. Write year-month-day"):
        run("--since", day)


def test_an_audit_that_cannot_be_written_is_told(three, capsys):
    with table_missing("audit", "audit_chainhead"), pytest.raises(SystemExit, match="3"):
        run()
    assert "nothing was exported. database audit: The database lacks what it had" in capsys.readouterr().err


def test_an_export_in_parts_holds_no_transaction_open(three):
    lines = exports.export(Attempt.objects.all(), "jsonl", {}, Actor(user_id="x"))
    next(lines)
    make_attempt(cids=("later",))  # somebody else writes
    assert len(list(lines)) == 2
