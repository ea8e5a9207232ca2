"""What somebody does who has the files of a site, and perhaps a key: by SQLite's and Python's own means alone.

The formats are those that docs/audit.md describes; they are written down here once more, so that a mistake in the
product is not made here as well.
"""

import gzip
import hashlib
import hmac
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from setactions.devtools.tampering.installation import Installation

ENTRIES = "audit_auditentry"
FACTS = "user_id, action_type, ip_address, body"


class Stranger:
    """Somebody who may read and write whatever the site's user may."""

    def __init__(self, installation: Installation) -> None:
        self.var, self.seal_folder = installation.var, installation.seals
        self.earlier, self.kept = installation.earlier, installation.kept

    # -- Databases

    @contextmanager
    def open(self, name: str = "audit") -> Iterator[sqlite3.Connection]:
        """Open a database; what is done to it stays. The audit's triggers are away meanwhile."""
        with closing(sqlite3.connect(self.var / f"{name}.db", isolation_level=None)) as database:
            triggers = database.execute(
                f"SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{ENTRIES}'"
            ).fetchall()
            for trigger, _ in triggers:
                database.execute(f"DROP TRIGGER {trigger}")
            yield database
            for _, sql in triggers:
                database.execute(sql)

    def sql(self, *statements: str, database: str = "audit") -> None:
        """Carry statements out, as they are."""
        with self.open(database) as opened:
            for statement in statements:
                opened.execute(statement)

    def bare_sql(self, *statements: str, database: str = "audit") -> None:
        """The same with the triggers in their places."""
        with closing(sqlite3.connect(self.var / f"{database}.db", isolation_level=None)) as opened:
            for statement in statements:
                opened.execute(statement)

    def take_back(self, *names: str, seals: bool = False) -> None:
        """Put files of earlier in the places of these; the seals' as well."""
        for name in names:
            (self.var / name).write_bytes((self.earlier / "var" / name).read_bytes())
        if seals:
            for path in self.seal_folder.iterdir():
                path.unlink()
            for path in (self.earlier / "seals").iterdir():
                (self.seal_folder / path.name).write_bytes(path.read_bytes())

    # -- Files

    @property
    def audit(self) -> Path:
        return self.var / "audit.db"

    @property
    def seals(self) -> Path:
        [path] = self.seal_folder.glob("seals-*.jsonl")
        return path

    @property
    def archive(self) -> Path:
        [path] = self.seal_folder.glob("audit-*.jsonl.gz")
        return path

    def with_seals(self, change: Callable[[list[str]], Sequence[str]]) -> None:
        """Change the lines of the seals."""
        self.seals.write_text("".join(f"{line}\n" for line in change(self.seals.read_text().splitlines())))

    def archived_lines(self) -> list[str]:
        """Return the lines of the archive: header, entries, signature."""
        return gzip.decompress(self.archive.read_bytes()).decode().splitlines()

    def with_archive(self, change: Callable[[list[str]], Sequence[str]]) -> None:
        """Change the lines of the archive."""
        lines = self.archived_lines()
        self.archive.write_bytes(gzip.compress("".join(f"{line}\n" for line in change(lines)).encode()))


class KeyHolder(Stranger):
    """Somebody who has AUDIT_KEY as well."""

    @property
    def _key(self) -> bytes:
        return (self.var / "audit_key").read_text().strip().encode()

    @property
    def key_id(self) -> str:
        return self.sign("key id")[:16]

    def sign(self, *parts: Any) -> str:
        """Return the mac of some parts."""
        return hmac.new(self._key, json.dumps(parts, separators=(",", ":")).encode(), "sha256").hexdigest()

    def rewrite(self, *statements: str) -> None:
        """Change entries, and sign all that are in the database and the head anew, as if they had always been so."""
        with self.open() as database:
            for statement in statements:
                database.execute(statement)
            query = f"SELECT sequence, created_at, coalesce(attempt_id, ''), kind, {FACTS}, previous_mac FROM {ENTRIES}"
            mac = ""
            for sequence, at, attempt_id, kind, *facts, before in database.execute(f"{query} ORDER BY 1").fetchall():
                mac = mac or bytes(before).hex()
                time = at if "." in at else f"{at}.000000"
                made = self.sign("entry", mac, sequence, time, attempt_id, kind, *facts)
                changed = (bytes.fromhex(mac), bytes.fromhex(made), self.key_id, sequence)
                database.execute(
                    f"UPDATE {ENTRIES} SET previous_mac = ?, mac = ?, key_id = ? WHERE sequence = ?", changed
                )
                mac = made
            head = (sequence, mac, self.key_id, self.sign("head", sequence, mac))
            database.execute("UPDATE audit_chainhead SET sequence = ?, mac = ?, key_id = ?, signature = ?", head)

    def seal_again(self) -> None:
        """Write all seals anew, for the macs that the entries have now."""
        with self.open() as database:
            macs = {
                sequence: bytes(mac).hex() for sequence, mac in database.execute(f"SELECT sequence, mac FROM {ENTRIES}")
            }

        def signed(lines: list[str]) -> Iterator[str]:
            previous = "0" * 64
            for seal in map(json.loads, lines):
                if seal["sequence"] > max(macs):
                    return
                seal |= {"mac": macs.get(seal["sequence"], seal["mac"]), "previous": previous, "signature": ""}
                previous = self.sign(
                    "seal", *(seal[name] for name in sorted(seal) if seal[name] or name != "checkpoint")
                )
                yield json.dumps(seal | {"signature": previous})

        self.with_seals(lambda lines: [*signed(lines)])

    def archive_again(self, change: Callable[[list[str]], Sequence[str]]) -> None:
        """Change the archive's header and entries, and sign it."""

        def signed(lines: list[str]) -> list[str]:
            changed = [*change(lines[:-1])]
            digest = hashlib.sha256("".join(f"{line}\n" for line in changed).encode()).hexdigest()
            return [*changed, self.sign("archive", digest)]

        self.with_archive(signed)
