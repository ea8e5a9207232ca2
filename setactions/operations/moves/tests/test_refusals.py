"""What cannot be moved stays where it is, and what was moved is used nowhere but at its new place."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from io import StringIO

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections

from audit.models import AuditEntry
from audit.proof import append_only
from jobs.models import Job
from setactions.operations.moves.move import move
from setactions.operations.moves.places import MoveError
from setactions.operations.moves.survey import surveyed
from setactions.operations.moves.tests.installations import FILES, KEYS, SILENT, contents, files_in, moving, serving
from tmsdash.db.moves import MovedError
from tmsdash.tests.killing import dying_at
from tmsdash.tests.tools import free_ports, run_python


def urls_of(folder):
    return [f"sqlite:///{folder / name}" for name in FILES.values()]


def one(name, site, new):
    """The arguments for moving one database."""
    return ["--from", f"sqlite:///{site / name}", "--to", f"sqlite:///{new / name}"]


def run(*arguments):
    """Run the command in this process; returns what it printed."""
    printed = StringIO()
    with moving():
        call_command("move_data", *arguments, stdout=printed)
    return printed.getvalue()


def refused(message, *arguments, code=1):
    with pytest.raises(CommandError, match=message) as failed:
        run(*arguments)
    assert failed.value.returncode == code


@pytest.fixture
def new(tmp_path):
    """The folder to which everything is to be moved."""
    folder = tmp_path / "new"
    folder.mkdir()
    return folder


@pytest.fixture
def change(site):
    """A function that changes the source behind the site's back."""

    def execute(name, *statements):
        with closing(sqlite3.connect(site / name, isolation_level=None)) as session:
            for statement in statements:
                session.execute(statement)

    return execute


@contextmanager
def in_use(file):
    """Another process of the site has a database's file in use."""
    program = (
        "import sys; from pathlib import Path; from tmsdash.db.locks import share;"
        "share(Path(sys.argv[1])); print(flush=True); input()"
    )
    command, folder, pipe = [sys.executable, "-c", program, str(file)], django_settings.BASE_DIR, subprocess.PIPE
    environment = {"ENV_FILE": os.devnull, "VAR_DIR": str(file.parent), "DJANGO_SETTINGS_MODULE": "tmsdash.settings"}
    with subprocess.Popen(command, env=environment, cwd=folder, stdin=pipe, stdout=pipe) as process:
        process.stdout.readline()
        yield
        process.stdin.close()


# -- What a move leaves behind --------------------------------------------------------------------------------------


def test_after_a_move_the_old_databases_are_used_by_nobody_until_that_is_undone(site, new):
    before = contents(files_in(site))
    printed = run("--from", *urls_of(site), "--to", *urls_of(new))
    assert f"{site / 'jobs.db'} to {new / 'jobs.db'}" in printed
    assert "The audit is whole: " in printed
    assert "Set DATABASE_URL, JOBS_DATABASE_URL, AUDIT_DATABASE_URL to the new databases and start the site." in printed
    assert contents(files_in(new)) == before
    with serving(files_in(new)):
        assert append_only.problems(connections["audit"]) == []
    sentence = f"It was moved to {new / 'app.db'} on "
    for arguments in (["serve", "--port", str(free_ports(1)[0])], ["reconcile"], ["clearsessions"], ["migrate_all"]):
        ended = run_python("manage.py", *arguments, var_dir=site)
        assert (ended.returncode != 0, sentence in ended.stderr) == (True, True), (arguments, ended)
        assert "Traceback" not in ended.stderr
    ended = run_python("-c", "import tmsdash.wsgi", var_dir=site)
    assert ended.stderr.startswith(
        f"TMS Dashboard cannot start. Nothing may use the database 'default' (DATABASE_URL). {sentence}"
    )
    assert "This was moved before." in run("--from", *urls_of(site), "--to", *urls_of(new))
    refused("cannot be moved to .* It was moved to", "--from", *urls_of(site), "--to", *urls_of(new / ".."))
    refused("There is nobody to ask", "--from", *urls_of(site), "--undo")
    run("--from", *urls_of(site), "--undo", "--yes")
    with serving(files_in(site)):
        assert User.objects.exists()
    refused("holds tables already", "--from", *urls_of(site), "--to", *urls_of(new))


def test_one_database_may_move_alone(site, new):
    run(*one("audit.db", site, new))
    with serving([*files_in(site)[:2], files_in(new)[2]]):
        assert AuditEntry.objects.exists()
        assert User.objects.exists()


