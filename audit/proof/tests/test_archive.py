"""Archives: closed periods leave the database for files that go on proving themselves."""

import gzip
import json
import threading
from datetime import timedelta
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections
from django.utils import timezone

from audit.actors import Actor
from audit.choices import Kind
from audit.models import Attempt, AttemptCustomer, AuditEntry
from audit.proof import append_only, archives, closed_periods
from audit.proof.archives import ArchiveError, find_archives
from audit.proof.verification import verify
from audit.tests.making import make_attempt, record, refuse, tampering
from audit.tests.sealing import ago, day, run
from tmsdash.commands import os_actor_name
from tmsdash.tests.tools import at_once

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")

DEEP = f"{'[' * 100_000}\n"
TODAY = f"{timezone.now():%Y-%m-%d}"


def sequences():
    return list(AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True))


def test_a_closed_period_moves_into_a_file_that_goes_on_proving_itself(old, empty_seal_dir):
    before = {model: list(model.objects.order_by("pk").values()) for model in (Attempt, AttemptCustomer)}
    entries = list(AuditEntry.objects.filter(sequence__lte=5).order_by("sequence"))
    code, printed = run("audit_archive", "--before", day(50))
    [file] = empty_seal_dir.glob("audit-*.jsonl.gz")
    assert (code, printed) == (0, f"Archived: entries 1 to 5, in {file}. Keep this file.\n")
    assert sequences() == [6, 7, 8, 9, 10]  # today's, what notes the key and the seal, and this
    assert before == {model: list(model.objects.order_by("pk").values()) for model in before}
    [archive] = find_archives()
    kept = list(archive.entries())
    assert [(entry.sequence, entry.mac, entry.body) for entry in kept] == [(e.sequence, e.mac, e.body) for e in entries]
    found = verify()
    assert (found.findings, found.entries, found.attempts, found.archives, found.seals) == ([], 10, 3, 1, 1)
    assert (file.stat().st_mode & 0o777, append_only.problems(connection())) == (0o600, [])


def connection():
    return connections["audit"]


def test_that_it_was_done_is_in_the_audit(old, empty_seal_dir):
    run("audit_archive", "--before", day(50))
    entry = AuditEntry.objects.get(kind="ARCHIVED")
    [file] = empty_seal_dir.glob("audit-*.jsonl.gz")
    body = json.loads(entry.body)
    assert (entry.user_id, entry.sequence) == (os_actor_name(), 10)
    assert (body["file"], body["first"], body["last"]) == (file.name, 1, 5)
    assert len(body["sha256"]) == 64


def test_periods_follow_each_other(old):
    run("audit_archive", "--before", day(50))
    with ago(20):
        refuse(cids=("x",))
    run("audit_archive", "--before", day(10))  # today's attempt, of entry 6, stands before it
    assert sequences()[0] == 6
    record(Attempt.objects.get(is_open=True), Kind.RECORDED)
    with mock.patch("django.utils.timezone.now", return_value=timezone.now() + timedelta(days=1)):
        make_attempt(Kind.REJECTED)
    with mock.patch(
        "audit.management.commands.audit_archive.first_moment", return_value=timezone.now() + timedelta(hours=12)
    ):
        run("audit_archive", "--before", TODAY)
    assert [(archive.first, archive.last) for archive in find_archives()] == [(1, 5), (6, 12)]
    assert verify().findings == []
    assert verify().archives == 2


def test_what_is_open_or_has_a_later_event_is_not_torn_apart(databases):
    with ago(100):
        refuse()
        doubtful = make_attempt(Kind.UNKNOWN, cids=("u",), message="lost", http_status=None)
        refuse()
    code, printed = run("audit_archive", "--before", day(50))
    assert code == 0
    assert f"Attempt {doubtful.attempt_id} is open; it and everything after it stay." in printed
    assert sequences() == [2, 3, 4, 5, 6, 7]
    record(doubtful, Kind.NOT_APPLIED, http_status=None)
    code, printed = run("audit_archive", "--before", day(50))
    assert f"Attempt {doubtful.attempt_id} is not over by then; it and everything after it stay." in printed
    assert "There is nothing to archive." in printed
    assert sequences()[0] == 2


