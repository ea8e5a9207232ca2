"""System checks of the settings that correctness depends on, and of production installations (`check --deploy`)."""

import os
import shlex
import sqlite3
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import Error as AnyDatabaseError
from django.urls import get_resolver

from tmsdash.db.postgresql import ENGINE, forgetful, missing_limits, too_few_connections
from tmsdash.db.sqlite_files import is_sqlite
from tmsdash.env import is_loopback
from tmsdash.server import open_files
from tmsdash.setting_names import misspelt
from tmsdash.text import one_line
from tmsdash.web.base_path import first_parts

DURABLE = ("jobs", "audit")  # databases whose committed rows must survive a power cut
WAL_RACE_FIXED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))  # SQLite releases that fix the WAL-reset race

Problems = Iterator[tuple[str, str, str]]  # each with its id, a sentence, and a hint what to do


def _check(*tags: str, deploy: bool = False) -> Callable[[Callable[[], Problems]], Callable[..., list[CheckMessage]]]:
    """Register a generator of problems as a system check: an id with an E is an error, another one a warning."""

    def registered(problems: Callable[[], Problems]) -> Callable[..., list[CheckMessage]]:
        @register(*tags, deploy=deploy)
        def check(**kwargs: Any) -> list[CheckMessage]:
            return [(Error if ".E" in name else Warning)(text, hint, id=name) for name, text, hint in problems()]

        return check

    return registered


def _sqlite_databases() -> dict[str, dict[str, Any]]:
    return {alias: d for alias, d in settings.DATABASES.items() if is_sqlite(d)}


def _is_open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o077)


def _pragmas(described: dict[str, Any]) -> dict[str, str]:
    """Return the PRAGMAs of a database's init_command, names and values in lower case."""
    command = described.get("OPTIONS", {}).get("init_command", "").lower()
    pairs = (part.strip().removeprefix("pragma ").partition("=") for part in command.split(";") if "=" in part)
    return {name.strip(): value.strip() for name, _, value in pairs}


@_check(Tags.database)
def check_sqlite() -> Problems:
    """A Job that was shown must survive a power cut, and writers must wait for each other."""
    for alias, described in _sqlite_databases().items():
        pragmas, options = _pragmas(described), described.get("OPTIONS", {})
        if pragmas.get("journal_mode") != "wal":
            text = f"Database {alias!r} is not in WAL mode, so readers and writers block each other."
            yield "tmsdash.E001", text, "Put PRAGMA journal_mode=WAL into its init_command."
        if alias in DURABLE and pragmas.get("synchronous") not in ("full", "extra"):
            text = f"Database {alias!r} loses committed rows in a power cut."
            yield "tmsdash.E002", text, "Put PRAGMA synchronous=FULL into its init_command."
        if options.get("transaction_mode") != "IMMEDIATE" or options.get("timeout", 5) < 20:
            text = f"Database {alias!r} answers 'database is locked' under parallel writers."
            hint = "Set its options transaction_mode to IMMEDIATE and timeout to 20 seconds or more."
            yield "tmsdash.E004", text, hint
        if not (-1_000_000 <= int(pragmas.get("cache_size", "0")) <= -2_000):
            text = f"Database {alias!r}: cache_size is not between 2 MB and 1 GB."
            yield "tmsdash.E005", text, "A negative cache_size counts KiB: -8000 is 8 MB."
        if pragmas.get("mmap_size", "0") != "0" or pragmas.get("foreign_keys", "on") in ("off", "0"):
            text = f"Database {alias!r} sets mmap_size or turns foreign keys off."
            hint = "Leave both as they are: mmap makes a known WAL bug worse, foreign keys guard the customers."
            yield "tmsdash.E006", text, hint
        if "journal_size_limit" not in pragmas or not described.get("CONN_MAX_AGE"):
            text = f"Database {alias!r} lets its WAL file grow without limit or reconnects on every request."
            yield "tmsdash.E007", text, "Set PRAGMA journal_size_limit in its init_command, and CONN_MAX_AGE."


