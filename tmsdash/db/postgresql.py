"""How long PostgreSQL and its clients wait for a peer that has frozen.

A server on a machine that is paused keeps its connections, and in a transaction its locks: of the audit's chain, all
others wait for it. PostgreSQL ends such a transaction, and with it the connection, whose owner finds out with its next
statement. A limit that the installation has set itself counts: in a DATABASE_URL, for the role, for the database or for
the server.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import Connection

ENGINE = "tmsdash.db.engine"
# Seconds that a transaction may wait for its own client. Nothing that we do between two statements takes that long; the
# transaction around a call to TMS begins with the first statement after the answer.
IDLE_IN_TRANSACTION_S = 15
READING_IDLE_S = 600  # in a transaction that only reads, and hands on what it reads to a file or a download
LOCK_S = 20  # for a lock, unless a transaction says less
STATEMENT_S = 30  # for a statement of a page
# What a session behind a pooler lacks unless its role has it.
_OF_SESSIONS = {"idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_S, "lock_timeout": LOCK_S}
# Of a server, and of its roles and databases: with one of them off it confirms what no disk holds yet.
_OF_DISKS = ("fsync", "full_page_writes", "synchronous_commit")
# Both client and server notice within 15 seconds that the other one has silently gone.
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 6, "keepalives_interval": 3, "keepalives_count": 3}
PEER_GONE_MS = 15_000

_SET_UNLESS_SET = """
SELECT set_config(name, wanted.value, false) FROM unnest(%s::text[], %s::text[]) AS wanted(name, value)
JOIN pg_settings USING (name) WHERE source = 'default' AND pg_backend_pid() = %s
"""
_IDLE_LIMIT = """
SELECT current_setting(name) FROM pg_settings
WHERE name = 'idle_in_transaction_session_timeout' AND source <> 'default'
"""
IDLE_LIMIT = "tmsdash_idle_limit"  # an attribute of a connection of psycopg: the limit in force, with its unit
_serves_pages = False


def parameters(given: dict[str, Any]) -> dict[str, Any]:
    """Return the connection parameters `given`, with ours for everything else."""
    return {"connect_timeout": 5, "tcp_user_timeout": PEER_GONE_MS} | KEEPALIVE | given


def serve_pages() -> None:
    """Limit every statement of this process: nobody waits any longer for a page that takes more time."""
    global _serves_pages
    _serves_pages = True


def too_few_connections(workers: int, aliases: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each PostgreSQL server that takes fewer connections than so many workers may open.

    Behind a pooler it is the pooler that opens them. Raises DatabaseError if a server does not answer.
    """
    servers = defaultdict(list)
    for connection in map(connections.__getitem__, aliases):
        if connection.vendor == "postgresql" and not _is_behind_pooler(connection):
            servers[connection.settings_dict["HOST"], connection.settings_dict["PORT"]].append(connection)
    for (host, port), used in servers.items():
        threads = used[0].settings_dict["OPTIONS"]["pool"]["max_size"]
        with used[0].cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('max_connections')::int, "
                "current_setting('superuser_reserved_connections')::int + "
                "coalesce(current_setting('reserved_connections', true), '0')::int"
            )
            most, reserved = cursor.fetchone()
        if most - reserved < workers * threads * len(used):
            yield (
                f"PostgreSQL on {host or 'this host'}{f', port {port},' if port else ''} takes {most - reserved} "
                f"connections (max_connections {most}, of which {reserved} are reserved), and this host may open "
                f"{workers * threads * len(used)} (WEB_WORKERS {workers} x WEB_THREADS {threads} x {len(used)} "
                "databases), as may every other one that serves the site: raise max_connections, lower WEB_WORKERS or "
                "WEB_THREADS, or put PgBouncer in between."
            )


