"""Where the ids of a long list are while it is checked: a private temporary file, so that memory stays bounded."""

import json
import sqlite3
from collections.abc import Iterator, Sequence

from tmsdash.db.files import temporary_file

BLOCK = 10_000  # rows written or read at once
CACHE_KIB = 32_768


class Spool:
    """The ids of a list with their lines, in a file that no other process sees and that ends with this one."""

    def __init__(self) -> None:
        # Not SQLite's own temporary database, which some builds of it keep in memory. Its name is gone once it is open.
        with temporary_file("ids") as file:
            self._database = sqlite3.connect(file.name, isolation_level=None)
            for pragma in (f"cache_size=-{CACHE_KIB}", "journal_mode=OFF", "synchronous=OFF"):
                self._database.execute(f"PRAGMA {pragma}")  # which opens it
        ids = "number INTEGER PRIMARY KEY, part INTEGER, cid TEXT, line INTEGER"
        self._database.execute(f"CREATE TABLE ids ({ids})")
        self._database.execute("CREATE TABLE repeats (number INTEGER PRIMARY KEY)")
        self._database.execute("BEGIN")
        self._block: list[tuple[int, str, int]] = []
        self._count = 0

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def __len__(self) -> int:
        """How many ids were added."""
        return self._count

    def add(self, part: int, cid: str, line: int) -> None:
        """Put one more id at the end."""
        self._block.append((part, cid, line))
        self._count += 1
        if len(self._block) >= BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write what is still in memory; to be called before reading."""
        self._database.executemany("INSERT INTO ids (part, cid, line) VALUES (?, ?, ?)", self._block)
        self._block = []

    def by_id(self) -> Iterator[tuple[str, int, int, int]]:
        """Return id, part, line and number of all; ids that are equal but for the case of ASCII letters are together.

        Among these the order is that of the list.
        """
        return self._database.execute("SELECT cid, part, line, number FROM ids ORDER BY cid COLLATE NOCASE, number")

    def leave_out(self, number: int) -> None:
        """Let this one be the repeat of another one."""
        self._database.execute("INSERT INTO repeats VALUES (?)", [number])

    def leave_out_ids(self, part: int, cids: Sequence[str]) -> None:
        """Leave these out of a part, as if they were repeats."""
        listed = "SELECT value FROM json_each(?)"
        self._database.execute(
            f"INSERT INTO repeats SELECT number {_KEPT} AND part = ? AND cid IN ({listed})", [part, json.dumps(cids)]
        )

    def counts(self) -> dict[int, int]:
        """Return how many ids each part has, without repeats."""
        return dict(self._database.execute(f"SELECT part, count(*) {_KEPT} GROUP BY part"))

    def ids_of(self, part: int) -> Iterator[str]:
        """Return the ids of a part in the order of the list, without repeats."""
        return (cid for (cid,) in self._database.execute(f"SELECT cid {_KEPT} AND part = ? ORDER BY number", [part]))


_KEPT = "FROM ids WHERE number NOT IN repeats"
