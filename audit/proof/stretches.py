"""The chain in stretches of some thousand entries, which the cores of the machine look at side by side.

Every mac can be made again from its own row, and an entry is compared with the one before it only. So a worker reads
the stretch that it is given, and either all of it follows from itself, or there is something to be said about it: then,
and if the rows were moved to an archive meanwhile, the entries are read again here, one by one, by whoever walks along
the chain. What is found, in what order and in what words, never depends on the workers.
"""

import hmac
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from django.db import Error as AnyDatabaseError

from audit import chain
from audit.choices import Kind
from audit.proof.lost_keys import NOT_KNOWN
from audit.proof.stored import StoredEntry, rows_of, select, stored_entries
from audit.transparency.growing import Leaves
from audit.transparency.merkle import WIDTH, leaf_hash
from tmsdash.db.transactions import read_transaction
from tmsdash.processes import cores

if TYPE_CHECKING:  # its pool of processes is loaded by nobody who does not verify
    from tmsdash.cores import Workers

LENGTH = 40 * WIDTH  # whole tiles of the Merkle tree
MIN_ENTRIES = 50_000  # with fewer, it is over before workers have begun
RESTORED = '"change":"restored"'  # in the body of the entry that `restore` adds
LOST_SEALS = '"change":"lost seals acknowledged"'  # and of the one that `audit_seal` adds, see noted_seals
ABOUT_CHAIN = (RESTORED, LOST_SEALS, NOT_KNOWN)


class Bounds(NamedTuple):
    """A task: the numbers of the entries to look at, and those whose macs somebody asks for."""

    first: int
    last: int
    asked: Sequence[int]

    @property
    def condition(self) -> str:
        """The entries, in SQL."""
        return f"sequence BETWEEN {self.first:d} AND {self.last:d}"


@dataclass(frozen=True)
class Stretch:
    """Entries without a gap, each signed with a known key and following from the one before it.

    None of them says anything about the chain itself. Of the first one, `sequence` and `previous_mac` are those that a
    single entry has.
    """

    sequence: int
    previous_mac: str
    last: int
    mac: str  # of the last entry
    asked: dict[int, str]  # the macs of the entries that were asked for, by their numbers
    leaves: Leaves  # of the Merkle tree, one for each entry

    @property
    def entries(self) -> int:
        """How many there are."""
        return self.last - self.sequence + 1


def stored_stretches(
    workers: "Workers", asked: Sequence[int], after: int | None = None
) -> Iterator[StoredEntry | Stretch]:
    """Yield all entries in the database, or those after a number, in their order, while a transaction is open.

    Of stretches that are whole it yields no entries but the stretch, with the macs of the numbers in `asked`, which
    are sorted.
    """
    condition = "" if after is None else f"sequence > {after:d}"
    bounds = f"SELECT min(sequence), max(sequence) FROM audit_auditentry {condition and f'WHERE {condition}'}"  # noqa: S608
    [(first, last)] = rows_of(bounds)
    if cores() == 1 or first is None or last - first < MIN_ENTRIES:
        yield from stored_entries(condition)
        return
    for task, stretch in workers.answers(prove, _tasks(first, last, asked)):
        if stretch:
            yield stretch
        else:
            yield from stored_entries(task.condition)


def _tasks(first: int | None, end: int, asked: Sequence[int]) -> Iterator[Bounds]:
    while first is not None:
        # They end where tiles do. A worker sees what was added meanwhile, too.
        last = min(first + LENGTH - 1 - (first - 1) % LENGTH, end)
        yield Bounds(first, last, asked[bisect_left(asked, first) : bisect_right(asked, last)])
        # Over a gap at once, however far somebody has put the next entry.
        [(first,)] = rows_of(f"SELECT min(sequence) FROM audit_auditentry WHERE sequence > {last:d}")  # noqa: S608


def prove(bounds: Bounds) -> Stretch | None:
    """Return the stretch of these entries; None if there is anything to be said about one of them."""
    try:
        with read_transaction(chain.DATABASE):
            return _prove(bounds)
    except (AnyDatabaseError, TypeError, ValueError, AttributeError):  # somebody wrote there what is no text
        return None


def _prove(bounds: Bounds) -> Stretch | None:
    keys, kept, about_chain = chain.known_keys(), set(bounds.asked), Kind.SETTING_CHANGED.value
    number, mac, before = bounds.first - 1, "", ""
    macs: dict[int, str] = {}
    hashes: list[bytes] = []
    for sequence, previous_mac, own_mac, key_id, attempt_id, kind, time, *facts in rows_of(
        select(StoredEntry._fields, bounds.condition)
    ):
        key = keys.get(key_id)
        if key is None or sequence != number + 1 or (mac and not chain.is_same(previous_mac, mac)):
            return None
        # An entry that tells of the chain itself is for the walk: what it excuses, or asks for, lies elsewhere.
        if kind == about_chain and any(text in facts[-1] for text in ABOUT_CHAIN):
            return None
        before = before or previous_mac
        signed = chain.signed_text((previous_mac, sequence, time, attempt_id, kind), facts)
        number, mac = sequence, chain.mac_of_text(key, signed)
        if not hmac.compare_digest(mac.encode(), own_mac.encode()):
            return None
        hashes.append(leaf_hash(chain.leaf(signed, key_id, mac)))
        if number in kept:
            macs[number] = mac
    if number != bounds.last:
        return None
    return Stretch(bounds.first, before, number, mac, macs, Leaves.of(bounds.first - 1, hashes))