def missing_limits(aliases: Iterable[str]) -> list[tuple[str, str]]:
    """Return the databases behind a pooler whose role lacks limits, each with the statement that gives it them.

    Raises DatabaseError if one does not answer.
    """
    missing = []
    for alias in aliases:
        connection = connections[alias]
        if connection.vendor != "postgresql" or not _is_behind_pooler(connection):
            continue
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM pg_settings WHERE name = ANY(%s) AND setting = '0'", [list(_OF_SESSIONS)])
            names = sorted(name for (name,) in cursor.fetchall())
            cursor.execute("SELECT quote_ident(current_user)")
            [role] = cursor.fetchone()
        if names:
            statements = (f"ALTER ROLE {role} SET {name} = '{_OF_SESSIONS[name]}s';" for name in names)
            missing.append((alias, " ".join(statements)))
    return missing


def forgetful(aliases: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each database whose server may forget what it has confirmed, and the parameters of its that are off.

    Raises DatabaseError if one does not answer.
    """
    for connection in map(connections.__getitem__, aliases):
        if connection.vendor != "postgresql":
            continue
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM pg_settings WHERE name = ANY(%s) AND setting = 'off'", [list(_OF_DISKS)])
            names = sorted(name for (name,) in cursor.fetchall())
        if names:
            yield connection.alias, names


def _is_behind_pooler(connection: BaseDatabaseWrapper) -> bool:
    connection.ensure_connection()
    with connection.wrap_database_errors:
        return is_pooled(connection.connection)


def limit_for_writing(connection: BaseDatabaseWrapper, wait_s: float) -> None:
    """Limit how long a transaction on PostgreSQL waits for locks, and others for it (SQLite has its busy timeout).

    Set for the transaction, so that it holds behind a PgBouncer that pools transactions, too. No SELECT: the first
    statement of a transaction that sees the database has to be its own.
    """
    if connection.vendor != "postgresql":
        return
    idle = getattr(connection.connection, IDLE_LIMIT, _ms(IDLE_IN_TRANSACTION_S))
    _set_local(connection, lock_timeout=_ms(max(0.001, wait_s)), idle_in_transaction_session_timeout=idle)


def limit_for_reading(connection: BaseDatabaseWrapper) -> None:
    """Give the current transaction, which only reads and blocks no writer, the time that a long file takes."""
    _set_local(connection, idle_in_transaction_session_timeout=_ms(READING_IDLE_S), statement_timeout="0")


def _set_local(connection: BaseDatabaseWrapper, **limits: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET LOCAL {name} = '{value}'" for name, value in limits.items()))


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))


def limit_session(session: Connection[Any]) -> None:
    """Set the limits of a new connection; nothing where a pooler would pass it on to other clients.

    Not as `options` of the connection: PgBouncer refuses these.
    """
    limits = {
        "idle_in_transaction_session_timeout": _ms(IDLE_IN_TRANSACTION_S),
        "lock_timeout": _ms(LOCK_S),
        # The server's side of the connection; there is none without TCP.
        "tcp_keepalives_idle": str(KEEPALIVE["keepalives_idle"]),
        "tcp_keepalives_interval": str(KEEPALIVE["keepalives_interval"]),
        "tcp_keepalives_count": str(KEEPALIVE["keepalives_count"]),
        "tcp_user_timeout": str(PEER_GONE_MS),
    }
    if _serves_pages:
        limits["statement_timeout"] = _ms(STATEMENT_S)
    with session.transaction():
        session.execute(_SET_UNLESS_SET, [list(limits), list(limits.values()), session.info.backend_pid])
        shown = session.execute(_IDLE_LIMIT).fetchone()
    setattr(session, IDLE_LIMIT, _ms(IDLE_IN_TRANSACTION_S) if shown is None else shown[0])


def is_pooled(session: Connection[Any]) -> bool:
    """Tell whether something between this host and PostgreSQL, such as PgBouncer, lends the session out to others.

    Such a pooler answers in PostgreSQL's name, with a number of its own for the server's process.
    """
    row = session.execute("SELECT pg_backend_pid()").fetchone()
    return row is not None and row[0] != session.info.backend_pid
