"""The system checks find settings that would lose rows or lock the site up, and nothing in the product's own."""

import re
import sqlite3
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from django.core.checks import Tags, registry, run_checks

from tmsdash import checks
from tmsdash.checks import has_wal_race_fix
from tmsdash.db import transactions
from tmsdash.db.postgresql import ENGINE
from tmsdash.tests.tools import run_python

OURS = (
    checks.check_sqlite,
    checks.check_transactions,
    checks.check_postgresql_pool,
    checks.check_router,
)
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/srv/a.db"}
POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "NAME": "a"}
ALIASES = {"default": "NORMAL", "jobs": "FULL", "audit": "FULL"}


def product(described, web_threads=64):
    """The DATABASES that the product's settings make of three databases of one kind."""
    return {
        alias: transactions.tuned(described | {"NAME": f"/srv/{alias}.db"}, web_threads, level)
        for alias, level in ALIASES.items()
    }


@pytest.fixture
def found(monkeypatch):
    """What our checks say of settings: pairs of id and the database that the message names."""

    def run(changed, routers=("tmsdash.router.AppRouter",), in_flight=56, ours=OURS):
        # Django warns of overriding DATABASES, so the checks get settings of their own.
        values = SimpleNamespace(DATABASES=changed, DATABASE_ROUTERS=list(routers), CALLS_PER_WORKER=in_flight)
        monkeypatch.setattr(checks, "settings", values)
        messages = [message for check in ours for message in check()]
        assert all(message.hint for message in messages)  # each with the next step
        return [(message.id, "".join(re.findall("'([a-z]+)'", message.msg))) for message in messages]

    return run


@pytest.mark.parametrize("described", [SQLITE, POSTGRESQL])
@pytest.mark.parametrize("web_threads", [64, 512])
def test_the_products_own_settings_have_no_issue(found, described, web_threads):
    assert found(product(described, web_threads)) == []


def test_the_settings_that_run_here_have_no_issue(databases, settings):
    settings.WEB_WORKERS = 1  # the tests' server is small
    forgetful = {"tmsdash.W013"}  # which it is as well, unless DURABLE is set, see .ci/with-postgres
    assert {message.id for message in run_checks(databases=list(ALIASES))} <= forgetful


def with_pragmas(old, new):
    """Change the init_command of one database."""

    def change(described):
        command = described["OPTIONS"]["init_command"]
        assert old in command
        described["OPTIONS"]["init_command"] = command.replace(old, new)

    return change


def with_option(name, value):
    def change(described):
        described["OPTIONS"][name] = value

    return change


def without_option(name):
    def change(described):
        del described["OPTIONS"][name]

    return change


def with_key(name, value):
    def change(described):
        described[name] = value

    return change


@pytest.mark.parametrize(
    ("alias", "change", "identity"),
    [
        ("jobs", with_pragmas("journal_mode=WAL", "journal_mode=DELETE"), "tmsdash.E001"),
        ("default", with_pragmas("PRAGMA journal_mode=WAL;", ""), "tmsdash.E001"),
        ("audit", with_pragmas("journal_mode=WAL", "journal_mode = OFF"), "tmsdash.E001"),
        ("jobs", with_pragmas("synchronous=FULL", "synchronous=NORMAL"), "tmsdash.E002"),
        ("audit", with_pragmas("synchronous=FULL", "synchronous=OFF"), "tmsdash.E002"),
        ("audit", with_pragmas("PRAGMA synchronous=FULL;", ""), "tmsdash.E002"),
        ("default", with_key("ATOMIC_REQUESTS", True), "tmsdash.E003"),
        ("jobs", with_key("ATOMIC_REQUESTS", True), "tmsdash.E003"),
        ("jobs", with_option("transaction_mode", "DEFERRED"), "tmsdash.E004"),
        ("audit", with_option("transaction_mode", None), "tmsdash.E004"),
        ("default", without_option("transaction_mode"), "tmsdash.E004"),
        ("default", with_option("timeout", 19), "tmsdash.E004"),
        ("default", without_option("timeout"), "tmsdash.E004"),
        ("default", with_pragmas("cache_size=-8000", "cache_size=-20000000"), "tmsdash.E005"),
        ("default", with_pragmas("cache_size=-8000", "cache_size=20000"), "tmsdash.E005"),
        ("jobs", with_pragmas("cache_size=-8000", "cache_size=-20"), "tmsdash.E005"),
        ("audit", with_pragmas("PRAGMA cache_size=-8000;", ""), "tmsdash.E005"),
        ("audit", with_pragmas("temp_store=MEMORY", "mmap_size=268435456"), "tmsdash.E006"),
        ("jobs", with_pragmas("temp_store=MEMORY", "foreign_keys=OFF"), "tmsdash.E006"),
        ("jobs", with_pragmas("temp_store=MEMORY", "foreign_keys = 0"), "tmsdash.E006"),
        ("jobs", with_pragmas("journal_size_limit", "wal_autocheckpoint"), "tmsdash.E007"),
        ("default", with_key("CONN_MAX_AGE", 0), "tmsdash.E007"),
    ],
)
def test_a_dangerous_setting_of_sqlite_is_an_error_that_names_the_database(found, alias, change, identity):
    changed = product(SQLITE)
    change(changed[alias])
    assert found(changed) == [(identity, alias)]


