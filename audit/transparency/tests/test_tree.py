"""The tree and its proofs are those of an independent implementation of RFC 9162, however it grew."""

import hashlib

import pytest
from pymerkle import InmemoryTree

from audit.transparency.growing import HASH_BYTES, TILE_BYTES, Growing, Leaves, tile_root
from audit.transparency.merkle import EMPTY, WIDTH, Tree, is_consistent, is_included, leaf_hash
from audit.transparency.tests.logs import perfect_root

LEAVES = [b"entry %d" % number for number in range(WIDTH**2 + 300)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
ODD_SIZES = (WIDTH - 1, WIDTH, WIDTH + 1, 2 * WIDTH, 3 * WIDTH - 1, WIDTH**2 - 1, WIDTH**2, WIDTH**2 + 1, len(LEAVES))
# The leaves and roots with which Certificate Transparency's own implementations are tested (RFC 6962's tree).
KNOWN_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
KNOWN_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.fixture(scope="module")
def oracle():
    """The independent tree over all leaves."""
    tree = InmemoryTree(algorithm="sha256")
    for leaf in LEAVES:
        tree.append_entry(leaf)
    return tree


class Grown:
    """A tree that was grown in steps, with the tiles that it wrote."""

    def __init__(self, size, step):
        self.tiles = {}
        growing = Growing(lambda level, number, hashes: self.tiles.update({(level, number): hashes}))
        for start in range(0, size, step):
            growing.add(Leaves.of(start, HASHES[start : min(start + step, size)]))
        self.root = growing.tree().root()
        self.tiles |= {(level, number): hashes for level, number, hashes in growing.tails()}
        self.tree = Tree(growing.size, self.stored)

    def stored(self, level, number):
        start = number % WIDTH * HASH_BYTES
        return self.tiles[level, number // WIDTH][start : start + HASH_BYTES]


@pytest.mark.parametrize("size", [*range(1, 20), *ODD_SIZES])
def test_root_and_proofs_are_those_of_another_implementation(oracle, size):
    grown = Grown(size, 10_240)
    root = oracle.get_root(size)
    assert grown.root == grown.tree.root() == root
    places = sorted({0, size - 1, *(size * part // 7 for part in range(1, 7))})
    for index in places:
        proof = grown.tree.inclusion(index)
        assert proof == oracle.prove_inclusion(index + 1, size).path[1:]
        assert is_included(HASHES[index], index, size, proof, root)
        assert not is_included(HASHES[index], index, size, proof[:-1], root) or size == 1
        assert not is_included(HASHES[index], (index + 1) % size, size, proof, root) or size == 1
    for old_size in (place + 1 for place in places):
        proof, old_root = grown.tree.consistency(old_size), oracle.get_root(old_size)
        assert is_consistent(old_size, old_root, size, root, proof)
        assert not is_consistent(old_size, leaf_hash(old_root), size, root, proof)
        theirs = oracle.prove_consistency(old_size, size)
        if theirs.subset[0] and old_size < size:  # else it goes one step further down than the RFC does
            assert proof == theirs.path[old_size & (old_size - 1) == 0 :]


@pytest.mark.parametrize("step", [1, 7, WIDTH - 1, WIDTH, 1000])
def test_how_a_tree_grew_does_not_show(step):
    size = 3 * WIDTH + 5
    assert Grown(size, step).tiles == Grown(size, size).tiles


def test_a_tree_goes_on_from_the_last_tile_of_each_level():
    whole = Grown(len(LEAVES), 10_240)
    for size in (1, *ODD_SIZES[:-1]):
        tails = [tiles_end(size, level) for level in range(3)]
        growing = Growing(size=size, tails=tails)
        growing.add(Leaves.of(size, HASHES[size:]))
        assert growing.tree().root() == whole.root


def tiles_end(size, level):
    """The hashes in the last tile of a level, made from the leaves."""
    span = WIDTH**level
    first = size // span // WIDTH * WIDTH
    return b"".join(perfect_root(HASHES[number * span : (number + 1) * span]) for number in range(first, size // span))


def test_the_hashes_are_those_of_certificate_transparency():
    hashes = [leaf_hash(bytes.fromhex(leaf)) for leaf in KNOWN_LEAVES]
    for size, root in KNOWN_ROOTS.items():
        growing = Growing()
        growing.add(Leaves.of(0, hashes[:size]))
        assert growing.tree().root().hex() == root
    assert Growing().tree().root() == EMPTY == hashlib.sha256(b"").digest()
    assert tile_root(b"".join(HASHES[:WIDTH])) == perfect_root(HASHES[:WIDTH])
    assert len(Leaves.of(3, HASHES[: 2 * WIDTH]).roots) == HASH_BYTES  # one tile is filled by these alone
    assert TILE_BYTES == WIDTH * HASH_BYTES
