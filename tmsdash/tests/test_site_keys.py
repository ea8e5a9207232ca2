"""All hosts of a site need the same keys: a process with another one does not start, and says which it is."""

import re
import subprocess
import sys

import pytest
import requests
from django.core import checks
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db import connections

from audit.models import AuditEntry
from tmsdash import site_keys
from tmsdash.models import SiteKey
from tmsdash.tests.tools import KEYS, at_once, free_ports, install, run_python, table_missing, until

OTHER = "another key, of at least fifty characters, as a second host makes one"


@pytest.fixture
def keys(databases, settings):
    """The keys of a site that has started before."""
    site_keys.remember()


def with_other(settings, name):
    setattr(settings, name, OTHER)


# -- As processes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The VAR_DIR of a site that is set up; its files stay as they are."""
    folder = tmp_path_factory.mktemp("site")
    install(folder)
    return folder


@pytest.mark.sqlite
@pytest.mark.parametrize("name", site_keys.ALL)
def test_the_server_does_not_start_with_another_key_and_says_which(site, name):
    ended = run_python("manage.py", "serve", "--port", str(free_ports(1)[0]), var_dir=site, **{name: OTHER})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"CommandError: Nothing was done. {name} is not this site's: ")
    assert f"Copy {name.lower()} from the VAR_DIR of the site's first host, or set {name}" in ended.stderr
    assert OTHER not in ended.stderr


@pytest.mark.sqlite
def test_databases_are_not_migrated_with_another_key_that_signs(site):
    ended = run_python("manage.py", "migrate_all", "-v0", var_dir=site, AUDIT_KEY=OTHER)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("CommandError: Nothing was done. AUDIT_KEY is not this site's: ")


@pytest.mark.sqlite
def test_another_server_does_not_start_either(site):
    ended = run_python("-c", "import tmsdash.wsgi", var_dir=site, TOKEN_KEY=OTHER)
    assert ended.returncode == 1
    assert ended.stderr.startswith("TMS Dashboard cannot start. TOKEN_KEY is not this site's: ")


@pytest.mark.sqlite
def test_the_keys_of_a_new_site_are_kept_and_no_database_is_made_to_compare_them(tmp_path):
    ended = run_python("-c", "import tmsdash.wsgi", var_dir=tmp_path, **KEYS)
    assert ended.returncode == 0
    assert re.fullmatch(r"\[STATIC\] The pages' files load slowly .*\n", ended.stderr)
    assert [path for path in tmp_path.iterdir() if path.suffix == ".db"] == []


@pytest.mark.sqlite
@pytest.mark.linux
def test_a_server_whose_database_was_away_answers_nothing_once_it_sees_another_key(site, tmp_path):
    database = site / "app.db"
    away = tmp_path / "app.db"
    database.rename(away)
    port = str(free_ports(1)[0])
    program = (
        "import os, sys; from wsgiref.simple_server import make_server; from tmsdash.wsgi import application; "
        "make_server('127.0.0.1', int(sys.argv[1]), application).serve_forever()"
    )
    environment = {"PATH": "/usr/bin:/bin", "ENV_FILE": "/dev/null", "VAR_DIR": str(site), "SECRET_KEY": OTHER}
    process = subprocess.Popen(
        [sys.executable, "-c", program, port], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: answer_of(port))  # it serves, as far as it can
        away.rename(database)
        until(lambda: answer_of(port).status_code == 503)
        assert answer_of(port).text == "This server does not have the keys of its site. Its log says which.\n"
    finally:
        process.kill()
        assert "SECRET_KEY is not this site's" in process.communicate()[1]
        if away.exists():
            away.rename(database)


