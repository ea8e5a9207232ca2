"""The management commands of the project: migrate_all and serve."""

import re
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from io import StringIO

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command

from setactions.management.commands.serve import Command as Serve
from setactions.management.commands.serve import server_arguments
from tmsdash.tests.tools import KEYS, install, run_python

GROUPS = {
    "Operators": {"jobs.set_action"},
    "Auditors": {
        "audit.view_attempt",
        "audit.view_auditentry",
        "jobs.view_batch",
        "jobs.view_job",
        "jobs.view_jobcustomer",
        "jobs.view_runbookentry",
    },
}


def groups():
    return {
        group.name: {f"{one.content_type.app_label}.{one.codename}" for one in group.permissions.all()}
        for group in Group.objects.prefetch_related("permissions__content_type")
    }


def migrate_all(**options):
    output = StringIO()
    call_command("migrate_all", stdout=output, **options)
    return output.getvalue()


# -- migrate_all --------------------------------------------------------------------------------------------------


def test_the_groups_have_exactly_their_permissions(databases):
    Group.objects.all().delete()
    migrate_all()
    assert groups() == GROUPS


def test_running_migrate_all_again_changes_nothing(databases):
    migrate_all()
    before = list(Group.objects.values_list("id", "name"))
    output = migrate_all()
    assert output.count("No migrations to apply.") == 3
    assert groups() == GROUPS
    assert list(Group.objects.values_list("id", "name")) == before


def test_what_was_changed_by_hand_is_kept_and_what_is_missing_comes_back(databases):
    extra = Permission.objects.get(codename="add_user")
    Group.objects.get(name="Operators").permissions.set([extra])
    Group.objects.create(name="Night shift")
    migrate_all()
    changed = GROUPS | {"Operators": {"jobs.set_action", "auth.add_user"}, "Night shift": set()}
    assert groups() == changed


def test_migrate_all_tells_which_database_it_is_at(databases):
    assert re.findall("^Database (.*):$", migrate_all(), re.MULTILINE) == ["default", "jobs", "audit"]


def test_migrate_all_is_as_quiet_as_it_is_asked_to_be(databases):
    assert "Running migrations" not in migrate_all(verbosity=0, noinput=True)