@_check(Tags.database)
def check_transactions() -> Problems:
    """No transaction may hold a lock during a call."""
    for alias, described in settings.DATABASES.items():
        if described.get("ATOMIC_REQUESTS"):
            text = f"ATOMIC_REQUESTS is on for {alias!r}: a transaction would stay open over the call to TMS."
            yield "tmsdash.E003", text, "Turn it off; the service opens the transactions that it needs."


@_check(Tags.database)
def check_postgresql_pool() -> Problems:
    """A call in flight holds a slot of the jobs pool, which each worker has to itself; pages must still find one."""
    for alias, described in settings.DATABASES.items():
        if described["ENGINE"] == ENGINE and described["OPTIONS"]["pool"]["max_size"] <= settings.CALLS_PER_WORKER:
            text = (
                f"Database {alias!r}: the pool of a worker is not larger than its {settings.CALLS_PER_WORKER} calls at "
                "once (TMS_MAX_IN_FLIGHT), so these can starve pages."
            )
            yield "tmsdash.E008", text, "Raise WEB_THREADS or lower TMS_MAX_IN_FLIGHT."


@register(Tags.database)
def check_postgresql_servers(databases: Collection[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """What only the servers know, of the databases that `check --database` names."""
    aliases = databases or ()
    text = (
        "a server that freezes keeps others waiting, because behind a pooler a session has the limits of its role only."
    )
    try:
        problems: list[CheckMessage] = [
            Warning(line, hint="max_connections in postgresql.conf, or WEB_WORKERS or WEB_THREADS.", id="tmsdash.W009")
            for line in too_few_connections(settings.WEB_WORKERS, aliases)
        ]
        limits = missing_limits(aliases)
        problems += [
            Warning(
                f"PostgreSQL may forget what it has confirmed to database {alias!r}: {' and '.join(names)} "
                f"{'is' if len(names) == 1 else 'are'} off. After a power cut a Job that was shown may be gone.",
                hint="Turn them on in postgresql.conf; an ALTER ROLE or ALTER DATABASE may turn them off, too.",
                id="tmsdash.W013",
            )
            for alias, names in forgetful(alias for alias in aliases if alias in DURABLE)
        ]
    except AnyDatabaseError as error:
        return [Warning(f"A PostgreSQL server does not answer: {one_line(str(error))}", id="tmsdash.W012")]
    return problems + [
        Warning(f"Database {alias!r}: {text}", hint=f"As PostgreSQL's administrator: {statement}", id="tmsdash.W011")
        for alias, statement in limits
    ]


@_check(Tags.database)
def check_router() -> Problems:
    """Without the router all tables would end up in one database."""
    files = {described["NAME"] for described in _sqlite_databases().values()}
    are_three = {"default", *DURABLE} <= set(settings.DATABASES) and len(files) == len(_sqlite_databases())
    if settings.DATABASE_ROUTERS != ["tmsdash.router.AppRouter"] or not are_three:
        hint = (
            "Give DATABASE_URL, JOBS_DATABASE_URL and AUDIT_DATABASE_URL different databases, and keep "
            "DATABASE_ROUTERS = ['tmsdash.router.AppRouter']."
        )
        yield "tmsdash.E009", "The apps do not have three databases of their own.", hint


@_check(Tags.security, deploy=True)
def check_sqlite_version() -> Problems:
    """SQLite 3.7.0 to 3.51.2 can corrupt a WAL database in a rare race of checkpoint and commit."""
    if _sqlite_databases() and not has_wal_race_fix(sqlite3.sqlite_version_info):
        text = f"SQLite {sqlite3.sqlite_version} has a rare race that can corrupt a database in WAL mode."
        hint = (
            "Install requirements.lock anew, which brings a newer one on Linux (x86_64) and macOS (arm64). Elsewhere "
            "use a Python with SQLite 3.51.3 (3.50.7, 3.44.6) or later, or PostgreSQL; keep backups until then."
        )
        yield "tmsdash.W001", text, hint


@_check(Tags.compatibility)
def check_open_after() -> Problems:
    """A reading proves nothing about a call that may still be running."""
    if settings.TMS_OPEN_AFTER_S <= settings.TMS_DEADLINE_S:
        text = "TMS_OPEN_AFTER_S is not above TMS_DEADLINE_S: attempts would be judged while their calls are running."
        yield "tmsdash.W002", text, "Leave it out: the default is a minute more than TMS_DEADLINE_S."
    if settings.TMS_READBACK_INTERVAL_S <= settings.TMS_DEADLINE_S:
        # Ages are told by the clock that may be set; what lies between two readings is not.
        text = "TMS_READBACK_INTERVAL_S is not above TMS_DEADLINE_S: a call that is running could count as not applied "
        text += "after the clock was set ahead."
        yield "tmsdash.W008", text, "Set it to at least half a minute more than TMS_DEADLINE_S."


@_check(Tags.security, deploy=True)
def check_var_dir() -> Problems:
    """Session keys, password hashes and the whole record are in VAR_DIR, unless the databases are elsewhere."""
    folder = Path(settings.VAR_DIR)
    if folder.is_dir() and _is_open_to_others(folder):
        text = f"Other users of this machine can look into {folder}."
        yield "tmsdash.W003", text, f"Give access to its owner only: {shlex.join(['chmod', '700', str(folder)])}"


@_check(Tags.security, deploy=True)
def check_audit_key() -> Problems:
    """A key kept next to the database is copied, stolen and lost together with it."""
    if settings.AUDIT_KEY_IS_GENERATED:
        text = f"The key of the audit's chain is the generated one in {settings.VAR_DIR}, next to what it protects."
        hint = "Set AUDIT_KEY, preferably from a secret store, and AUDIT_OLD_KEYS to the content of audit_key."
        yield "tmsdash.W004", text, hint


@_check(Tags.security, deploy=True)
def check_seal_dir() -> Problems:
    """Putting the database's folder back to yesterday's state must not put back the seals, too."""
    described = settings.DATABASES["audit"]
    folder = Path(described["NAME"]).resolve().parent
    if is_sqlite(described) and Path(settings.AUDIT_SEAL_DIR).is_relative_to(folder):
        text = f"AUDIT_SEAL_DIR lies in {folder}, the folder of the audit's database."
        yield "tmsdash.W005", text, "Choose a folder elsewhere, preferably on another machine."


@_check(Tags.security)
def check_file_modes() -> Problems:
    """Files of an older release or copied ones may be open to others; new ones are open to their owner only."""
    keys = [Path(settings.VAR_DIR) / name for name in ("secret_key", "token_key", "audit_key", "audit_signing_key")]
    names = [f"{file}{end}" for file in settings.DATABASE_FILES for end in ("", "-wal", "-shm")]
    files = [file for file in (*keys, *map(Path, names)) if file.is_file() and _is_open_to_others(file)]
    if files:
        text = f"Other users of this machine may read {', '.join(file.name for file in files)}."
        hint = f"Give access to their owner only: {shlex.join(['chmod', '600', *map(str, files)])}"
        yield "tmsdash.W006", text, hint


@_check(Tags.compatibility)
def check_names_of_settings() -> Problems:
    """A misspelt setting leaves an unintended default in force."""
    hint = "Correct it, or remove it from the environment or file. docs/settings.md lists all settings."
    yield from (("tmsdash.W007", text, hint) for text in misspelt())


@_check(Tags.compatibility)
def check_open_files() -> Problems:
    """Each connection is an open file: if there are too few, a stranger's idle connections keep everybody out."""
    connections = open_files.connections_at_once(settings.WEB_THREADS)
    if connections < open_files.FEWEST_CONNECTIONS:
        text = f"The system's limit of open files leaves the server {connections} connections at once."
        hint = (
            f"Raise the hard limit to {open_files.wanted(settings.WEB_THREADS)} (`ulimit -Hn`, systemd's "
            "LimitNOFILE, Docker's --ulimit nofile), or lower WEB_THREADS."
        )
        yield "tmsdash.W020", text, hint


@_check(Tags.security)
def check_cookies() -> Problems:
    """Over HTTPS no other host of the domain and no plain connection may set or see the site's cookies."""
    names = {"SESSION_COOKIE": settings.SESSION_COOKIE_NAME, "CSRF_COOKIE": settings.CSRF_COOKIE_NAME}
    for cookie, name in names.items():
        path, domain, secure, same_site = (
            getattr(settings, f"{cookie}_{part}") for part in ("PATH", "DOMAIN", "SECURE", "SAMESITE")
        )
        is_host_only = name.startswith("__Host-") and (path, domain, secure) == ("/", None, True)
        if (settings.HTTPS_ONLY and not is_host_only) or same_site not in ("Lax", "Strict"):
            text = f"The cookie {name!r} can be set or seen by other hosts or without HTTPS."
            hint = f"Leave {cookie}_NAME, _PATH, _DOMAIN, _SECURE and _SAMESITE as settings.py has them."
            yield "tmsdash.E030", text, hint


@_check(Tags.urls)
def check_base_path() -> Problems:
    """Whether a proxy passes BASE_PATH on or takes it away is seen by how a path begins, so no page may begin so."""
    first = settings.BASE_PATH.split("/")[1] if settings.BASE_PATH else ""
    if first and first in {"static", *first_parts(get_resolver())}:
        text = f"BASE_PATH begins with /{first}, and so do addresses within the site."
        yield "tmsdash.E031", text, "Choose another path, such as /tms, and let the proxy pass that one on."


@_check(Tags.security, deploy=True)
def check_env_file() -> Problems:
    """It may hold keys and database passwords."""
    file = settings.ENV_PATH
    if file is not None and _is_open_to_others(file):
        text = f"Other users of this machine can read {file}."
        yield "tmsdash.W040", text, f"Give access to its owner only: {shlex.join(['chmod', '600', str(file)])}"


@_check(Tags.security, deploy=True)
def check_postgresql_tls() -> Problems:
    """If the server's certificate is not checked, anybody on the way can read and change what crosses the network."""
    usual = os.environ.get("PGSSLMODE", "prefer")  # as libpq has it
    for alias, described in settings.DATABASES.items():
        host = described.get("HOST") or ""
        is_remote = host != "" and not host.startswith("/") and not is_loopback(host)  # else a socket, or loopback
        mode = described.get("OPTIONS", {}).get("sslmode", usual)
        if described["ENGINE"] == ENGINE and is_remote and mode != "verify-full":
            text = f"Database {alias!r}: the connection to {host} does not check the server (sslmode is {mode})."
            hint = (
                "Append ?sslmode=verify-full&sslrootcert=FILE to its URL, FILE holding the authorities to "
                "trust: your own, or the system's, on Debian /etc/ssl/certs/ca-certificates.crt."
            )
            yield "tmsdash.W041", text, hint


@_check(Tags.security, deploy=True)
def check_installation() -> Problems:
    """A clone contains the whole history, tests and a simulated TMS, none of which a site needs."""
    if (settings.BASE_DIR / ".git").exists():
        text = f"{settings.BASE_DIR} is a clone: .git is next to manage.py."
        yield "tmsdash.W042", text, "Install it from here, as docs/install.md shows: make install."


def has_wal_race_fix(version: tuple[int, int, int]) -> bool:
    """Tell whether this SQLite release holds the fix: 3.51.3 and later, or a later patch of a fixed branch."""
    is_patched = any(version[:2] == fixed[:2] and version >= fixed for fixed in WAL_RACE_FIXED)
    return version >= WAL_RACE_FIXED[-1] or is_patched