def test_attempts_that_lie_in_each_other_are_kept_together(databases):
    with ago(100):
        outer = make_attempt(cids=("o",))
        inner = make_attempt(cids=("i",))
        record(outer, Kind.REJECTED)
    record(inner, Kind.REJECTED)
    run("audit_archive", "--before", day(50))
    assert sequences() == [1, 2, 3, 4]


def test_nothing_to_archive_changes_nothing(databases, empty_seal_dir):
    make_attempt(Kind.REJECTED)
    assert run("audit_archive", "--before", day(1)) == (0, "There is nothing to archive.\n")
    assert sequences() == [1, 2]
    assert not empty_seal_dir.exists()


# -- What verification finds --------------------------------------------------------------------------------------


def problems(**kwargs):
    return [f"{finding.where}: {finding.problem}" for finding in verify(**kwargs).findings]


def test_an_archive_that_is_gone_is_found(old, empty_seal_dir, tmp_path):
    run("audit_archive", "--before", day(50))
    [file] = empty_seal_dir.glob("audit-*")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file.rename(elsewhere / file.name)
    expected = "entry 6: It follows entry 0: the entries 1 to 5 are missing, and not in the archives either."
    assert problems()[0] == expected
    assert problems(archive_folder=elsewhere) == []
    assert run("audit_verify", "--archives", str(elsewhere))[0] == 0
    assert run("audit_verify")[0] == 3


def rewritten(file, change):
    lines = gzip.decompress(file.read_bytes()).decode().splitlines(keepends=True)
    file.write_bytes(gzip.compress("".join(change(lines)).encode()))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: [line.replace("olivia", "eve") for line in lines], "entry 1: It was changed"),
        (lambda lines: [*lines[:2], *lines[3:]], "entry 3: It follows entry 1: entry 2 is missing."),
        (lambda lines: lines[:-1], "was changed: its signature does not match."),
        (lambda lines: lines[:3], "is damaged at entry 3."),
        (lambda lines: [lines[0].replace('"format": 1', '"format": 2'), *lines[1:]], "its signature does not match."),
        (lambda lines: ["{}\n", *lines[1:]], "its signature does not match."),
        (lambda lines: [lines[0], "x\n", *lines[2:]], "is damaged at entry 1."),
        (lambda lines: ["no json\n", *lines[1:]], "its signature does not match."),
        (lambda lines: ["[1]\n", *lines[1:]], "its signature does not match."),
        (lambda lines: [DEEP, *lines[1:]], "its signature does not match."),
        (lambda lines: [lines[0].replace('"last": 5', '"last": 4'), *lines[1:]], "was written under another name"),
        (lambda lines: [*lines, "{}\n"], "its signature does not match."),
        (lambda lines: [lines[0], DEEP, *lines[2:]], "is damaged at entry 1."),
        (lambda lines: [lines[0], lines[1].replace('"olivia"', "7"), *lines[2:]], "is damaged at entry 1."),
        (lambda lines: [lines[0], lines[1].replace("[1,", '["1",'), *lines[2:]], "is damaged at entry 1."),
        (lambda lines: [lines[0], lines[1].replace("[1,", f"[{1 << 64},"), *lines[2:]], "is damaged at entry 1."),
        (lambda lines: [lines[0], lines[1].replace("[1,", f"[{'9' * 5000},"), *lines[2:]], "is damaged at entry 1."),
        (lambda lines: [lines[0], lines[1].replace("olivia", r"\ud800"), *lines[2:]], "is damaged at entry 1."),
        (lambda lines: [lines[0], "x" * 3_000_000, *lines[1:]], "a line that is longer than any entry."),
    ],
)
def test_an_archive_that_was_changed_is_found(old, empty_seal_dir, monkeypatch, change, problem):
    run("audit_archive", "--before", day(50))
    monkeypatch.setattr(archives, "MAX_LINE", 2_000_000)
    [file] = empty_seal_dir.glob("audit-*")
    rewritten(file, change)
    assert problem in problems()[0]
    code, printed = run("audit_archive", "--before", day(1))
    assert (code, "nothing was moved" in printed) == (3, True)


