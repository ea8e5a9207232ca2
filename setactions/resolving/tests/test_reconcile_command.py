"""`manage.py reconcile`: options, tokens, what it prints, exit codes; and `serve`, which runs it first."""

import getpass
import io
import json
import os
import pty
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connections

from audit.chain import id_of_key
from audit.models import Attempt, AuditEntry
from audit.proof.archives import NAME
from audit.tests.making import sign_again, tampering
from jobs.models import Job, JobCustomer
from setactions.management.commands.reconcile import Command
from setactions.resolving import reconcile as reconcile_module
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    LOST_BEFORE,
    VARIABLES,
    environment_of_process,
    lose_patience,
    now,
    reads,
    send,
    send_and_die,
    tms_does,
)
from setactions.resolving.tests.doubting import run_reconcile as run
from tmsdash import timers
from tmsdash.tests.tools import database_bytes, kinds_of, locked

pytestmark = [pytest.mark.usefixtures("databases", "tms", "impatient"), pytest.mark.pages]
PLANTED = "planted-secret-token-9876543210"
NOTHING = {"closed": 0, "recorded": 0, "open": 0, "need_token": [], "need_person": []}
OWED = "service: answer in the audit"


@pytest.fixture
def environment(tms, tmp_path):
    return environment_of_process(tms, tmp_path)


def start(environment, *arguments, **options):
    """Start the command in a process of its own."""
    command = [sys.executable, "manage.py", "reconcile", *arguments]
    defaults = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    return subprocess.Popen(command, env=environment, cwd=django_settings.BASE_DIR, **(defaults | options))


def stored():
    """Everything in the databases, as bytes, with what is in SQLite's files besides."""
    rows = [list(model.objects.values()) for model in (Attempt, AuditEntry, Job, JobCustomer)]
    files = [Path(str(connection.settings_dict["NAME"])) for connection in connections.all()]
    parts = [database_bytes(file) for file in files if file.exists()]
    return repr(rows).encode() + b"".join(parts)


# -- What it prints, and exit codes -------------------------------------------------------------------------------


def test_with_nothing_left_open_it_ends_with_0():
    assert run("--json") == (0, json.dumps(NOTHING) + "\n")
    assert run() == (0, "Attempts closed: 0. Jobs recorded: 0.\n")


def test_what_is_closed_is_counted(fetch):
    send_and_die(fetch, OWED, "x")
    send(fetch, "a", token=LOST_AFTER)
    send(fetch, "b", token=LOST_BEFORE)
    code, printed = run("--json", token=PLANTED)
    assert (code, json.loads(printed)) == (0, NOTHING | {"closed": 3, "recorded": 2})


def test_what_needs_a_token_is_listed_and_ends_with_1(fetch):
    attempts = [str(send(fetch, cid, token=LOST_AFTER).attempt_id) for cid in "ab"]
    code, printed = run("--json")
    assert (code, json.loads(printed)) == (1, NOTHING | {"need_token": attempts})
    code, printed = run()
    assert code == 1
    assert re.search(rf"token.* 2:\n  {attempts[0]}\n  {attempts[1]}\n$", printed)


def test_what_needs_a_person_is_listed_and_ends_with_2_whatever_else_needs_a_token(fetch, tms):
    mixed = send(fetch, "a", "b", token=LOST_BEFORE)
    tms_does(tms, "PE-Enable", "a")
    code, printed = run("--json", token=PLANTED)
    assert timers.states()[0].last_success_at  # it has done what it can
    assert (code, json.loads(printed)) == (2, NOTHING | {"need_person": [str(mixed.attempt_id)]})
    code, printed = run(token=PLANTED)
    assert code == 2
    assert re.search(rf"person.* 1:\n  {mixed.attempt_id}\n$", printed)
    Attempt.objects.filter(pk=mixed.pk).update(cluster_url="https://gone.example")
    waiting = send(fetch, "c", token=LOST_BEFORE)
    code, printed = run("--json")
    assert (code, json.loads(printed)["need_token"]) == (2, [str(waiting.attempt_id)])


def test_a_job_that_cannot_be_recorded_ends_with_3(fetch, monkeypatch):
    owed = send_and_die(fetch, OWED)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET body = REPLACE(body, '\"b2\"', '\"a1\"') WHERE kind = 'INTENT'")
    sign_again(owed, "INTENT")
    code, printed = run("--json")
    assert (code, set(json.loads(printed))) == (3, set(NOTHING))
    assert not timers.states()[0].last_success_at
    assert now(owed).job_owed


