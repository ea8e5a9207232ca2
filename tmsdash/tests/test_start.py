"""The site's start, in processes of its own: where settings come from, and what stops it."""

import ast
import os
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import ExitStack

import pytest
from django.conf import settings

from tmsdash import env, key_files, startup
from tmsdash.checks import has_wal_race_fix
from tmsdash.tests.tools import KEYS, run_python

IS_CLONE = (settings.BASE_DIR / ".git").exists()
POSTGRESQL = dict.fromkeys(
    ["DATABASE_URL", "JOBS_DATABASE_URL", "AUDIT_DATABASE_URL"], "postgres://u:p@127.0.0.1:5432/x"
)


@pytest.fixture(autouse=True)
def names_of_settings(monkeypatch):
    """What is read here under made-up names is no setting for the tests that come afterwards."""
    monkeypatch.setattr(env, "read_names", set(env.read_names))


@pytest.fixture
def check(tmp_path):
    """`manage.py check` with this environment."""

    def run(*arguments, **environment):
        return run_python("manage.py", "check", *arguments, var_dir=tmp_path / "var", **environment)

    return run


def values(*names, tmp_path, **environment):
    """Settings as a new process with this environment has them."""
    program = f"from tmsdash import settings; print([getattr(settings, name) for name in {names}])"
    return ast.literal_eval(run_python("-c", program, var_dir=tmp_path / "var", **environment).stdout)


def migrated(tmp_path, *options, **environment):
    """`manage.py migrate_all` with this environment."""
    return run_python("manage.py", "migrate_all", "-v0", *options, var_dir=tmp_path / "var", **environment)


# -- What stops the start -----------------------------------------------------------------------------------------


def test_a_wrong_setting_ends_manage_py_with_one_sentence_and_no_traceback(check):
    ended = check(TMS_DEADLINE_S="abc")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "TMS Dashboard cannot start. TMS_DEADLINE_S: write a whole number from 1 to 600; it holds 'abc'.\n"
    )


def test_a_wrong_setting_ends_the_server_with_the_same_sentence(tmp_path):
    ended = run_python("-c", "import tmsdash.wsgi", var_dir=tmp_path, TMS_CLUSTERS="evian3=http://tms.example")
    assert ended.returncode == 1
    assert ended.stderr.startswith("TMS Dashboard cannot start. TMS_CLUSTERS: use https ")
    assert ended.stderr.count("\n") == 1


def test_a_short_key_is_refused_without_showing_it(check):
    ended = check(SECRET_KEY="hunter2-hunter2")
    assert ended.returncode == 1
    assert ended.stderr == "TMS Dashboard cannot start. SECRET_KEY: use at least 50 characters.\n"


def test_nothing_that_a_refused_database_url_holds_reaches_the_screen(check):
    ended = check(DATABASE_URL="//tms:hunter2-hunter2@host/app")
    assert ended.returncode == 1
    assert ended.stderr.startswith("TMS Dashboard cannot start. DATABASE_URL: ")
    assert "hunter2" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "line",
    [
        "TMS_PASSIVE = true",
        "TMS_PASSIVE",
        "TMS_PASSIVE: true",
        "  TMS_PASSIVE=true",
        "export  TMS_PASSIVE=true",
        "set TMS_PASSIVE=true",
        "TMS-PASSIVE=true",
        "TOKEN_KEY: hunter2-hunter2",
    ],
)
def test_a_line_of_the_env_file_that_would_be_passed_over_stops_the_start_and_is_not_shown(check, tmp_path, line):
    (tmp_path / "env").write_text(f"# a comment\n\nWEB_THREADS=2\n{line}\n")
    ended = check(ENV_FILE=str(tmp_path / "env"))
    assert ended.returncode == 1
    assert ended.stderr == f"TMS Dashboard cannot start. {tmp_path / 'env'}: line 4 is not NAME=value.\n"


def test_a_system_check_of_ours_stops_manage_py_check(check):
    ended = check(WEB_WORKERS="1", TMS_MAX_IN_FLIGHT="64", **POSTGRESQL)
    assert ended.returncode == 1
    assert set(re.findall(r"\((\S+\.[EW]\d+)\)", ended.stderr)) == {"tmsdash.E008"}


# -- Where settings come from -------------------------------------------------------------------------------------


def test_the_real_environment_wins_over_the_env_file(tmp_path):
    (tmp_path / "env").write_text("# limits\n\nexport TMS_DEADLINE_S=11\nWEB_THREADS='22'\nTMS_PASSIVE=true\n")
    environment = {"ENV_FILE": str(tmp_path / "env"), "TMS_DEADLINE_S": "33", "TMS_PASSIVE": "false"} | KEYS
    assert values("TMS_DEADLINE_S", "WEB_THREADS", "TMS_PASSIVE", tmp_path=tmp_path, **environment) == [33, 22, False]


def test_an_env_file_that_is_named_and_missing_stops_the_start(check, tmp_path):
    ended = check(ENV_FILE=str(tmp_path / "none"))
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "ENV_FILE: name a file that exists" in ended.stderr


def test_an_env_file_that_is_no_text_or_a_folder_stops_the_start(check, tmp_path):
    (tmp_path / "env").write_bytes(b"TMS_DEADLINE_S=20 \xff\xfe\n")
    for path, reason in ((tmp_path / "env", "is not UTF-8 text"), (tmp_path, "name a file that exists")):
        ended = check(ENV_FILE=str(path))
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
        assert reason in ended.stderr


