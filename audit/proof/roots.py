"""The Merkle tree's root at each size that somebody names, made from the entries along the walk.

1. A checkpoint says that the log had so many entries with this root. What it says is compared with the entries as they
   are now, wherever it was kept: in the database, in a seal's line, in the chain itself, or with a witness.
2. The hashes of leaves come from the workers, a stretch at a time, so all that is made here are the nodes above them.
3. Tiles are drawn from the entries, and proofs from the tiles: they are compared, too.
"""

from collections.abc import Collection, Generator
from functools import lru_cache
from typing import Any, cast

from audit.proof.stored import StoredEntry, rows_of
from audit.proof.stretches import Stretch
from audit.transparency.growing import HASH_BYTES, TILE_BYTES, Growing, Leaves, tile_root
from audit.transparency.merkle import EMPTY, WIDTH, leaf_hash, node

LEAVES_AT_ONCE = 4 * WIDTH  # of entries that come one by one


class Roots:
    """Takes in the entries of a walk; `at` has the root at each of the sizes that was reached."""

    def __init__(self, sizes: Collection[int], tiles_size: int = 0) -> None:
        """Look at tiles, too, as far as they are of the first `tiles_size` entries."""
        self.at: dict[int, bytes] = {0: EMPTY}
        self.changed_tile = ""  # the level and number of the first one that is not what the entries make
        self.broken_at = 0  # the entry that did not follow the one before it: from there on there is no tree
        self._sizes = sorted({size for size in (*sizes, tiles_size) if size > 0}, reverse=True)  # the next one last
        self._hashes: list[bytes] = []
        self._tiles_size = tiles_size
        self._tiles: dict[int, Generator[Any]] = {}
        self._tree = Growing(self._compare)

    def keep(self, entry: StoredEntry | Stretch) -> None:
        """Take in what follows; what does not follow ends it, and the walk says so."""
        if self.broken_at or not self._sizes:  # behind the last size, nobody asks for a root
            return
        if entry.sequence != self._tree.size + len(self._hashes) + 1:
            self._flush()
            self.broken_at = entry.sequence
        elif isinstance(entry, Stretch):
            self._flush()
            self._grow(entry.leaves)
        else:
            self._hashes.append(leaf_hash(entry.leaf))
            if len(self._hashes) == LEAVES_AT_ONCE:
                self._flush()

    def finish(self) -> None:
        """Take in the last entries, while the transaction is open; nothing of it is read any more."""
        self._flush()
        for tiles in self._tiles.values():
            tiles.close()  # PostgreSQL ends a transaction of later on in which a cursor of this one is closed

    def _flush(self) -> None:
        if self._hashes:
            self._grow(Leaves(b"".join(self._hashes)))
            self._hashes = []

    def _grow(self, leaves: Leaves) -> None:
        begin, end = self._tree.size, self._tree.size + len(leaves.hashes) // HASH_BYTES
        while self._sizes and self._sizes[-1] <= end:
            size = self._sizes.pop()
            self._tree.add(_part(leaves, begin, self._tree.size, size))
            self.at[size] = _root(self._tree)
            if size == self._tiles_size:
                for level, number, hashes in self._tree.tails():
                    self._compare(level, number, hashes)
        self._tree.add(_part(leaves, begin, self._tree.size, end))

    def _compare(self, level: int, number: int, hashes: bytes) -> None:
        """Compare a tile with the stored one, level by level in the order of their numbers."""
        count = number * WIDTH + len(hashes) // HASH_BYTES
        if self.changed_tile or count * WIDTH**level > self._tiles_size:
            return
        if level not in self._tiles:
            query = f"SELECT number, hashes FROM audit_merkletile WHERE level = {level:d} ORDER BY number"  # noqa: S608
            self._tiles[level] = cast(Generator[Any], rows_of(query))
        stored = next((row for row in self._tiles[level] if type(row[0]) is int and row[0] >= number), (-1, b""))
        if stored[0] != number or not _bytes(stored[1]).startswith(hashes):
            self.changed_tile = f"{level}/{number}"


def _part(leaves: Leaves, begin: int, start: int, end: int) -> Leaves:
    """Return the leaves from index `start` to `end` of those whose first one has the index `begin`."""
    if (begin, len(leaves.hashes)) == (start, (end - begin) * HASH_BYTES):
        return leaves
    first_tile = -(-begin // WIDTH)  # of those whose roots are known
    roots = slice((-(-start // WIDTH) - first_tile) * HASH_BYTES, max(end // WIDTH - first_tile, 0) * HASH_BYTES)
    return Leaves(leaves.hashes[(start - begin) * HASH_BYTES : (end - begin) * HASH_BYTES], leaves.roots[roots])


def _root(tree: Growing) -> bytes:
    """Return the root of a tree from its tails: whole subtrees, each half as large as the one before, or smaller."""
    roots: list[bytes] = []
    for level, _, tail in reversed(tree.tails()):
        start, room = 0, TILE_BYTES // 2
        while room >= HASH_BYTES:
            if len(tail) & room:
                part = tail[start : start + room]
                roots.append(_kept_root(part) if level else tile_root(part))
                start += room
            room //= 2
    root = roots.pop()
    while roots:
        root = node(roots.pop(), root)
    return root


_kept_root = lru_cache(maxsize=64)(tile_root)  # above the lowest level they stay the same for 256 leaves and more


def _bytes(stored: object) -> bytes:
    return bytes(stored) if isinstance(stored, bytes | memoryview) else b""
