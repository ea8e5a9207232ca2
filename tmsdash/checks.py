"""System checks for the settings that correctness depends on; each has a hint that `manage.py check` shows."""

import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from tmsdash.server import open_files
from tmsdash.setting_names import misspelt

DURABLE = ("jobs", "audit")  # databases whose committed rows must survive a power cut
WAL_RACE_FIXED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))  # SQLite releases that fix the WAL-reset race


def _sqlite_databases() -> dict[str, dict[str, Any]]:
    return {alias: d for alias, d in settings.DATABASES.items() if d["ENGINE"] == "django.db.backends.sqlite3"}


def _pragmas(described: dict[str, Any]) -> dict[str, str]:
    """Return the PRAGMAs of a database's init_command, names and values in lower case."""
    command = described.get("OPTIONS", {}).get("init_command", "").lower()
    pairs = (part.strip().removeprefix("pragma ").partition("=") for part in command.split(";") if "=" in part)
    return {name.strip(): value.strip() for name, _, value in pairs}


@register(Tags.database)
def check_sqlite_durability(**kwargs: Any) -> Iterator[CheckMessage]:
    """A Job that was shown must survive a power cut."""
    for alias, described in _sqlite_databases().items():
        pragmas = _pragmas(described)
        if pragmas.get("journal_mode") != "wal":
            yield Error(
                f"Database {alias!r} is not in WAL mode, so readers and writers block each other.",
                hint="Put PRAGMA journal_mode=WAL into its init_command.",
                id="tmsdash.E001",
            )
        if alias in DURABLE and pragmas.get("synchronous") not in ("full", "extra"):
            yield Error(
                f"Database {alias!r} loses committed rows in a power cut.",
                hint="Put PRAGMA synchronous=FULL into its init_command.",
                id="tmsdash.E002",
            )


@register(Tags.database)
def check_transactions(**kwargs: Any) -> Iterator[CheckMessage]:
    """No transaction may hold a lock during a call; everywhere else it must take its lock at the beginning."""
    for alias, described in settings.DATABASES.items():
        if described.get("ATOMIC_REQUESTS"):
            yield Error(
                f"ATOMIC_REQUESTS is on for {alias!r}: a transaction would stay open over the call to TMS.",
                hint="Turn it off; the service opens the transactions that it needs.",
                id="tmsdash.E003",
            )
    for alias, described in _sqlite_databases().items():
        options = described.get("OPTIONS", {})
        if options.get("transaction_mode") != "IMMEDIATE" or options.get("timeout", 5) < 20:
            yield Error(
                f"Database {alias!r} answers 'database is locked' under parallel writers.",
                hint="Set its options transaction_mode to IMMEDIATE and timeout to 20 seconds or more.",
                id="tmsdash.E004",
            )


@register(Tags.database)
def check_sqlite_tuning(**kwargs: Any) -> Iterator[CheckMessage]:
    """Units that look right but are not, and settings that add nothing but risk."""
    for alias, described in _sqlite_databases().items():
        pragmas = _pragmas(described)
        if not (-1_000_000 <= int(pragmas.get("cache_size", "0")) <= -2_000):
            yield Error(
                f"Database {alias!r}: cache_size is not between 2 MB and 1 GB.",
                hint="A negative cache_size counts KiB: -8000 is 8 MB.",
                id="tmsdash.E005",
            )
        if pragmas.get("mmap_size", "0") != "0" or pragmas.get("foreign_keys", "on") in ("off", "0"):
            yield Error(
                f"Database {alias!r} sets mmap_size or turns foreign keys off.",
                hint="Leave both as they are: mmap makes a known WAL bug worse, foreign keys guard the customers.",
                id="tmsdash.E006",
            )
        if "journal_size_limit" not in pragmas or not described.get("CONN_MAX_AGE"):
            yield Error(
                f"Database {alias!r} lets its WAL file grow without limit or reconnects on every request.",
                hint="Set PRAGMA journal_size_limit in its init_command, and CONN_MAX_AGE.",
                id="tmsdash.E007",
            )


