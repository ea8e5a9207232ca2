"""Logs in memory, signed as a site signs its own, for whoever witnesses them."""

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.transparency.merkle import WIDTH, Tree, leaf_hash, node
from audit.transparency.notes import Checkpoint, PublicKey

ORIGIN = "tms-dashboard/0badcafe"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Log:
    """A site whose log has these leaves; it shows `checkpoint()`, signed with its key, and proves what it can."""

    def __init__(self, *leaves, key=None, origin=ORIGIN):
        self.key, self.origin = key or Ed25519PrivateKey.generate(), origin
        self.hashes = [leaf_hash(str(leaf).encode()) for leaf in leaves]
        self.asked, self.signed_at = [], AT

    def tree(self, size=None):
        def stored(level, number):
            count = WIDTH**level
            return perfect_root(self.hashes[number * count : (number + 1) * count])

        return Tree(len(self.hashes) if size is None else size, stored)

    @property
    def public_key(self):
        return PublicKey(self.origin, self.key.public_key().public_bytes_raw())

    def checkpoint(self):
        tree = self.tree()
        return str(Checkpoint.make(self.origin, tree.size, tree.root(), self.signed_at).signed(self.origin, self.key))

    def consistency(self, old, new):
        self.asked.append((old, new))
        return self.tree(new).consistency(old)


def perfect_root(hashes):
    """The root over hashes whose number is a power of two, as RFC 9162 writes it."""
    middle = len(hashes) // 2
    return node(perfect_root(hashes[:middle]), perfect_root(hashes[middle:])) if middle else hashes[0]
