"""A tree that grows by its leaves, in their order, and remembers only the end of each level."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from audit.transparency.merkle import WIDTH, Tree

HASH_BYTES = 32
TILE_BYTES = WIDTH * HASH_BYTES

Write = Callable[[int, int, bytes], object]
"""Takes the level and number of a tile that is full, and its hashes."""


class Leaves(NamedTuple):
    """Hashes of leaves that follow each other, side by side, and the roots of the tiles that they fill alone."""

    hashes: bytes = b""
    roots: bytes = b""

    @classmethod
    def of(cls, first: int, hashes: Sequence[bytes]) -> "Leaves":
        """Return what a tree takes in of leaves with these hashes; `first` is the index of the first, from 0."""
        joined = b"".join(hashes)
        starts = range(-first % WIDTH * HASH_BYTES, len(joined) - TILE_BYTES + 1, TILE_BYTES)
        return cls(joined, b"".join([tile_root(joined[start : start + TILE_BYTES]) for start in starts]))

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.hashes) // HASH_BYTES


def tile_root(tile: bytes) -> bytes:
    """Return the root over the hashes of a full tile."""
    sha256, level = hashlib.sha256, tile
    while len(level) > HASH_BYTES:
        pairs = range(0, len(level), 2 * HASH_BYTES)
        level = b"".join([sha256(b"\1" + level[start : start + 2 * HASH_BYTES]).digest() for start in pairs])
    return level


class Growing:
    """A tree of `size` leaves, to which others are added. What it needs is one tile of each level, which is not full.

    `write` is called with each tile as soon as it is full; `tails` are those that are not, level by level.
    """

    def __init__(self, write: Write = lambda level, number, hashes: None, size: int = 0, tails: Iterable[bytes] = ()):
        self.size = size
        self._write = write
        self._tails = [bytearray(tail) for tail in tails]

    def add(self, leaves: Leaves) -> None:
        """Add leaves behind those that are there."""
        roots = iter(leaves.roots[start : start + HASH_BYTES] for start in range(0, len(leaves.roots), HASH_BYTES))
        place = 0
        while place < len(leaves.hashes):
            room = TILE_BYTES - len(self._tail(0))
            part = leaves.hashes[place : place + room]
            place += len(part)
            self.size += len(part) // HASH_BYTES
            self._append(0, part, next(roots, b"") if len(part) == TILE_BYTES else b"")

    def tree(self) -> Tree:
        """Return the tree as it is now. It has its root; for proofs it would need the tiles that are full."""
        return Tree(self.size, self._stored)

    def tails(self) -> list[tuple[int, int, bytes]]:
        """Return the level, number and hashes of the last tile of each level that is begun and not full."""
        counts = [self.size // WIDTH**level for level in range(len(self._tails))]
        return [(level, counts[level] // WIDTH, bytes(tail)) for level, tail in enumerate(self._tails) if tail]

    def _tail(self, level: int) -> bytearray:
        if level == len(self._tails):
            self._tails.append(bytearray())
        return self._tails[level]

    def _append(self, level: int, hashes: bytes, root: bytes = b"") -> None:
        """Add hashes to the last tile of a level, which has room for them; `root` is that of the tile, if known."""
        tail = self._tail(level)
        tail += hashes
        if len(tail) == TILE_BYTES:
            full = bytes(tail)
            tail.clear()
            self._write(level, self.size // WIDTH ** (level + 1) - 1, full)
            self._append(level + 1, root or tile_root(full))

    def _stored(self, level: int, number: int) -> bytes:
        start = number % WIDTH * HASH_BYTES
        return bytes(self._tails[level][start : start + HASH_BYTES])
