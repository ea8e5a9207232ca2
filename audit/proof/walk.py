"""The walk along the chain, entry by entry: where its rules are checked.

1. Numbers have no gap: entry n follows entry n - 1.
2. An entry holds the mac of the one before it, so that none can be exchanged, left out or put in.
3. An entry's own mac matches what it says, under a key that is known.
4. Entries under a lost key cannot be checked. They are excused up to the last one that its acknowledgement names, as
   long as all of them together are what its digest says (see lost_keys).
5. A seal or an anchor names the entry of its number. One beyond the end says that the end was cut off; unless a
   restored backup replaced the history that the seal is of, which an entry of the chain must say.
6. The head of the chain names the last entry, and is signed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from audit import chain
from audit.choices import Kind
from audit.models import GENESIS, ChainHead
from audit.proof import heads, lost_keys
from audit.proof.findings import Finding
from audit.proof.lost_keys import EntriesDigest, LostKey
from audit.proof.seals import Seal
from audit.proof.stored import StoredEntry
from audit.proof.stretches import LOST_SEALS, RESTORED, Stretch
from tmsdash.text import one_line


@dataclass(frozen=True)
class Point:
    """What a seal or an anchor knows about an entry: its number, and its mac or the first digits of it."""

    sequence: int
    mac: str
    source: str
    """The seal or the anchor, as a person calls it."""
    seal: Seal | None = None

    def contradiction(self, problem: str) -> Finding:
        """Return the finding that the chain does not match this point."""
        return Finding(f"entry {self.sequence}", f"{self.source} {problem}", is_anchor=self.seal is None)


class Walk:
    """Goes along the chain; `sequence` and `mac` are those of the last entry that it reached."""

    def __init__(
        self, points: Iterable[Point] = (), sequence: int = 0, mac: str = GENESIS, lost: Iterable[LostKey] = ()
    ) -> None:
        """Begin behind the entry with this number and mac; `lost` are the keys that are acknowledged as lost."""
        self.sequence, self.mac, self.entries = sequence, mac, 0
        self.superseded = self.unchecked = 0
        self._keys = chain.known_keys()
        self._excused = lost_keys.excused_numbers(lost)
        self._lost: defaultdict[int, list[LostKey]] = defaultdict(list)  # by the last entry that the key signed
        for key in lost:
            # A digest says less than macs do, so it is of no use once the key was found again. And it covers all that
            # the key signed, so a walk that begins in the middle could never match it.
            if key.key_id not in self._keys and sequence < max(key.first, 1):
                self._lost[key.last].append(key)
        self._digests: defaultdict[str, EntriesDigest] = defaultdict(EntriesDigest)  # of unknown keys, by their id
        self._unknown_keys: set[str] = set()  # that were named already
        self._restored_at = 0  # the entry that notes a restored backup, 0 if there is none
        self._replaced: dict[str, int] = {}  # the number of the last seal of each key before that
        self._points: defaultdict[int, list[Point]] = defaultdict(list)
        for point in points:
            self._points[point.sequence].append(point)

    @property
    def asked(self) -> list[int]:
        """The numbers of the entries whose macs it compares with something outside the chain, sorted."""
        return sorted({*self._points, *self._lost})

    def findings(self, entries: Iterable[StoredEntry | Stretch]) -> Iterator[Finding]:
        """Yield what is wrong, in the order of the entries. Stretches have to know the macs that are `asked`."""
        # A chain is sealed from its beginning, when it has no entry yet: entry 0 is never met below.
        yield from self._point_findings()
        for entry in entries:
            where = f"entry {entry.sequence}"
            # Behind a gap the mac before cannot match, and the gap is what is wrong: one finding, not two.
            if entry.sequence != self.sequence + 1:
                yield Finding(where, f"It follows entry {self.sequence}: {self._gap(entry.sequence)}.")
            elif not chain.is_same(entry.previous_mac, self.mac):
                yield Finding(where, "The entry before it is not the one that was there when it was written.")
            yield from self._along(entry) if isinstance(entry, Stretch) else self._onto(entry, where)
        # Points are taken out as they are reached, so those that are left lie beyond the end.
        for sequence in sorted(self._points):
            for point in self._points[sequence]:
                if not self._is_superseded(point):
                    problem = f"names it, but it is not there: the chain ends with entry {self.sequence}."
                    yield point.contradiction(self.with_restore(problem))

    def _onto(self, entry: StoredEntry, where: str) -> Iterator[Finding]:
        self.entries += 1
        changed = list(self._mac_findings(entry, where))
        yield from changed
        # The walk itself believes an entry only once its mac was checked. Otherwise anybody could write one that tells
        # of a restored backup, and so declare the seals void that tell of the tampering.
        if not changed:
            yield from self._turning_points(entry, where)
        # It goes on from what is there, right or wrong: one changed entry must not condemn all behind it.
        self.sequence, self.mac = entry.sequence, entry.mac
        # Last, because a restored backup that this very entry notes excuses seals of its number.
        yield from self._point_findings()

    def _along(self, stretch: Stretch) -> Iterator[Finding]:
        self.entries += stretch.entries
        for self.sequence, self.mac in [*stretch.asked.items(), (stretch.last, stretch.mac)]:
            yield from self._point_findings()

    def _gap(self, sequence: int) -> str:
        first, last = self.sequence + 1, sequence - 1
        if last < first:
            return "two entries changed places, or one is there twice"
        missing = f"entry {first} is missing" if first == last else f"the entries {first} to {last} are missing"
        return missing if self.sequence else f"{missing}, and not in the archives either"

    def _mac_findings(self, entry: StoredEntry, where: str) -> Iterator[Finding]:
        is_signed = entry.is_signed(self._keys)
        if is_signed is None:
            self._digests[entry.key_id].add(entry)
            if entry.sequence <= self._excused.get(entry.key_id, 0):
                self.unchecked += 1
            elif entry.key_id not in self._unknown_keys:  # once a key: it may have signed a million
                self._unknown_keys.add(entry.key_id)
                yield Finding(where, lost_keys.cannot_be_checked(entry.key_id))
        elif not is_signed:
            yield Finding(where, "It was changed: its mac does not match what it says.")

    def _turning_points(self, entry: StoredEntry, where: str) -> Iterator[Finding]:
        """Take in what an entry says about the chain itself: a restored backup, or a key that was passed over."""
        if entry.kind != Kind.SETTING_CHANGED or entry.key_id not in self._keys:
            return  # an excused entry is not proven, so it excuses nothing in its turn
        if RESTORED in entry.body:
            self._replaced = _numbers(entry.facts.get("seals"))
            self._restored_at = self._restored_at or entry.sequence
        elif LOST_SEALS in entry.body:  # the seals of a new file are numbered from 1 again
            self._replaced.pop(str(entry.facts.get("key_id")), None)
        key_id = lost_keys.passed_over(entry)
        if key_id and self._excused.get(key_id, -1) < entry.sequence - 1:
            yield Finding(where, lost_keys.was_passed_over(key_id))

    def _point_findings(self) -> Iterator[Finding]:
        """Compare the entry that was reached with what seals, anchors and acknowledged losses say about it."""
        for point in self._points.pop(self.sequence, ()):
            if not self.mac.startswith(point.mac) and not self._is_superseded(point):
                yield point.contradiction(self.with_restore("names another entry with this number."))
        for lost in self._lost.pop(self.sequence, ()):
            digest = self._digests[lost.key_id]
            if digest.count != lost.entries or not chain.is_same(str(digest), lost.digest):
                yield Finding(
                    f"entry {digest.first or lost.first}",
                    f"It, or another one up to entry {lost.last} that the lost key {lost.key_id} signed, was changed "
                    f"after entry {lost.noted} acknowledged the loss.",
                )

    def with_restore(self, problem: str, what: str = "anchors from before that") -> str:
        """Add to a sentence that a backup was restored, if one was."""
        if not self._restored_at:
            return problem
        return f"{problem} Entry {self._restored_at} notes a restored backup: {what} cannot match."

    def is_replaced(self, seal: Seal) -> bool:
        """Tell whether a seal is of a history that a restored backup replaced."""
        return seal.number <= self._replaced.get(seal.key_id, 0)

    def _is_superseded(self, point: Point) -> bool:
        """Tell whether a point is a seal that is of no account any more.

        Anchors have no number that would tell when they were made, so they are never superseded.
        """
        is_old = point.seal is not None and self.is_replaced(point.seal)
        self.superseded += is_old
        return is_old


def _numbers(by_key: object) -> dict[str, int]:
    """Return the numbers of seals that an entry holds by their keys, leaving out what is none."""
    stored = by_key if isinstance(by_key, dict) else {}
    return {key_id: number for key_id, number in stored.items() if type(number) is int}


def head_findings(head: ChainHead | None, walk: Walk) -> Iterator[Finding]:
    """Yield what is wrong with the head of the chain, beside where a walk along all of it ended."""
    if heads.are_others():
        yield Finding("head", "There is another head beside it, which the product did not write.")
    if head is None:
        yield Finding("head", "The head of the chain is missing, so nobody can tell where the chain ends.")
        return
    is_signed = chain.is_signed(head.sequence, head.mac, head.key_id, head.signature)
    if is_signed is None:
        yield Finding("head", f"It is signed with the key {one_line(head.key_id, 40)}, which is not known.")
    elif not is_signed:
        yield Finding("head", "It was changed: its signature does not match.")
    if head.sequence > walk.sequence:
        yield Finding(
            f"entry {walk.sequence + 1}",
            f"It is missing, and so is everything after it: the head says that the chain ends with entry "
            f"{head.sequence}.",
        )
    elif (head.sequence, head.mac) != (walk.sequence, walk.mac) and head.sequence != heads.NO_NUMBER:
        yield Finding("head", f"It names entry {head.sequence} as the last one, but the last one is {walk.sequence}.")