def test_a_full_run_is_asked_for_by_an_option(fetch):
    send(fetch)
    JobCustomer.objects.all().delete()
    Job.objects.all().delete()
    assert json.loads(run("--json")[1]) == NOTHING
    assert json.loads(run("--json", "--full")[1]) == NOTHING | {"recorded": 1}


def test_a_full_run_names_an_archive_that_cannot_be_read(fetch, empty_seal_dir):
    send(fetch)
    empty_seal_dir.mkdir()
    name = NAME.format(key_id=id_of_key(django_settings.AUDIT_KEY), first=1, last=2)
    (empty_seal_dir / name).write_bytes(b"no archive")
    assert "No job could be compared with the audit." in "".join(map(str, run("--full")))


def test_its_deeds_are_the_operating_systems_users(fetch):
    attempt = send_and_die(fetch, OWED)
    run()
    recorded = AuditEntry.objects.get(attempt_id=attempt.attempt_id, kind="RECORDED")
    assert recorded.user_id.startswith(f"{getpass.getuser()}@")


def test_a_user_without_a_name_may_run_it_too(fetch, monkeypatch):
    """As in a container whose user id stands in no list."""

    def no_name():
        raise KeyError("getpwuid(): uid not found: 12345")

    send_and_die(fetch, OWED)
    monkeypatch.setattr(getpass, "getuser", no_name)
    assert run("--json") == (0, json.dumps(NOTHING | {"closed": 1, "recorded": 1}) + "\n")


# -- Databases that cannot be used --------------------------------------------------------------------------------


@pytest.fixture
def no_patience(monkeypatch):
    lose_patience(monkeypatch)


@pytest.mark.sqlite
@pytest.mark.parametrize("alias", ["jobs", "audit"])
def test_a_locked_database_ends_with_3_and_the_next_run_finishes(fetch, no_patience, alias):
    owed = [send_and_die(fetch, OWED, f"a{number}", "b") for number in range(3)]
    lost = [send(fetch, "c", token=LOST_AFTER), send(fetch, "d", token=LOST_BEFORE)]
    with locked(alias, ""):
        code, printed = run("--json", token=PLANTED)
    assert code == 3
    assert "A database cannot be used; run it again later." in printed
    assert JobCustomer.objects.count() == 2 * Job.objects.count() == (0 if alias == "jobs" else 6)
    assert all(kinds_of(attempt.attempt_id)[-1] == "ACCEPTED" and now(attempt).job_owed for attempt in owed)
    code, printed = run("--json", token=PLANTED)
    assert (code, json.loads(printed)) == (0, NOTHING | {"closed": 5, "recorded": 4})
    assert [now(attempt).outcome for attempt in lost] == ["applied", "not_applied"]
    assert Job.objects.count() == 4
    assert json.loads(run("--json", token=PLANTED)[1]) == NOTHING


@pytest.mark.sqlite
@pytest.mark.parametrize("alias", ["jobs", "audit"])
def test_a_lock_between_a_reading_and_its_verdict_ends_with_3_and_the_next_run_finishes(
    fetch, no_patience, monkeypatch, alias
):
    attempt, original, locks = send(fetch, token=LOST_AFTER), reconcile_module.read_states, []

    def read_then_lock(*args, **options):
        states = original(*args, **options)
        locks.append(locked(alias, ""))
        locks[0].__enter__()
        return states

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconcile_module, "read_states", read_then_lock)
        assert run(token=PLANTED)[0] == 3
    locks[0].__exit__(None, None, None)
    assert not Job.objects.exists()
    assert now(attempt).outcome == ("applied" if alias == "jobs" else "unknown")
    assert run(token=PLANTED)[0] == 0
    assert (Job.objects.get().evidence, now(attempt).is_open) == ("read_back", False)


def test_databases_that_are_not_there_end_with_3_and_a_sentence(environment, tmp_path):
    files = {variable: f"sqlite:///{tmp_path}/{variable}.db" for variable in VARIABLES.values()}
    process = start(environment | files, "--json")
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed) == (3, "")
    assert "A database cannot be used; run it again later." in said
    assert "Traceback" not in said
    assert list(tmp_path.glob("*.db")) == []  # a new, empty one would look as if nothing were left


