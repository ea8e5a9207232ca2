"""Whether the audit is what was written: its chain, its end, its triggers, and what was drawn from its entries.

What cannot be found here: a change by somebody who has the key, and who also changes every seal and every anchor
that was kept outside. Without the key, a change needs the whole database put back to an earlier state, which
any later seal or anchor tells.
"""

import hmac
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.db import connections

from audit import chain
from audit.choices import Kind
from audit.models import GENESIS, AuditEntry, ChainHead
from audit.proof import append_only, lost_keys
from audit.proof.archives import ArchiveError, ByAttempt, all_entries, find_archives, unknown_archives
from audit.proof.lost_keys import EntriesDigest, LostKey
from audit.proof.projection import ProjectionCheck
from audit.proof.seals import Seal, SealFile, read_all, unknown_files
from audit.proof.stored import StoredEntry, stored_entries
from tmsdash.db.transactions import read_transaction
from tmsdash.text import one_line

FINDINGS_KEPT = 50
STEP = 1000
RESTORED = '"change":"restored"'  # in the body of what `restore` notes

Step = Callable[[int], None]  # called with the number of rows that were looked at since


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written: where, and a sentence on what."""

    where: str
    problem: str
    is_anchor: bool = False
    """Whether only an anchor says so, which was kept outside: the chain itself may be whole."""


@dataclass(frozen=True)
class Point:
    """What is known from outside of an entry: its mac, or its first digits, and who says so."""

    sequence: int
    mac: str
    source: str
    seal: Seal | None = None
    """Where a seal says so."""

    def unfit(self, problem: str) -> Finding:
        """Return the finding that this does not fit the entry of its number."""
        return Finding(f"entry {self.sequence}", f"{self.source} {problem}", is_anchor=self.seal is None)


@dataclass
class Verification:
    """What was looked at, and what was found; of many findings only the first are kept.

    Anchors that do not fit are kept apart: whether they or the audit were changed nobody can tell from here.
    """

    entries: int = 0
    attempts: int = 0
    archives: int = 0
    seals: int = 0
    superseded: int = 0  # seals of what a restored backup replaced
    anchors: int = 0
    last: str = ""  # the anchor of the last entry
    further: dict[str, int] = field(default_factory=dict)  # counts of what was looked at beside the audit
    finding_count: int = 0
    findings: list[Finding] = field(default_factory=list)
    unfit_count: int = 0
    unfit_anchors: list[Finding] = field(default_factory=list)
    lost_keys: list[LostKey] = field(default_factory=list)
    unchecked: int = 0  # entries that keys signed which are acknowledged as lost
    not_looked_at: list[str] = field(default_factory=list)  # files of seals and archives under keys that are not known

    @property
    def is_whole(self) -> bool:
        return self.is_chain_whole and not self.unfit_count

    @property
    def is_chain_whole(self) -> bool:
        """Whether the audit contradicts neither itself nor its seals, whatever anchors say."""
        return not self.finding_count

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            kept = self.unfit_anchors if finding.is_anchor else self.findings
            self.unfit_count += finding.is_anchor
            self.finding_count += not finding.is_anchor
            if len(kept) < FINDINGS_KEPT:
                kept.append(finding)


def verify(
    anchors: Iterable[Point] = (), on_step: Step = lambda rows: None, archive_folder: Path | None = None
) -> Verification:
    """Look at the whole audit as it is at one moment, archives first; the site may serve meanwhile.

    Raises DatabaseError if it cannot be read, OSError if the seals cannot.
    """
    found = Verification()
    anchors, seal_files = list(anchors), read_all()
    sealed = _points_of(seal_files)
    found.seals, found.anchors = len(sealed), len(anchors)
    with read_transaction(chain.DATABASE):
        head = ChainHead.objects.first()
        found.lost_keys = lost_keys.acknowledged(archive_folder)
        archives = find_archives(archive_folder, {lost.key_id for lost in found.lost_keys})
        walk, archived = Walk([*sealed, *anchors], lost=found.lost_keys), ByAttempt()
        found.archives = len(archives)
        entries = all_entries(archives, archived.keep)
        found.add(_until_damage(walk.findings(counted(entries, on_step))))
        found.add(_of_head(head, walk))
        found.entries, found.last = walk.entries, chain.anchor(walk.sequence, walk.mac)
        found.superseded, found.unchecked = walk.superseded, walk.unchecked
        check = ProjectionCheck(on_step, archived)
        found.add(Finding(where, problem) for where, problem in check.problems())
        found.attempts = check.attempts
        found.add(Finding("triggers", text) for text in append_only.problems(connections[chain.DATABASE]))
    found.add(Finding("seals", problem) for file in seal_files for problem in file.problems)
    looked_at = {archive.path for archive in archives}
    unknown = [*unknown_files(), *(path for path in unknown_archives(archive_folder) if path not in looked_at)]
    found.not_looked_at = [path.name for path in unknown]
    return found


def _points_of(seal_files: list[SealFile]) -> list[Point]:
    return [Point(seal.sequence, seal.mac, seal.name, seal) for file in seal_files for seal in file.seals]


def _until_damage(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings, the last of which is an archive that cannot be read."""
    try:
        yield from findings
    except ArchiveError as error:
        yield Finding("archive", str(error))