def test_what_only_seems_to_be_an_archive_is_named_and_the_others_are_read(old, empty_seal_dir):
    run("audit_archive", "--before", day(50))
    [file] = empty_seal_dir.glob("audit-*")
    copies = {"audit-old.jsonl.gz": "no archive has such a name"}
    copies[file.name.replace("-000000000001-", "-000000000002-")] = "was written under another name"
    copies[file.name.replace("-000000000005.", "-000000000009.")] = "was written under another name"
    for name, problem in copies.items():
        copy = empty_seal_dir / name
        copy.write_bytes(file.read_bytes())
        [found] = problems()
        assert found.startswith(f"archive: {name} ")
        assert problem in found
        assert run("audit_archive", "--before", day(1))[0] == 3
        copy.unlink()
    (empty_seal_dir / file.name.replace("-000000000001-", "-000000000002-")).mkdir()
    assert problems()[0].endswith("cannot be read: it is no file.")


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"x" * 1000)[:-20], gzip.compress(b"x" * 1000)[:10] + b"\x07" * 40]
)
def test_an_archive_that_cannot_be_read_is_found(old, empty_seal_dir, content):
    run("audit_archive", "--before", day(50))
    [file] = empty_seal_dir.glob("audit-*")
    file.write_bytes(content)
    assert not verify().is_whole


def test_rows_of_archived_attempts_are_still_compared(old):
    run("audit_archive", "--before", day(50))
    with tampering() as cursor:
        cursor.execute("UPDATE audit_attempt SET user_id = 'eve' WHERE outcome = 'rejected'")
        cursor.execute("DELETE FROM audit_attemptcustomer WHERE cid = 'b2'")
    found = "\n".join(problems())
    assert f"attempt {old[1].attempt_id}: Its row says that user_id is 'eve'; the entries say 'olivia'." in found
    assert f"attempt {old[0].attempt_id}: The customer index does not hold the ids of entry 1: it lacks b2." in found


# -- What goes wrong ----------------------------------------------------------------------------------------------


def test_a_broken_audit_is_not_archived(old, empty_seal_dir):
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET user_id = 'eve' WHERE sequence = 7")
    code, printed = run("audit_archive", "--before", day(50))
    assert code == 3
    assert "The audit is BROKEN; nothing was moved. entry 7" in printed
    assert sequences() == [1, 2, 3, 4, 5, 6, 7]
    assert not empty_seal_dir.exists()


def test_a_failure_leaves_all_in_the_database_and_the_next_run_tidies_up(old, empty_seal_dir, monkeypatch):
    monkeypatch.setattr(closed_periods.chain, "append", mock.Mock(side_effect=DatabaseError("no room")))
    with pytest.raises(CommandError, match="Nothing was moved. no room"):
        call_command("audit_archive", "--before", day(50))
    monkeypatch.undo()
    assert sequences() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert append_only.problems(connection()) == []
    assert len(list(empty_seal_dir.glob("audit-*"))) == 1
    assert verify().findings == []  # what is in both places does no harm
    with ago(60):
        refuse()
    run("audit_archive", "--before", day(50))
    assert [(archive.first, archive.last) for archive in find_archives()] == [(1, 5)]
    assert verify().findings == []


def test_the_site_may_write_while_an_archive_is_made(old):
    written = threading.Event()

    def work(number):
        if number == 0:
            written.wait(60)
            return run("audit_archive", "--before", day(50))[0]
        for turn in range(12):
            attempt = make_attempt(cids=(f"c{number}-{turn}",))
            written.set()
            record(attempt, Kind.ACCEPTED, Kind.RECORDED)
        return 0

    assert at_once(5, work) == [0] * 5
    found = verify()
    assert (found.findings, found.archives) == ([], 1)
    assert AuditEntry.objects.filter(kind="RECORDED", sequence__gt=5).count() == 48


