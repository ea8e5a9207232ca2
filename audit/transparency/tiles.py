"""The tiles of the audit's Merkle tree, which lie in its database. Only sealing writes them.

1. A tile that is full never changes: it is drawn from entries that never do. So whoever writes one writes what another
   one would.
2. The last tile of a level, which is not full, is written in the transaction that stores the checkpoint of its size.
3. Nothing in them is believed: what they make is compared with a signed checkpoint, or with the entries.
"""

from collections.abc import Iterable, Sequence
from functools import cache

from audit.chain import DATABASE
from audit.models import MerkleTile
from audit.transparency.growing import HASH_BYTES, Growing, Leaves
from audit.transparency.merkle import WIDTH, Tree
from tmsdash.db.transactions import BUSY_TIMEOUT_S, write_transaction

TILES_AT_ONCE = 64  # half a megabyte, of some 16,000 entries: nobody waits long for a transaction of these

Tile = tuple[int, int, bytes]  # its level, number and hashes


class TilesDamaged(Exception):
    """A tile is missing, or too short for what it should hold. The text says which, as a sentence."""


def tree(size: int) -> Tree:
    """Return the tree over the first `size` entries, which reads tiles as it needs them, each once.

    What it returns raises TilesDamaged if one of them is missing.
    """

    @cache
    def tile(level: int, number: int) -> bytes:
        return _hashes(level, number)

    def stored(level: int, number: int) -> bytes:
        start = number % WIDTH * HASH_BYTES
        found = tile(level, number // WIDTH)[start : start + HASH_BYTES]
        if len(found) != HASH_BYTES:
            raise TilesDamaged(f"Tile {level}/{number // WIDTH} of the audit's tree is missing, or not whole.")
        return found

    return Tree(size, stored)


def growing(size: int) -> "Writing":
    """Return the tree over the first `size` entries, to be grown; raises TilesDamaged if its last tiles are missing."""
    tails, level = [], 0
    while size >= WIDTH**level:
        number, count = divmod(size // WIDTH**level, WIDTH)
        tail = _hashes(level, number)[: count * HASH_BYTES]
        if len(tail) != count * HASH_BYTES:
            raise TilesDamaged(f"Tile {level}/{number} of the audit's tree is missing, or not whole.")
        tails.append(tail)
        level += 1
    return Writing(size, tails)


class Writing:
    """Writes the tiles of a tree that grows: full ones in short transactions, the others when it is told to."""

    def __init__(self, size: int, tails: Sequence[bytes]) -> None:
        self._full: list[Tile] = []
        self._growing = Growing(lambda *tile: self._full.append(tile), size, tails)

    def add(self, leaves: Leaves) -> None:
        """Add leaves behind those that are there. Raises DatabaseError."""
        self._growing.add(leaves)
        if len(self._full) >= TILES_AT_ONCE:
            self.write_full()

    def write_full(self) -> None:
        """Write the tiles that are full and not written yet."""
        while self._full:
            with write_transaction(DATABASE, BUSY_TIMEOUT_S):
                _write(self._full[:TILES_AT_ONCE])
            del self._full[:TILES_AT_ONCE]

    def write_tails(self) -> None:
        """Write the last tiles of all levels, within a transaction of the caller's."""
        _write(self._growing.tails())

    @property
    def size(self) -> int:
        """The number of its leaves."""
        return self._growing.size

    def root(self) -> bytes:
        """Return its root."""
        return self._growing.tree().root()


def _hashes(level: int, number: int) -> bytes:
    found = MerkleTile.objects.filter(level=level, number=number).values_list("hashes", flat=True).first()
    return bytes(found) if isinstance(found, bytes | memoryview) else b""  # SQLite holds whatever somebody wrote there


def _write(tiles: Iterable[Tile]) -> None:
    MerkleTile.objects.bulk_create(
        [MerkleTile(level=level, number=number, hashes=hashes) for level, number, hashes in tiles],
        update_conflicts=True,
        update_fields=["hashes"],
        unique_fields=["level", "number"],
    )
