"""The Merkle tree of RFC 9162 (section 2.1): its root, and proofs that an entry is in it, and that it only grew.

Hashes are bytes of SHA-256. A tree is its number of leaves and a function that returns the hash of a perfect subtree
of 256**level leaves that begins at leaf number * 256**level; all others are made from those.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

WIDTH = 256  # leaves, or hashes of the level below, in a tile
EMPTY = hashlib.sha256().digest()  # the root of a tree without leaves

Stored = Callable[[int, int], bytes]  # takes a level and a number


class Tree(NamedTuple):
    """A tree of `size` leaves."""

    size: int
    stored: Stored

    def root(self) -> bytes:
        """Return its root."""
        return self._hash(0, self.size) if self.size else EMPTY

    def inclusion(self, index: int) -> list[bytes]:
        """Return the proof that leaf `index`, counted from 0, is in the tree (section 2.1.3.1)."""
        if not 0 <= index < self.size:
            raise ValueError(f"leaf {index} is not in a tree of {self.size}")
        return self._path(index, 0, self.size)

    def consistency(self, old_size: int) -> list[bytes]:
        """Return the proof that the tree's first `old_size` leaves were a tree before (section 2.1.4.1)."""
        if not 0 <= old_size <= self.size:
            raise ValueError(f"a tree of {self.size} does not continue one of {old_size}")
        return self._grown(old_size, 0, self.size, is_whole=True) if 0 < old_size < self.size else []

    def _hash(self, start: int, end: int) -> bytes:
        """Return the hash of the leaves from `start` up to, but not including, `end`."""
        count = end - start
        level = max(count.bit_length() - 1, 0) // 8
        if count == WIDTH**level:
            return self.stored(level, start // count)
        middle = start + _split(count)
        return node(self._hash(start, middle), self._hash(middle, end))

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _split(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._hash(middle, end)]
        return [*self._path(index, middle, end), self._hash(start, middle)]

    def _grown(self, old: int, start: int, end: int, *, is_whole: bool) -> list[bytes]:
        if old == end:
            return [] if is_whole else [self._hash(start, end)]
        middle = start + _split(end - start)
        if old <= middle:
            return [*self._grown(old, start, middle, is_whole=is_whole), self._hash(middle, end)]
        return [*self._grown(old, middle, end, is_whole=False), self._hash(start, middle)]


def _split(count: int) -> int:
    """Return the largest power of two below a number of leaves."""
    return 1 << ((count - 1).bit_length() - 1)


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether a proof shows that the leaf with this hash is in the tree with this root (section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    number, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if number & 1 or number == last:
            result = node(sibling, result)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            result = node(result, sibling)
        number, last = number >> 1, last >> 1
    return last == 0 and result == root


def is_consistent(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether a proof shows that a tree continues the one that it was before (section 2.1.4.2)."""
    if not 0 < old_size < size:
        is_same = old_root == root if old_size == size else old_size == 0 and old_root == EMPTY
        return is_same and not proof
    hashes = [old_root, *proof] if old_size & (old_size - 1) == 0 else [*proof]
    if not hashes:
        return False
    number, last = old_size - 1, size - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            old, new = node(sibling, old), node(sibling, new)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            new = node(new, sibling)
        number, last = number >> 1, last >> 1
    return last == 0 and old == old_root and new == root
