"""PostgreSQL: dumps of exported snapshots, made and loaded by its own programs."""

import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from setactions.operations.backups.engine import BackupError, Contents, Database, Kept, Snapshot, Source, Step
from tmsdash.db.postgresql import IDLE_IN_TRANSACTION_S, is_pooled
from tmsdash.db.transactions import own_session

PROGRAMS = ("pg_dump", "pg_restore", "psql")
DEBIAN = Path("/usr/lib/postgresql")
_KEPT = frozenset({"HOME", "LANG", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER"})
# Of a connection, beyond those that Django hands over; their variables are named alike, such as PGREQUIREAUTH.
TLS_OPTIONS = (
    *("sslcrl", "sslcrldir", "sslcertmode", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version"),
    *("channel_binding", "gssencmode", "require_auth"),
)
POLL_S = 0.1
SESSION_END_TRIES = 20
ENTRIES = "audit_auditentry"
LOCK_WAIT_MS = 20_000  # for reading: only a change of the tables themselves is in its way
CHUNK_BYTES = 1 << 16
# Tables that the dump does not know must go, too, or a later migration would create them twice; extensions stay.
DROP_ALL = """
SET client_min_messages = warning;
DO $$
DECLARE item record;
BEGIN
  FOR item IN SELECT c.oid::regclass AS name FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
  LOOP EXECUTE 'DROP TABLE ' || item.name || ' CASCADE'; END LOOP;
  FOR item IN SELECT p.oid::regprocedure AS name FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
  LOOP EXECUTE 'DROP ROUTINE ' || item.name || ' CASCADE'; END LOOP;
END $$;
"""
# Other clients' sessions; the kind of a session is hidden from users who may not see all of them.
OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
AND usesysid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
"""


class PostgresqlSource(Source):
    """A session of its own."""

    tables_query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"


class PostgresqlSnapshot(PostgresqlSource, Snapshot):
    """A transaction that keeps seeing the database as it was when it began, and lets pg_dump see the same."""

    def __init__(self, database: "PostgresqlDatabase") -> None:
        super().__init__(database.connect())
        self._database = database
        self._name = ""

    def begin(self) -> None:
        """Begin the transaction and export its snapshot."""
        self.session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self.session.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
        self.session.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # it idles while pg_dump runs
        [self._name] = self.session.execute("SELECT pg_export_snapshot()").fetchone()

    def copy_to(self, file: Path, contents: Contents, on_step: Step) -> None:
        """Dump the snapshot and read the dump back; it names its tables but does not count their rows."""
        self._database.dump(file, on_step, f"--snapshot={self._name}")
        self._database.verify(file)
        listed = set(re.findall(r" TABLE DATA \S+ (\S+) ", _run(["pg_restore", "--list", str(file)])))
        missing = sorted(contents.rows.keys() - listed)
        if missing:
            raise BackupError(f"The copy of the database {self._database.alias} lacks {', '.join(missing)}.")


class PostgresqlDatabase(Database):
    """A database on a PostgreSQL server."""

    engine = "postgresql"
    suffix = ".dump"
    source = PostgresqlSource

    def connect(self) -> Any:
        """Return a session of the server itself: pg_dump would leave its settings to others who share a pooler's."""
        session = own_session(self.connection)
        with self.connection.wrap_database_errors:
            if not is_pooled(session):
                return session
        session.close()
        raise BackupError(
            f"{self.variable} leads to a connection pooler such as PgBouncer, which would lend this command's session "
            "to others. Run it with the address of PostgreSQL itself. Nothing was done."
        )

    def size(self) -> int:
        with self.present() as source:  # a dump is smaller
            return int(next(source.ask("SELECT pg_database_size(current_database())"))[0])

    @contextmanager
    def snapshot(self) -> Iterator[PostgresqlSnapshot]:
        _program("pg_dump")
        with self.connection.wrap_database_errors, closing(PostgresqlSnapshot(self)) as snapshot:
            yield snapshot

    @contextmanager
    def writes_held(self, wait_s: float) -> Iterator[None]:
        """Lock all tables so that others can only read."""
        with self.present() as source:
            # In the order in which writers of the audit lock them, so that nobody waits for each other.
            ordered = sorted(source.tables(), key=lambda table: table != ENTRIES)
            tables = ", ".join(f'"{table}"' for table in ordered)
            source.session.execute("BEGIN")
            source.session.execute(f"SET LOCAL lock_timeout = {int(wait_s * 1000)}")
            # If this process freezes now, nobody's writes may wait for it.
            source.session.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s'")
            if tables:
                source.session.execute(f"LOCK TABLE {tables} IN SHARE MODE")
            yield
            source.session.execute("COMMIT")  # fails if the locks were lost meanwhile

    def verify(self, file: Path) -> None:
        try:  # to its end
            _run(["pg_restore", f"--file={os.devnull}", str(file)])
        except BackupError as error:
            raise BackupError(f"{file.name} is damaged. {error}") from None

    @contextmanager
    def kept_out(self) -> Iterator[None]:
        """Refuse if anybody else is connected. Nobody may connect later, either, but only loading keeps them out."""
        for name in PROGRAMS:
            _program(name)
        self.connection.close_pool()  # type: ignore[attr-defined]
        self.assert_unused()
        yield

    def assert_unused(self, session: Any = None) -> None:
        """Raise BackupError if anybody else is connected, besides a session of ours."""
        count = self._count_sessions(session)
        if count:
            raise BackupError(
                f"{self.variable}: {count} other sessions use the database {self._name}. Stop the site and "
                "everything else that is connected to it, then run this again. Nothing was changed."
            )

    def _count_sessions(self, session: Any = None) -> int:
        """Return how many other sessions remain; the server takes a moment to notice that one has ended."""
        with nullcontext(PostgresqlSource(session)) if session else self.present() as source:
            for _ in range(SESSION_END_TRIES):
                list(source.ask("SELECT pg_stat_clear_snapshot()"))  # a transaction would not see that one has ended
                [count] = next(source.ask(OTHERS))
                if not count:
                    break
                time.sleep(POLL_S)  # there is no event for the end of another session
        return int(count)

    @contextmanager
    def replaced(self, file: Path, keep_in: Path, moment: str) -> Iterator[Kept]:
        """Replace everything with the contents of the dump, having dumped the old contents first."""
        keep_in.mkdir(mode=0o700, exist_ok=True)
        kept = keep_in / f"{self.alias}{self.suffix}"
        kept.touch(mode=0o600)
        with self.present() as source:
            contents = source.contents()
        self.dump(kept, lambda: None)
        entry = self.entry_of(kept, contents)
        self._load(file)
        try:
            yield Kept(str(kept), entry)
        except BaseException:  # Ctrl-C, too, must leave what was there before
            with self.putting_back(str(kept)):
                self.connection.close_pool()  # type: ignore[attr-defined]
                self._load(kept)
            raise

    @property
    def _name(self) -> str:
        return str(self.connection.settings_dict["NAME"])

    def dump(self, file: Path, on_step: Step, *options: str) -> None:
        """Write a dump to `file`; raises BackupError with the message of pg_dump if that fails."""
        where, environment = self._where()
        usual = ["--format=custom", "--no-owner", "--no-privileges", f"--lock-wait-timeout={LOCK_WAIT_MS}"]
        _run(["pg_dump", *usual, f"--file={file}", *options, *where], environment, on_step)

    def _load(self, file: Path) -> None:
        """Replace everything in one transaction, which is committed only after the whole dump was read."""
        where, environment = self._where()
        psql = [_program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output", os.devnull, *where]
        options = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--file=-")
        script = [_program("pg_restore"), *options, str(file)]
        pipe = subprocess.PIPE
        with (
            subprocess.Popen(psql, env=environment, stdin=pipe, stderr=pipe) as writer,  # noqa: S603 (our own command)
            subprocess.Popen(script, env=_environment(), stdout=pipe, stderr=subprocess.DEVNULL) as reader,  # noqa: S603 (our own command)
        ):
            complete = _feed(writer, reader)
            errors = writer.stderr.read() if writer.stderr else b""
        if writer.returncode or not complete:
            raise BackupError(f"{file.name} could not be loaded into the database {self._name}. {_last_line(errors)}")

    def _where(self) -> tuple[list[str], dict[str, str]]:
        """Return the options that name the database, and an environment that holds its password and how to use TLS."""
        described = self.connection.settings_dict
        command, secret = self.connection.client.settings_to_cmd_args_env(described, [])
        return [*command[1:]], _environment() | (secret or {}) | _tls_variables(described["OPTIONS"])


def _feed(writer: "subprocess.Popen[bytes]", reader: "subprocess.Popen[bytes]") -> bool:
    """Send a script to psql as one transaction; tell whether it was complete, else nothing is committed."""
    if writer.stdin is None or reader.stdout is None:
        return False
    try:
        writer.stdin.write(b"BEGIN;\n" + DROP_ALL.encode())
        shutil.copyfileobj(reader.stdout, writer.stdin, CHUNK_BYTES)
        whole = reader.wait() == 0
        if whole:
            writer.stdin.write(b"\nANALYZE;\nCOMMIT;\n")  # a dump holds no statistics, without which queries are slow
        writer.stdin.close()
    except BrokenPipeError:  # it stopped at an error, which it prints
        reader.kill()
        return False
    return whole


def _program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, in the newest installed version."""
    installed = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: [int(n) for n in path.parts[4].split(".")])
    path = shutil.which(name) or (str(installed[-1]) if installed else None)
    if path is None:
        raise BackupError(f"{name} is not installed. Install PostgreSQL's client programs (Debian: postgresql-client).")
    return path


def _environment() -> dict[str, str]:
    """Return what PostgreSQL's programs need from our environment, without our keys and addresses."""
    kept = [name for name in os.environ if name in _KEPT or name.startswith(("PG", "LC_", "KRB5"))]
    return {name: os.environ[name] for name in kept}


def _tls_variables(options: dict[str, Any]) -> dict[str, str]:
    """Return the variables that make PostgreSQL's programs use the same TLS as the site."""
    variables = {f"PG{name.replace('_', '').upper()}": str(options[name]) for name in TLS_OPTIONS if name in options}
    roots = ssl.get_default_verify_paths().cafile
    if options.get("sslrootcert") == "system" and roots:
        variables["PGSSLROOTCERT"] = roots  # programs before version 16 take the word for a file name
    return variables


def _run(command: Sequence[str], environment: dict[str, str] | None = None, on_step: Step | None = None) -> str:
    """Run one of PostgreSQL's programs and return its output; raises BackupError with its message if it fails."""
    program = [_program(command[0]), *command[1:]]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, env=environment or _environment(), stdout=pipe, stderr=pipe) as process:  # noqa: S603
        while True:
            try:
                printed, errors = process.communicate(timeout=POLL_S)
                break
            except subprocess.TimeoutExpired:
                if on_step:
                    on_step()
            except BaseException:  # Ctrl-C, too, must leave no program running
                process.kill()
                raise
    if process.returncode:
        raise BackupError(f"{command[0]} failed: {_last_line(errors)}")
    return printed.decode(errors="replace")


def _last_line(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "It says nothing."