def test_migrate_all_makes_three_databases_from_nothing(tmp_path):
    for expected in (r"Applying jobs.0001_initial\.\.\. OK", "No migrations to apply"):
        ended = run_python("manage.py", "migrate_all", "--noinput", var_dir=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert re.search(expected, ended.stdout)

    def tables(name):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    assert tables("jobs.db") == {
        *("jobs_job", "jobs_jobcustomer", "jobs_jobday", "jobs_batch", "jobs_batchchunk", "jobs_clusterpace"),
        *(
            "jobs_livereading",
            "jobs_livecluster",
            "jobs_livestate",
            "jobs_livelist",
            "jobs_jobconfirmation",
            "jobs_storedreview",
        ),
        *("jobs_apprun", "jobs_appruncustomer", "jobs_appstatus", "jobs_runbookentry"),
        *("django_migrations", "sqlite_sequence"),
    }
    assert {"audit_attempt", "audit_auditentry", "audit_attemptcustomer"} < tables("audit.db")
    assert {"auth_user", "tmsdash_banner", "socialaccount_socialaccount", "mfa_authenticator"} < tables("app.db")
    assert not {table for table in tables("app.db") if table.startswith(("jobs_", "audit_"))}
    assert not {
        table for table in tables("jobs.db") | tables("audit.db") if table.startswith(("account", "social", "mfa"))
    }


# -- serve --------------------------------------------------------------------------------------------------------


def option(arguments, name):
    return arguments[arguments.index(name) + 1]


@pytest.mark.parametrize(("deadline_s", "threads"), [(1, 2), (30, 64), (600, 512)])
def test_each_worker_has_the_threads_of_the_settings_and_patience_for_calls(settings, deadline_s, threads):
    settings.TMS_DEADLINE_S, settings.WEB_THREADS = deadline_s, threads
    arguments = server_arguments("0.0.0.0", 8080)  # noqa: S104 (a value like any other)
    assert arguments[:6] == [sys.executable, "-m", "granian", "--interface", "wsgi", "tmsdash.wsgi:application"]
    assert option(arguments, "--host") == "0.0.0.0"  # noqa: S104
    assert option(arguments, "--port") == "8080"
    assert option(arguments, "--workers") == "1"
    assert option(arguments, "--blocking-threads") == str(threads)
    assert int(option(arguments, "--workers-kill-timeout")) > deadline_s


def test_a_port_in_use_and_one_that_is_none_are_refused_before_anything_is_served():
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(CommandError, match="Cannot listen on 127.0.0.1, port .*in use"):
            call_command("serve", port=other.getsockname()[1])
    with pytest.raises(CommandError, match="Cannot listen on 127.0.0.1, port 99999"):
        call_command("serve", port=99_999)


def test_a_database_that_cannot_be_used_is_named(tmp_path):
    ended = run_python("manage.py", "migrate_all", var_dir=tmp_path, JOBS_DATABASE_URL="sqlite:////no/such/folder/x.db")
    assert ended.returncode == 1
    assert "JOBS_DATABASE_URL: this database cannot be used." in ended.stderr
    assert "Traceback" not in ended.stderr


def test_one_database_for_two_of_the_three_is_refused_before_it_is_touched(tmp_path):
    url = f"sqlite:///{tmp_path}/one.db"
    ended = run_python("manage.py", "migrate_all", var_dir=tmp_path, JOBS_DATABASE_URL=url, AUDIT_DATABASE_URL=url)
    assert ended.returncode == 1
    assert "three different databases" in ended.stderr or "tmsdash.E009" in ended.stderr
    assert not (tmp_path / "one.db").exists()


def test_the_server_knows_all_its_options():
    ended = subprocess.run([*server_arguments("127.0.0.1", 8000), "--help"], capture_output=True, text=True, check=True)
    assert "--workers-kill-timeout" in ended.stdout


def test_the_server_does_not_start_with_settings_that_a_check_refuses(tmp_path):
    assert Serve.requires_system_checks == "__all__"
    environment = {
        "JOBS_DATABASE_URL": "postgres://u:p@127.0.0.1:5432/x",
        "WEB_WORKERS": "1",
        "TMS_MAX_IN_FLIGHT": "64",
    }
    ended = run_python("manage.py", "serve", "--port", "0", var_dir=tmp_path, **environment, **KEYS)
    assert ended.returncode == 1
    assert "tmsdash.E008" in ended.stderr


# -- All commands -------------------------------------------------------------------------------------------------


def test_every_command_of_ours_is_named_in_a_test():
    root = django_settings.BASE_DIR
    ours = [config.name for config in apps.get_app_configs() if (root / config.name).is_dir()]
    tests = "".join(path.read_text() for name in ours for path in (root / name).rglob("tests/test_*.py"))
    commands = [path.stem for name in ours for path in (root / name / "management" / "commands").glob("[a-z]*.py")]
    assert {"migrate_all", "serve", "tms_simulator"} <= set(commands)
    assert [command for command in commands if not re.search(rf"\b{command}\b", tests)] == []


# -- Ends without a traceback --------------------------------------------------------------------------------------

COUNT_SESSIONS = "from tmsdash.models import Session; Session.objects.count()"
AWAY = {"DATABASE_URL": "postgres://user:secret-4711@127.0.0.1:9/app"}


@pytest.mark.sqlite
@pytest.mark.parametrize("command", [["axes_reset"], ["changepassword", "adam"]])
def test_a_database_that_is_away_is_named_in_a_sentence(tmp_path, command):
    ended = run_python("manage.py", *command, var_dir=tmp_path, **KEYS, **AWAY)
    assert ended.returncode == 1
    assert "A database cannot be used: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret-4711" not in ended.stderr


@pytest.mark.sqlite
def test_what_asks_ends_with_a_sentence_where_nobody_answers(tmp_path):
    install(tmp_path, **KEYS)
    ended = run_python("manage.py", "flush", var_dir=tmp_path, **KEYS)
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert "there is nobody to answer" in ended.stderr


@pytest.mark.sqlite
def test_databases_of_an_earlier_version_are_named_with_what_to_do(tmp_path):
    """Instead of a server whose every page fails, or the name of a column."""
    install(tmp_path, **KEYS)
    for back in (["jobs", "0006_legacy", "--database", "jobs"], ["tmsdash", "zero", "--database", "default"]):
        assert run_python("manage.py", "migrate", *back, "-v0", var_dir=tmp_path, **KEYS).returncode == 0
    for code, command in ((3, ["reconcile"]), (1, ["serve", "--port", "1"]), (1, ["shell", "-c", COUNT_SESSIONS])):
        ended = run_python("manage.py", *command, var_dir=tmp_path, **KEYS)
        assert (ended.returncode, "Traceback" in ended.stderr) == (code, False)
        assert "Run manage.py migrate_all first." in ended.stderr