# -- check --deploy -----------------------------------------------------------------------------------------------


def test_the_defaults_warn_of_exactly_what_plain_http_a_generated_key_and_an_old_sqlite_mean(check):
    ended = check("--deploy")
    expected = {f"security.{number}" for number in ("W004", "W008", "W012", "W016")} | {"tmsdash.W004"}
    if not has_wal_race_fix(sqlite3.sqlite_version_info):
        expected.add("tmsdash.W001")
    if IS_CLONE:
        expected.add("tmsdash.W042")
    assert ended.returncode == 0
    assert set(re.findall(r"\((\S+\.[EW]\d+)\)", ended.stderr)) == expected


def test_https_and_postgresql_leave_nothing_to_warn_of(check):
    ended = check("--deploy", "--fail-level", "WARNING", HTTPS_ONLY="true", AUDIT_KEY="k" * 32, **POSTGRESQL)
    if IS_CLONE:  # of which alone it warns there
        assert re.findall(r"\((\S+\.[EW]\d+)\)", ended.stderr) == ["tmsdash.W042"]
    else:
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout == "System check identified no issues (1 silenced).\n"


def test_the_defaults_have_no_issue_without_deploy(check):
    ended = check("--fail-level", "WARNING")
    assert (ended.returncode, ended.stderr) == (0, "")


# -- Generated keys -----------------------------------------------------------------------------------------------


@pytest.fixture
def no_keys(monkeypatch):
    monkeypatch.delenv("A_KEY", raising=False)


def test_a_key_is_made_once_and_only_its_owner_can_read_it(no_keys, tmp_path):
    path = tmp_path / "var" / "a_key"
    key = key_files.generated("A_KEY", path, minimum_length=50)
    assert len(key) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_files.generated("A_KEY", path, minimum_length=50) == key
    assert [file.name for file in path.parent.iterdir()] == ["a_key"]  # nothing is left beside it


def test_two_keys_differ(no_keys, tmp_path):
    keys = {key_files.generated("A_KEY", tmp_path / name, minimum_length=50) for name in ("a", "b", "c")}
    assert len(keys) == 3


def test_the_environment_wins_over_the_kept_key(no_keys, monkeypatch, tmp_path):
    key_files.generated("A_KEY", tmp_path / "a_key", minimum_length=32)
    monkeypatch.setenv("A_KEY", "e" * 32)
    assert key_files.generated("A_KEY", tmp_path / "a_key", minimum_length=32) == "e" * 32


def test_a_kept_key_that_lost_its_content_is_not_used(no_keys, tmp_path):
    (tmp_path / "a_key").write_text("\n")
    with pytest.raises(env.ImproperlyConfigured, match="^A_KEY: "):
        key_files.generated("A_KEY", tmp_path / "a_key", minimum_length=32)


def test_the_keys_of_the_site_are_kept_between_its_processes(tmp_path):
    assert migrated(tmp_path).returncode == 0
    first, again = (values("SECRET_KEY", "TOKEN_KEY", "AUDIT_KEY", tmp_path=tmp_path) for _ in range(2))
    assert first == again
    assert len(set(first)) == 3
    assert {"audit_key", "secret_key", "token_key"} <= {file.name for file in (tmp_path / "var").iterdir()}


def test_twenty_processes_that_make_keys_at_once_agree_on_each(tmp_path):
    """A hundred keys each, so that some are made in the very same moment."""
    program = (
        "import sys; from pathlib import Path; from tmsdash import key_files, startup; startup.command = 'migrate';"
        "print(flush=True); sys.stdin.readline();"
        f"print([key_files.generated('NONE', Path({str(tmp_path)!r}, str(n)), minimum_length=32) for n in range(100)])"
    )
    command = [sys.executable, "-c", program]
    with ExitStack() as stack:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [stack.enter_context(subprocess.Popen(command, cwd=settings.BASE_DIR, **pipes)) for _ in range(20)]
        for process in processes:
            process.stdout.readline()  # ready
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        seen = {process.stdout.read() for process in processes}
    assert len(seen) == 1
    assert len(set(ast.literal_eval(seen.pop()))) == len(list(tmp_path.iterdir())) == 100


def test_root_makes_no_keys_and_no_databases_in_a_folder_of_another_user(monkeypatch, tmp_path):
    """Its server could not open them."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 65_534, -1)
        ended = run_python("manage.py", "migrate_all", var_dir=tmp_path, **KEYS)
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
        assert f"VAR_DIR: {tmp_path} belongs to " in ended.stderr
        assert "sudo -u " in ended.stderr
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(startup, "command", "restore")  # which gives what it makes to the owner of what was there
    monkeypatch.setattr(startup, "makes_installation", lambda: True)
    with pytest.raises(env.ImproperlyConfigured, match="^VAR_DIR: .* belongs to "):
        key_files.generated("NONE", tmp_path / "a_key", minimum_length=32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["check", "--deploy"], ["migrate_all", "--help"], ["diffsettings"]])
def test_what_only_looks_makes_neither_keys_nor_their_folder(tmp_path, command):
    assert run_python("manage.py", *command, var_dir=tmp_path / "var").returncode == 0
    assert list(tmp_path.iterdir()) == []