@register(Tags.database)
def check_postgresql_pool(**kwargs: Any) -> Iterator[CheckMessage]:
    """A call in flight holds a slot of the jobs pool; pages must still find one."""
    for alias, described in settings.DATABASES.items():
        if described["ENGINE"] != "django.db.backends.postgresql":
            continue
        pool = described.get("OPTIONS", {}).get("pool") or {}
        if isinstance(pool, dict) and pool and pool.get("max_size", 4) <= settings.TMS_MAX_IN_FLIGHT:
            yield Error(
                f"Database {alias!r}: the pool is not larger than TMS_MAX_IN_FLIGHT, so calls can starve pages.",
                hint="Raise WEB_THREADS or lower TMS_MAX_IN_FLIGHT.",
                id="tmsdash.E008",
            )


@register(Tags.database)
def check_router(**kwargs: Any) -> Iterator[CheckMessage]:
    """Without the router all tables would end up in one database."""
    files = {described["NAME"] for described in _sqlite_databases().values()}
    are_three = {"default", *DURABLE} <= set(settings.DATABASES) and len(files) == len(_sqlite_databases())
    if settings.DATABASE_ROUTERS == ["tmsdash.router.AppRouter"] and are_three:
        return
    yield Error(
        "The apps do not have three databases of their own.",
        hint="Give DATABASE_URL, JOBS_DATABASE_URL and AUDIT_DATABASE_URL different databases, and keep "
        "DATABASE_ROUTERS = ['tmsdash.router.AppRouter'].",
        id="tmsdash.E009",
    )


@register(Tags.security, deploy=True)
def check_sqlite_version(**kwargs: Any) -> Iterator[CheckMessage]:
    """SQLite 3.7.0 to 3.51.2 can corrupt a WAL database in a rare race of checkpoint and commit."""
    if not _sqlite_databases() or has_wal_race_fix(sqlite3.sqlite_version_info):
        return
    yield Warning(
        f"SQLite {sqlite3.sqlite_version} has a rare race that can corrupt a database in WAL mode.",
        hint="Use SQLite 3.51.3 (or 3.50.7, 3.44.6) or later, or PostgreSQL; keep backups until then.",
        id="tmsdash.W001",
    )


@register(Tags.security, deploy=True)
def check_var_dir(**kwargs: Any) -> Iterator[CheckMessage]:
    """Session keys, password hashes and the whole record are in VAR_DIR, unless the databases are elsewhere."""
    folder = Path(settings.VAR_DIR)
    if not folder.is_dir() or not folder.stat().st_mode & 0o077:
        return
    yield Warning(
        f"Other users of this machine can look into {folder}.",
        hint="Give access to its owner only: chmod 700.",
        id="tmsdash.W003",
    )


@register(Tags.security)
def check_file_modes(**kwargs: Any) -> Iterator[CheckMessage]:
    """Files of an older release or copied ones may be open to others; new ones are open to their owner only."""
    keys = [Path(settings.VAR_DIR) / name for name in ("secret_key", "token_key", "audit_key")]
    names = [f"{file}{end}" for file in settings.DATABASE_FILES for end in ("", "-wal", "-shm")]
    files = [file for file in (*keys, *map(Path, names)) if file.is_file() and file.stat().st_mode & 0o077]
    if not files:
        return
    yield Warning(
        f"Other users of this machine may read {', '.join(file.name for file in files)}.",
        hint=f"Give access to their owner only: {shlex.join(['chmod', '600', *map(str, files)])}",
        id="tmsdash.W006",
    )


@register(Tags.compatibility)
def check_names_of_settings(**kwargs: Any) -> Iterator[CheckMessage]:
    """A misspelt setting leaves an unintended default in force."""
    hint = "Correct it, or remove it from the environment or file. docs/settings.md lists all settings."
    yield from (Warning(sentence, hint=hint, id="tmsdash.W007") for sentence in misspelt())