def answer_of(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/login/", timeout=60)
    except requests.ConnectionError:
        return None


@pytest.mark.parametrize(
    ("name", "number"), [("SECRET_KEY", "tmsdash.E010"), ("TOKEN_KEY", "tmsdash.E010"), ("AUDIT_KEY", "audit.E002")]
)
def test_the_check_with_databases_names_the_key(keys, settings, name, number):
    databases = ["default", "audit"]
    call_command("check", databases=databases)
    with_other(settings, name)
    with pytest.raises(SystemCheckError, match=rf"\({number}\) {name} is not this site's"):
        call_command("check", databases=databases)
    call_command("check")  # asks no database


# -- Commands -------------------------------------------------------------------------------------------------------

WRITERS = {
    "reconcile": 3,
    "audit_seal": 3,
    "audit_export": 1,
    "import_legacy --jobs-db x --audit-db y --time-zone UTC": 1,
    "set_action_batch x.csv --user olivia": 1,
    "audit_archive --before 2026-01-01": 3,
    "createsuperuser --noinput --username eve --email x": 1,
}


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("name", site_keys.KEPT)
def test_no_command_writes_or_sends_with_another_key(keys, settings, command, name):
    with_other(settings, name)
    with pytest.raises(CommandError, match=f"Nothing was done. {name} is not this site's") as failed:
        call_command(*command.split())
    assert failed.value.returncode == WRITERS[command]
    assert AuditEntry.objects.count() == 0


@pytest.mark.parametrize(
    "command", [command for command in WRITERS if command[:10] not in ("audit_seal", "audit_arch")]
)
def test_no_command_writes_or_sends_with_another_audit_key(keys, settings, command):
    with_other(settings, "AUDIT_KEY")
    with pytest.raises(CommandError, match="Nothing was done. AUDIT_KEY is not this site's"):
        call_command(*command.split())


# -- What the database keeps ----------------------------------------------------------------------------------------


def test_an_id_does_not_tell_the_key_and_differs_by_name(keys, settings):
    settings.SECRET_KEY = settings.TOKEN_KEY = OTHER
    assert site_keys.id_of("SECRET_KEY") != site_keys.id_of("TOKEN_KEY")
    assert all(len(key.key_id) == 16 for key in SiteKey.objects.all())


def test_a_key_that_is_rotated_on_purpose_is_accepted_and_audited(keys, settings, capsys):
    with_other(settings, "SECRET_KEY")
    with pytest.raises(SystemExit) as ended:
        call_command("site_keys")
    assert (ended.value.code, "SECRET_KEY is NOT this site's" in capsys.readouterr().out) == (1, True)
    call_command("site_keys", "--accept", "SECRET_KEY")
    assert site_keys.assert_ours()
    entry = AuditEntry.objects.get()
    assert (entry.kind, '"what":"SECRET_KEY"' in entry.body) == ("SETTING_CHANGED", True)
    call_command("site_keys", "--accept", "SECRET_KEY")  # it is the site's already
    assert AuditEntry.objects.count() == 1


def test_the_other_key_stays_wrong_when_one_is_accepted(keys, settings):
    for name in site_keys.KEPT:
        with_other(settings, name)
    with pytest.raises(SystemExit):
        call_command("site_keys", "--accept", "SECRET_KEY")
    with pytest.raises(site_keys.WrongKeyError, match="^TOKEN_KEY is not"):
        site_keys.assert_ours()


def test_of_hosts_that_start_first_at_the_same_time_one_decides(databases, settings):
    at_once(8, lambda number: site_keys.remember())
    assert sorted(SiteKey.objects.values_list("name", flat=True)) == sorted(site_keys.KEPT)
    first = set(SiteKey.objects.values_list("key_id", flat=True))
    with_other(settings, "TOKEN_KEY")
    site_keys.remember()
    assert set(SiteKey.objects.values_list("key_id", flat=True)) == first


def test_a_process_with_another_audit_key_does_not_make_its_other_keys_the_sites(databases, settings):
    settings.AUDIT_KEY = OTHER
    with pytest.raises(site_keys.WrongKeyError, match="^AUDIT_KEY is not this site's"):
        site_keys.assert_ours()
    assert not SiteKey.objects.exists()


def test_an_old_audit_key_is_the_sites_too(keys, settings):
    settings.AUDIT_OLD_KEYS, settings.AUDIT_KEY = [settings.AUDIT_KEY], OTHER
    assert site_keys.assert_ours()


@pytest.mark.parametrize(("alias", "table"), [("default", "tmsdash_sitekey"), ("audit", "audit_chainhead")])
def test_a_database_without_its_table_stops_nobody_but_is_named(keys, alias, table):
    with table_missing(alias, table):
        assert site_keys.assert_ours() is False
        [warning] = checks.run_checks(tags=[site_keys.TAG], databases=list(connections))
    assert (warning.id, f"database '{alias}'" in warning.msg) == (site_keys.NOT_COMPARED, True)
    assert site_keys.assert_ours() is True