def test_normal_synchronous_is_enough_for_users_and_sessions(found):
    assert "synchronous=NORMAL" in product(SQLITE)["default"]["OPTIONS"]["init_command"]
    assert found(product(SQLITE)) == []


@pytest.mark.parametrize(
    ("max_size", "in_flight", "is_error"),
    [(64, 63, False), (64, 64, True), (8, 56, True)],
)
def test_a_pool_without_room_for_pages_is_an_error(found, max_size, in_flight, is_error):
    changed = product(SQLITE) | {"jobs": product(POSTGRESQL)["jobs"]}
    changed["jobs"]["OPTIONS"]["pool"] = {"max_size": max_size}
    assert found(changed, in_flight=in_flight) == ([("tmsdash.E008", "jobs")] if is_error else [])


@pytest.mark.parametrize("routers", [[], ["tmsdash.router.AppRouter", "other.Router"], ["other.Router"]])
def test_databases_that_are_not_routed_by_app_are_an_error(found, routers):
    assert found(product(SQLITE), routers=routers) == [("tmsdash.E009", "")]


@pytest.mark.parametrize("alias", ["jobs", "audit"])
def test_a_missing_database_is_an_error(found, alias):
    changed = product(SQLITE)
    del changed[alias]
    assert found(changed) == [("tmsdash.E009", "")]


def test_one_file_for_two_databases_is_an_error(found):
    changed = product(SQLITE)
    changed["audit"]["NAME"] = changed["jobs"]["NAME"]
    assert found(changed) == [("tmsdash.E009", "")]


def test_every_check_runs_with_manage_py_check():
    registered = registry.registry.registered_checks
    assert set(OURS) <= registered
    assert all(Tags.database in check.tags for check in OURS)
    assert checks.check_cookies in registered
    assert checks.check_sqlite_version in registry.registry.deployment_checks


# -- Cookies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cookie", ["SESSION_COOKIE", "CSRF_COOKIE"])
@pytest.mark.parametrize(
    ("part", "value"),
    [("NAME", "mine"), ("PATH", "/jobs/"), ("DOMAIN", "example"), ("SECURE", False), ("SAMESITE", "None")],
)
def test_a_cookie_that_other_hosts_can_set_or_see_is_an_error(settings, cookie, part, value):
    settings.HTTPS_ONLY = True
    settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    assert list(checks.check_cookies()) == []
    setattr(settings, f"{cookie}_{part}", value)
    assert [message.id for message in checks.check_cookies()] == ["tmsdash.E030"]


def test_without_https_cookies_have_plain_names_and_same_site_all_the_same(settings):
    assert list(checks.check_cookies()) == []
    settings.CSRF_COOKIE_SAMESITE = None
    assert [message.id for message in checks.check_cookies()] == ["tmsdash.E030"]