@register(Tags.security, deploy=True)
def check_audit_key(**kwargs: Any) -> Iterator[CheckMessage]:
    """A key kept next to the database is copied, stolen and lost together with it."""
    if not settings.AUDIT_KEY_IS_GENERATED:
        return
    yield Warning(
        f"The key of the audit's chain is the generated one in {settings.VAR_DIR}, next to what it protects.",
        hint="Set AUDIT_KEY, preferably from a secret store, and AUDIT_OLD_KEYS to the content of audit_key.",
        id="tmsdash.W004",
    )


@register(Tags.security, deploy=True)
def check_seal_dir(**kwargs: Any) -> Iterator[CheckMessage]:
    """Putting the database's folder back to yesterday's state must not put back the seals, too."""
    described = settings.DATABASES["audit"]
    folder = Path(described["NAME"]).resolve().parent
    if described["ENGINE"] != "django.db.backends.sqlite3" or not Path(settings.AUDIT_SEAL_DIR).is_relative_to(folder):
        return
    yield Warning(
        f"AUDIT_SEAL_DIR lies in {folder}, the folder of the audit's database.",
        hint="Choose a folder elsewhere, preferably on another machine.",
        id="tmsdash.W005",
    )


@register(Tags.security)
def check_cookies(**kwargs: Any) -> Iterator[CheckMessage]:
    """Over HTTPS no other host of the domain and no plain connection may set or see the site's cookies."""
    names = {"SESSION_COOKIE": settings.SESSION_COOKIE_NAME, "CSRF_COOKIE": settings.CSRF_COOKIE_NAME}
    for cookie, name in names.items():
        path, domain, secure, same_site = (
            getattr(settings, f"{cookie}_{part}") for part in ("PATH", "DOMAIN", "SECURE", "SAMESITE")
        )
        is_host_only = name.startswith("__Host-") and (path, domain, secure) == ("/", None, True)
        if (settings.HTTPS_ONLY and not is_host_only) or same_site not in ("Lax", "Strict"):
            yield Error(
                f"The cookie {name!r} can be set or seen by other hosts or without HTTPS.",
                hint=f"Leave {cookie}_NAME, _PATH, _DOMAIN, _SECURE and _SAMESITE as settings.py has them.",
                id="tmsdash.E030",
            )


@register(Tags.compatibility)
def check_open_after(**kwargs: Any) -> Iterator[CheckMessage]:
    """A reading proves nothing about a call that may still be running."""
    if settings.TMS_OPEN_AFTER_S > settings.TMS_DEADLINE_S:
        return
    yield Warning(
        "TMS_OPEN_AFTER_S is not above TMS_DEADLINE_S: attempts would be judged while their calls are running.",
        hint="Leave it out: the default is a minute more than TMS_DEADLINE_S.",
        id="tmsdash.W002",
    )


@register(Tags.compatibility)
def check_open_files(**kwargs: Any) -> Iterator[CheckMessage]:
    """Each connection is an open file: if there are too few, a stranger's idle connections keep everybody out."""
    connections = open_files.connections_at_once(settings.WEB_THREADS)
    if connections >= open_files.FEWEST_CONNECTIONS:
        return
    yield Warning(
        f"The system's limit of open files leaves the server {connections} connections at once.",
        hint=f"Raise the hard limit to {open_files.wanted(settings.WEB_THREADS)} (`ulimit -Hn`, systemd's "
        "LimitNOFILE, Docker's --ulimit nofile), or lower WEB_THREADS.",
        id="tmsdash.W020",
    )


def has_wal_race_fix(version: tuple[int, int, int]) -> bool:
    """Tell whether this SQLite release holds the fix: 3.51.3 and later, or a later patch of a fixed branch."""
    return version >= WAL_RACE_FIXED[-1] or any(
        version[:2] == fixed[:2] and version >= fixed for fixed in WAL_RACE_FIXED
    )