class Walk:
    """Goes along the chain entry by entry; afterwards it knows where the chain ends."""

    def __init__(
        self, points: Iterable[Point] = (), sequence: int = 0, mac: str = GENESIS, lost: Iterable[LostKey] = ()
    ) -> None:
        """Begin behind the entry with this number and mac; `lost` are the keys that are acknowledged as lost."""
        self.sequence, self.mac, self.entries = sequence, mac, 0
        self.superseded = self.unchecked = 0
        self._restored_at = 0  # the entry that notes a restored backup
        self._keys = chain.known_keys()
        self._excused = lost_keys.excused_numbers(lost)
        self._lost: defaultdict[int, list[LostKey]] = defaultdict(list)  # by the last entry that was signed
        for key in lost:
            # Not if it was found again, so that macs prove more, nor if not all that it signed is met.
            if key.key_id not in self._keys and sequence < max(key.first, 1):
                self._lost[key.last].append(key)
        self._digests: defaultdict[str, EntriesDigest] = defaultdict(EntriesDigest)  # of what lost keys signed
        self._restored: dict[str, int] = {}  # the last seal of each key that there was when a backup was restored
        self._unknown_keys: set[str] = set()
        self._points: defaultdict[int, list[Point]] = defaultdict(list)
        for point in points:
            self._points[point.sequence].append(point)

    def findings(self, entries: Iterable[StoredEntry]) -> Iterator[Finding]:
        """Yield what is wrong, in the order of the entries."""
        yield from self._at_point()
        for entry in entries:
            self.entries += 1
            where = f"entry {entry.sequence}"
            if entry.sequence != self.sequence + 1:
                yield Finding(where, f"It follows entry {self.sequence}: {self._gap(entry.sequence)}.")
            elif entry.previous_mac != self.mac:
                yield Finding(where, "It does not follow the entry before it: that one is another than it was.")
            changed = list(self._signature(entry, where))
            yield from changed
            if not changed:
                yield from self._of_signed(entry, where)
            self.sequence, self.mac = entry.sequence, entry.mac
            yield from self._at_point()
        for sequence in sorted(self._points):  # those that were met are gone
            for point in self._points[sequence]:
                if not self._is_superseded(point):
                    problem = f"names it, and it is not there: the chain ends with entry {self.sequence}."
                    yield point.unfit(self._with_restore(problem))

    def _gap(self, sequence: int) -> str:
        first, last = self.sequence + 1, sequence - 1
        if last < first:
            return "two entries changed places, or one is there twice"
        missing, them = (f"entry {first} is missing", "it")
        if first < last:
            missing, them = f"the entries {first} to {last} are missing", "them"
        return missing if self.sequence else f"{missing}, and no archive that was given holds {them}"

    def _signature(self, entry: StoredEntry, where: str) -> Iterator[Finding]:
        key = self._keys.get(entry.key_id)
        if key is None:
            self._digests[entry.key_id].add(entry)
            if entry.sequence <= self._excused.get(entry.key_id, 0):
                self.unchecked += 1
            elif entry.key_id not in self._unknown_keys:
                self._unknown_keys.add(entry.key_id)
                yield Finding(where, lost_keys.cannot_be_checked(entry.key_id))
        elif not hmac.compare_digest(chain.mac_of_stored(key, entry.place, entry.facts).encode(), entry.mac.encode()):
            yield Finding(where, "It was changed: its mac does not fit what it says.")

    def _at_point(self) -> Iterator[Finding]:
        """Compare the entry that was reached with what seals, anchors and acknowledged losses say of it."""
        for point in self._points.pop(self.sequence, ()):
            if not self.mac.startswith(point.mac) and not self._is_superseded(point):
                yield point.unfit(self._with_restore("names another entry with this number."))
        for lost in self._lost.pop(self.sequence, ()):
            digest = self._digests[lost.key_id]
            if (digest.count, str(digest)) != (lost.entries, lost.digest):
                yield Finding(
                    f"entry {digest.first or lost.first}",
                    f"It, or another one up to entry {lost.last} that the lost key {lost.key_id} signed, was changed "
                    f"since entry {lost.noted} acknowledged the loss.",
                )

    def _of_signed(self, entry: StoredEntry, where: str) -> Iterator[Finding]:
        """Take in what an entry tells of the chain itself: a restored backup, or a key that was passed over."""
        if entry.kind != Kind.SETTING_CHANGED or entry.key_id not in self._keys:
            return
        if RESTORED in entry.body:
            # Which seals there were of what the backup replaced.
            self._restored |= json.loads(entry.body).get("seals", {})
            self._restored_at = self._restored_at or entry.sequence
        key_id = lost_keys.passed_over(entry)
        if key_id and self._excused.get(key_id, -1) < entry.sequence - 1:
            yield Finding(where, lost_keys.was_passed_over(key_id))

    def _with_restore(self, problem: str) -> str:
        """Add to a sentence that a backup was restored, if one was."""
        if not self._restored_at:
            return problem
        return f"{problem} Entry {self._restored_at} notes a restored backup; what is of the time before cannot fit."

    def _is_superseded(self, point: Point) -> bool:
        """Tell whether a point is a seal of what a restored backup replaced; it cannot fit what came after."""
        is_old = point.seal is not None and point.seal.number <= self._restored.get(point.seal.key_id, 0)
        self.superseded += is_old
        return is_old