def test_a_move_that_was_killed_leaves_neither_side_to_be_used_and_can_be_given_up(site, new):
    with dying_at("move: rows committed") as deaths:
        run(*one("jobs.db", site, new))
    assert deaths
    for folder, words in ((site, "It has been on the move to"), (new, "and has not finished")):
        with serving(files_in(folder)), pytest.raises(MovedError, match=words):
            Job.objects.exists()
    source = ["--from", f"sqlite:///{site / 'jobs.db'}"]
    refused("cannot be moved to .* on the move to", *source, "--to", f"sqlite:///{new / 'other.db'}")
    refused("target of a move.*Or delete it", "--from", f"sqlite:///{new / 'jobs.db'}", "--undo", "--yes")
    run(*source, "--undo", "--yes")
    refused("was not moved; there is nothing to undo", *source, "--undo", "--yes")
    refused("holds what another move left", *one("jobs.db", site, new))


def test_a_target_that_was_filled_since_it_was_looked_at_keeps_what_it_holds(site, new):
    """By a site that somebody has started there already, say, or by another move."""
    shutil.copy(site / "app.db", new / "other.db")
    with moving():
        plans = surveyed(files_in(site)[:1], files_in(new)[:1])
        (new / "other.db").rename(new / "app.db")
        with pytest.raises(MoveError, match="app.db holds tables already"):
            move(plans, SILENT)
    with serving([*files_in(new)[:1], *files_in(site)[1:]]):
        assert User.objects.exists()


# -- What is not moved ----------------------------------------------------------------------------------------------


def test_options_that_do_not_fit_are_refused_before_anything_is_touched(site, new):
    source, target = urls_of(site), urls_of(new)
    refused("--from: write postgres://", "--from", "mysql://x/y", "--to", target[0])
    refused("as many databases with --to", "--from", *source, "--to", target[0])
    refused("the same database twice", "--from", *source, "--to", *target[:2], source[2])
    refused("There is no folder", "--from", source[0], "--to", f"sqlite:///{new / 'none' / 'app.db'}")
    refused("no database of an installation", "--from", target[0], "--to", target[1])
    refused("Leave --to out", "--from", source[0], "--to", target[0], "--undo")
    assert not list(new.iterdir())
    with serving(files_in(site)):
        assert User.objects.exists()


def test_a_database_of_other_keys_is_not_moved(site, new, settings):
    for name in KEYS:
        before = getattr(settings, name)
        setattr(settings, name, "another key, of at least fifty characters, as a second host makes one")
        refused(f"{name} is not this site's", "--from", *urls_of(site), "--to", *urls_of(new))
        setattr(settings, name, before)
    assert not list(new.iterdir())


def test_a_database_in_use_is_not_moved(site, new):
    with in_use(site / "jobs.db"):
        refused("JOBS_DATABASE_URL: .*jobs.db is in use. Stop the site", *one("jobs.db", site, new))
    with closing(sqlite3.connect(site / "jobs.db")) as stranger:
        assert stranger.execute("SELECT count(*) FROM jobs_job").fetchone() > (0,)
        refused("JOBS_DATABASE_URL: .*jobs.db is in use. Stop the site", *one("jobs.db", site, new))
    assert not list(new.iterdir())


def test_a_broken_audit_is_not_moved(site, new, change):
    trigger = "audit_auditentry_update"
    altered = "UPDATE audit_auditentry SET user_id = 'x' WHERE sequence = 3"
    change("audit.db", f"DROP TRIGGER {trigger}", altered, append_only.SQLITE[trigger])
    refused("BROKEN. entry 3: ", *one("audit.db", site, new), code=3)
    with serving(files_in(site)), pytest.raises(MovedError):
        AuditEntry.objects.exists()
    run("--from", f"sqlite:///{site / 'audit.db'}", "--undo", "--yes")
    with serving(files_in(site)):
        assert AuditEntry.objects.exists()


def test_a_disk_without_room_for_the_copies_stops_the_move_before_anything_is_written(site, new, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(2 << 20, 1 << 20, 1 << 20))
    refused(
        r"The disk of .*new has 1 MiB free, and what is copied there can take [0-9,]+ MiB. .*another folder",
        *("--from", *urls_of(site), "--to", *urls_of(new)),
    )
    assert not list(new.iterdir())
    with serving(files_in(site)):
        assert User.objects.exists()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM django_migrations WHERE id = (SELECT max(id) FROM django_migrations)", "it lacks migrations"),
        (
            "INSERT INTO django_migrations (app, name, applied) VALUES ('jobs', '9999_later', '2031-01-01')",
            "it has migrations that are not known here",
        ),
    ],
    ids=["older", "newer"],
)
def test_a_database_of_another_version_is_not_moved(site, new, change, statement, words):
    change("jobs.db", statement)
    refused(f"jobs.db is of another version of this program: {words}", *one("jobs.db", site, new))
    assert not list(new.iterdir())


def test_a_reference_that_leads_nowhere_and_an_unknown_column_are_not_moved(site, new, change):
    change("jobs.db", "UPDATE jobs_batchchunk SET batch_id = 999 WHERE id = 1")
    refused("a row of jobs_batchchunk refers to one of jobs_batch", *one("jobs.db", site, new))
    change("jobs.db", "ALTER TABLE jobs_job ADD COLUMN own text")
    refused("jobs_job has not the columns", *one("jobs.db", site, new))