def test_of_two_runs_that_ended_too_early_nothing_is_left_over(old, empty_seal_dir, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(closed_periods.chain, "append", mock.Mock(side_effect=DatabaseError("no room")))
        with pytest.raises(CommandError):
            call_command("audit_archive", "--before", day(50))
    closed_periods.archive(3, empty_seal_dir, Actor(user_id="x"))
    assert [(archive.first, archive.last) for archive in find_archives()] == [(1, 3)]
    assert verify().findings == []


def test_archives_that_overlap_are_read_once(old, empty_seal_dir, monkeypatch):
    monkeypatch.setattr(closed_periods, "_remove_leftovers", lambda folder, first: None)
    with monkeypatch.context() as broken:
        broken.setattr(closed_periods.chain, "append", mock.Mock(side_effect=DatabaseError("no room")))
        with pytest.raises(CommandError):
            call_command("audit_archive", "--before", day(50))
    closed_periods.archive(3, empty_seal_dir, Actor(user_id="x"))
    assert [(archive.first, archive.last) for archive in find_archives()] == [(1, 3), (1, 5)]
    assert verify().findings == []


def test_an_archive_of_what_a_restored_backup_replaced_is_kept_aside(old, empty_seal_dir, monkeypatch):
    monkeypatch.setattr(closed_periods.chain, "append", mock.Mock(side_effect=DatabaseError("no room")))
    with pytest.raises(CommandError):
        call_command("audit_archive", "--before", day(50))
    [file] = empty_seal_dir.glob("audit-*")
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET mac = 'another' WHERE sequence = 5")
    closed_periods._remove_leftovers(empty_seal_dir, 1)
    assert [path.name for path in empty_seal_dir.glob("audit-*")] == [f"{file.name}.superseded"]
    assert find_archives() == []


def test_a_file_that_is_not_what_was_written_is_noticed_before_anything_is_deleted(old, monkeypatch):
    written = closed_periods._write

    def write_badly(made, on_step):
        digest = written(made, on_step)
        rewritten(made.path, lambda lines: lines[:-2])
        return digest

    monkeypatch.setattr(closed_periods, "_write", write_badly)
    with pytest.raises(CommandError, match="Nothing was moved"):
        call_command("audit_archive", "--before", day(50))
    assert sequences()[:7] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("before", "message"),
    [("yesterday", "is no day"), ("2026-02-30", "is no day"), ("2999-01-01", "has not begun yet")],
)
def test_what_is_no_day_of_the_past_is_refused(before, message):
    with pytest.raises(CommandError, match=message):
        call_command("audit_archive", "--before", before)


def test_a_folder_that_cannot_be_used_is_named(old, settings, tmp_path):
    with pytest.raises(CommandError, match="is in VAR_DIR"):
        call_command("audit_archive", "--before", day(50), "--folder", f"{settings.VAR_DIR}/archives")
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="Nothing was moved"):
        call_command("audit_archive", "--before", day(50), "--folder", str(tmp_path / "file" / "x"))
    assert sequences()[:7] == [1, 2, 3, 4, 5, 6, 7]


def test_an_archive_of_the_wrong_size_deletes_nothing(old, empty_seal_dir, monkeypatch):
    with tampering() as cursor:
        cursor.execute("DELETE FROM audit_auditentry WHERE sequence = 3")
    monkeypatch.setattr(closed_periods, "_write", lambda made, on_step: "")
    monkeypatch.setattr(archives.Archive, "entries", lambda archive: [])
    with pytest.raises(ArchiveError, match="4 entries would be deleted, and 5 are in the file"):
        closed_periods.archive(5, empty_seal_dir, Actor(user_id="x"))
    assert sequences() == [1, 2, 4, 5, 6, 7]
    assert append_only.problems(connection()) == []