# -- The WAL-reset race -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "fixed"),
    [
        ((3, 7, 0), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 44, 7), True),
        ((3, 45, 0), False),
        ((3, 45, 9), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_the_releases_with_the_fix_are_known(version, fixed):
    assert has_wal_race_fix(version) is fixed


@pytest.mark.parametrize(
    ("version", "described", "warned"),
    [((3, 51, 2), SQLITE, True), ((3, 51, 3), SQLITE, False), ((3, 51, 2), POSTGRESQL, False)],
)
def test_deploy_warns_of_an_sqlite_without_the_fix_if_it_is_used(found, monkeypatch, version, described, warned):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    expected = [("tmsdash.W001", "")] if warned else []
    assert found(product(described), ours=[checks.check_sqlite_version]) == expected


@pytest.mark.parametrize(
    ("deadline_s", "expected"), [(30, []), (60, ["tmsdash.W008"]), (90, ["tmsdash.W002", "tmsdash.W008"])]
)
def test_attempts_are_judged_only_when_their_calls_are_over_whatever_the_clock_does(settings, deadline_s, expected):
    settings.TMS_OPEN_AFTER_S, settings.TMS_READBACK_INTERVAL_S = 90, 60
    settings.TMS_DEADLINE_S = deadline_s
    assert [message.id for message in checks.check_open_after()] == expected


@pytest.mark.parametrize(("mode", "expected"), [(0o700, []), (0o750, ["tmsdash.W003"]), (0o701, ["tmsdash.W003"])])
def test_deploy_warns_of_a_folder_that_others_can_look_into(settings, tmp_path, mode, expected):
    tmp_path.chmod(mode)
    settings.VAR_DIR = tmp_path
    assert [message.id for message in checks.check_var_dir()] == expected
    assert checks.check_var_dir in registry.registry.deployment_checks


def test_the_folder_is_made_for_its_owner_only(tmp_path):
    folder = tmp_path / "var"
    assert run_python("manage.py", "migrate_all", "-v0", var_dir=folder).returncode == 0
    assert folder.stat().st_mode & 0o777 == 0o700


def test_deploy_warns_of_a_generated_key_of_the_audit(settings):
    settings.AUDIT_KEY_IS_GENERATED = True
    assert [message.id for message in checks.check_audit_key()] == ["tmsdash.W004"]
    settings.AUDIT_KEY_IS_GENERATED = False
    assert list(checks.check_audit_key()) == []
    assert checks.check_audit_key in registry.registry.deployment_checks


@pytest.mark.parametrize(("folder", "expected"), [("db", ["tmsdash.W005"]), ("db/x", ["tmsdash.W005"]), ("dbx", [])])
def test_deploy_warns_of_seals_beside_the_database(settings, tmp_path, folder, expected):
    settings.AUDIT_SEAL_DIR = tmp_path / folder
    described = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db" / "audit.db")}
    with patch.dict(settings.DATABASES, audit=settings.DATABASES["audit"] | described):
        assert [message.id for message in checks.check_seal_dir()] == expected
    assert checks.check_seal_dir in registry.registry.deployment_checks


@pytest.mark.parametrize(("mode", "expected"), [(0o600, []), (0o640, ["tmsdash.W040"]), (0o604, ["tmsdash.W040"])])
def test_deploy_warns_of_a_file_of_settings_that_others_can_read(settings, tmp_path, mode, expected):
    file = tmp_path / "env"
    file.touch()
    file.chmod(mode)
    settings.ENV_PATH = file
    assert [message.id for message in checks.check_env_file()] == expected
    settings.ENV_PATH = None
    assert list(checks.check_env_file()) == []
    assert checks.check_env_file in registry.registry.deployment_checks


def test_the_file_of_settings_is_the_one_that_was_read(tmp_path):
    file = tmp_path / "env"
    file.write_text("TMS_DEADLINE_S=7\n")
    file.chmod(0o644)
    ended = run_python("manage.py", "check", "--deploy", var_dir=tmp_path / "var", ENV_FILE=str(file))
    assert f"(tmsdash.W040) Other users of this machine can read {file}." in ended.stderr


LOCAL, REMOTE = ("", "/run/postgresql", "localhost", "127.0.0.1", "127.8.8.8", "::1"), ("db.example", "10.0.0.5", "::2")


@pytest.mark.parametrize(
    ("host", "options", "mode"),
    [
        *((host, {}, None) for host in LOCAL),
        *((host, {}, "prefer") for host in REMOTE),
        *(("db.example", {"sslmode": mode}, mode) for mode in ("disable", "allow", "prefer", "require", "verify-ca")),
        ("db.example", {"sslmode": "verify-full"}, None),
    ],
)
def test_deploy_warns_of_each_database_across_a_network_whose_server_is_not_checked(
    settings, monkeypatch, host, options, mode
):
    monkeypatch.delenv("PGSSLMODE", raising=False)
    described = {"ENGINE": ENGINE, "HOST": host, "OPTIONS": options}
    with patch.dict(settings.DATABASES, dict.fromkeys(ALIASES, described)):
        found = list(checks.check_postgresql_tls())
        monkeypatch.setenv("PGSSLMODE", "verify-full")
        assert len(list(checks.check_postgresql_tls())) == (3 if "sslmode" in options and mode else 0)
    assert [message.id for message in found] == ["tmsdash.W041"] * (3 if mode else 0)
    for message, alias in zip(found, ALIASES, strict=False):
        assert message.msg.startswith(f"Database {alias!r}: ")
        assert f"(sslmode is {mode})" in message.msg
        assert "?sslmode=verify-full&sslrootcert=FILE" in message.hint
    assert checks.check_postgresql_tls in registry.registry.deployment_checks


def test_deploy_warns_of_a_clone(settings, tmp_path):
    settings.BASE_DIR = tmp_path
    assert list(checks.check_installation()) == []
    (tmp_path / ".git").touch()  # a file in a work tree of its own
    assert [message.id for message in checks.check_installation()] == ["tmsdash.W042"]
    assert checks.check_installation in registry.registry.deployment_checks