def _of_head(head: ChainHead | None, walk: Walk) -> Iterator[Finding]:
    if head is None:
        yield Finding("head", "The head of the chain is missing, so that nobody can tell where the chain ends.")
        return
    is_signed = chain.is_signed(head.sequence, head.mac, head.key_id, head.signature)
    if is_signed is None:
        yield Finding("head", f"It is signed with the key {one_line(head.key_id, 40)}, which is not known.")
    elif not is_signed:
        yield Finding("head", "It was changed: its signature does not fit.")
    if head.sequence > walk.sequence:
        yield Finding(
            f"entry {walk.sequence + 1}",
            f"It is missing, with all after it: the head says that the chain ends with entry {head.sequence}.",
        )
    elif (head.sequence, head.mac) != (walk.sequence, walk.mac):
        yield Finding("head", f"It names entry {head.sequence} as the last one, which is entry {walk.sequence}.")


def verify_since(seal: Seal | None) -> tuple[ChainHead | None, list[Finding]]:
    """Look at the entries behind a seal; return the head as it is then, and what is wrong.

    Without a seal, or if the chain does not go through it, all entries are looked at, archives first.
    """
    with read_transaction(chain.DATABASE):
        head, lost = ChainHead.objects.first(), lost_keys.acknowledged()
        if seal and (seal.sequence == 0 or AuditEntry.objects.filter(sequence=seal.sequence, mac=seal.mac).exists()):
            walk = Walk([], seal.sequence, seal.mac, lost)
            entries = stored_entries(f"sequence > {seal.sequence:d}")
        else:
            walk = Walk(_points_of(read_all()), lost=lost)
            entries = all_entries(find_archives(None, {key.key_id for key in lost}), lambda archived: None)
        findings = [*_until_damage(walk.findings(entries)), *_of_head(head, walk)]
        # Also before the seal: an earlier version of this product sealed such a chain.
        passed_over = lost_keys.passed_over_problems(lost)
        findings += [Finding(f"entry {number}", problem) for number, problem in passed_over]
        return head, findings


def counted(entries: Iterable[StoredEntry], on_step: Step) -> Iterator[StoredEntry]:
    """Yield `entries`, and tell now and then how many went by."""
    number = 0
    for number, entry in enumerate(entries, start=1):
        yield entry
        if number % STEP == 0:
            on_step(STEP)
    on_step(number % STEP)