# -- The token ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["TMS_TOKEN", "file", "stdin", "prompt"])
def test_the_token_comes_in_four_ways_and_is_found_nowhere_afterwards(fetch, tms, environment, tmp_path, way):
    applied, lost = send(fetch, "a", "b", token=LOST_AFTER), send(fetch, "c", token=LOST_BEFORE)
    Path(tmp_path / "token").write_text(f"  {PLANTED}\r\n")
    arguments = {"file": ["--token-file", str(tmp_path / "token")], "stdin": ["--token-file", "-"]}.get(way, [])
    if way == "prompt":
        terminal, own_end = pty.openpty()
        process = start(environment, "--json", "--ask-token", stdin=own_end, start_new_session=True)
        asked = ""
        while not asked.endswith("Bearer token: "):
            asked += process.stderr.read(1)
            assert process.poll() is None
        os.write(terminal, f"{PLANTED}\n".encode())
        printed, said = process.communicate(timeout=60)
        os.close(own_end)
        os.close(terminal)
    else:
        extra = {"TMS_TOKEN": PLANTED} if way == "TMS_TOKEN" else {}
        process = start(environment | extra, "--json", *arguments, stdin=subprocess.PIPE)
        printed, said = process.communicate(f"{PLANTED}\n" if way == "stdin" else "", timeout=60)
    assert (process.returncode, json.loads(printed)) == (0, NOTHING | {"closed": 2, "recorded": 1})
    assert [now(attempt).outcome for attempt in (applied, lost)] == ["applied", "not_applied"]
    assert "[RECONCILE] closed=2, recorded=1" in said
    assert PLANTED not in printed + said
    assert b'"c"' in stored()
    assert PLANTED.encode() not in stored()


def test_a_wrong_token_closes_nothing_and_is_found_nowhere(fetch, environment):
    attempt = send(fetch, token=LOST_AFTER)
    process = start(environment | {"TMS_TOKEN": f"fault:echo-token:{PLANTED}"}, "--json")
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, json.loads(printed)) == (1, NOTHING | {"need_token": [str(attempt.attempt_id)]})
    assert "evian3 could not be read" in said
    assert PLANTED not in printed + said
    assert PLANTED.encode() not in stored()


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["--token-file", "-"], ""),
        (["--token-file", "-"], f"{PLANTED} and more"),
        (["--token-file", "-"], f"{PLANTED}é"),
        (["--token-file", "-"], "x" * 8193),
        (["--token-file", PLANTED], ""),  # in the place of a file's name
        (["--token-file", PLANTED * 20], ""),
        (["--token-file", "."], ""),
        (["--ask-token"], ""),
    ],
    ids=["empty", "words", "no ASCII", "long", "as a name", "as a long name", "folder", "no terminal"],
)
def test_a_token_that_is_none_ends_with_1_and_a_sentence_without_it(fetch, tms, monkeypatch, capfd, arguments, given):
    send(fetch, token=LOST_AFTER)
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    monkeypatch.setattr(getpass, "getpass", getpass.fallback_getpass)  # as where there is no terminal
    with pytest.warns(getpass.GetPassWarning) if "--ask-token" in arguments else nullcontext():
        code, said = run(*arguments)
    assert code == 1
    assert said.rstrip()[-1:] in ".)"
    assert PLANTED not in said + "".join(capfd.readouterr())
    assert reads(tms) == []


def test_a_token_in_the_environment_that_is_none_ends_with_1(fetch, tms):
    send(fetch, token=LOST_AFTER)
    assert run(token="two words")[0] == 1
    assert run(token=" ")[0] == 1
    assert reads(tms) == []


@pytest.mark.parametrize(
    "arguments",
    [["--nope"], ["extra"], ["--token", PLANTED], ["--token-file"], ["--token-file", "-", "--ask-token"], ["--json=1"]],
    ids=str,
)
def test_wrong_options_end_with_1_and_do_nothing(fetch, tms, capsys, arguments):
    owed = send_and_die(fetch, OWED)
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "reconcile", *arguments])
    assert ended.value.code == 1
    assert "usage: manage.py reconcile" in capsys.readouterr().err
    assert now(owed).job_owed


def test_wrong_options_end_a_process_with_1(environment):
    process = start(environment, "--nope")
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed) == (1, "")
    assert "unrecognized arguments: --nope" in said
    assert "Traceback" not in said
