"""Whether the audit is what was written: its chain, its end, its triggers, and what was drawn from its entries.

What cannot be found here: a change by somebody who has the key, and who also changes every seal and every anchor
that was kept outside. Without the key, a change needs the whole database put back to an earlier state, which
any later seal or anchor tells.
"""

import hmac
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.db import connections

from audit import append_only, chain
from audit.archives import Archive, ArchiveError, ByAttempt, archived_entries, find_archives
from audit.models import GENESIS, AuditEntry, ChainHead, Kind
from audit.projection_check import ProjectionCheck
from audit.seals import Seal, SealFile, read_all
from audit.stored import StoredEntry, rows_of, stored_entries
from tmsdash.databases import read_transaction

FINDINGS_KEPT = 50
STEP = 1000
RESTORED = '"change":"restored"'  # in the body of what `restore` notes

Step = Callable[[int], None]  # called with the number of rows that were looked at since


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written: where, and a sentence on what."""

    where: str
    problem: str


@dataclass(frozen=True)
class Point:
    """What is known from outside of an entry: its mac, or its first digits, and who says so."""

    sequence: int
    mac: str
    source: str
    seal: Seal | None = None
    """Where a seal says so."""


@dataclass
class Verification:
    """What was looked at, and what was found; of many findings only the first are kept."""

    entries: int = 0
    attempts: int = 0
    archives: int = 0
    seals: int = 0
    superseded: int = 0  # seals of what a restored backup replaced
    anchors: int = 0
    last: str = ""  # the anchor of the last entry
    finding_count: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.finding_count

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.finding_count += 1
            if len(self.findings) < FINDINGS_KEPT:
                self.findings.append(finding)


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
        walk, archives, archived = Walk([*sealed, *anchors]), find_archives(archive_folder), ByAttempt()
        found.archives = len(archives)
        entries = _all_entries(archives, archived)
        found.add(_until_damage(walk.findings(counted(entries, on_step))))
        found.add(_of_head(head, walk))
        found.entries, found.last = walk.entries, chain.anchor(walk.sequence, walk.mac)
        found.superseded = walk.superseded
        check = ProjectionCheck(on_step, archived)
        found.add(Finding(where, problem) for where, problem in check.problems())
        found.attempts = check.attempts
        found.add(Finding("triggers", text) for text in append_only.problems(connections[chain.DATABASE]))
    found.add(Finding("seals", problem) for file in seal_files for problem in file.problems)
    return found


def _points_of(seal_files: list[SealFile]) -> list[Point]:
    return [Point(seal.sequence, seal.mac, seal.name, seal) for file in seal_files for seal in file.seals]


def _all_entries(archives: list[Archive], archived: ByAttempt) -> Iterator[StoredEntry]:
    """Yield the entries of archives and database in their order; those of archives are put aside, too."""
    [(first,)] = rows_of("SELECT min(sequence) FROM audit_auditentry")
    for entry in archived_entries(archives, first or sys.maxsize):
        archived.keep(entry)
        yield entry
    yield from stored_entries()


def _until_damage(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings, the last of which is an archive that cannot be read."""
    try:
        yield from findings
    except ArchiveError as error:
        yield Finding("archive", str(error))


class Walk:
    """Goes along the chain entry by entry; afterwards it knows where the chain ends."""

    def __init__(self, points: Iterable[Point] = (), sequence: int = 0, mac: str = GENESIS) -> None:
        """Begin behind the entry with this number and mac."""
        self.sequence, self.mac, self.entries = sequence, mac, 0
        self.superseded = 0
        self._restored: dict[str, int] = {}  # the last seal of each key that there was when a backup was restored
        self._keys = chain.known_keys()
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
                self._note_restore(entry)
            self.sequence, self.mac = entry.sequence, entry.mac
            yield from self._at_point()
        for sequence in sorted(self._points):  # those that were met are gone
            for point in self._points[sequence]:
                if not self._is_superseded(point):
                    yield Finding(
                        f"entry {sequence}",
                        f"{point.source} names it, and it is not there: the chain ends with entry {self.sequence}.",
                    )

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
            if entry.key_id not in self._unknown_keys:
                self._unknown_keys.add(entry.key_id)
                yield Finding(
                    where,
                    f"It, and maybe others, is signed with the key {entry.key_id}, which is neither AUDIT_KEY nor in "
                    "AUDIT_OLD_KEYS, so that it cannot be checked.",
                )
        elif not hmac.compare_digest(chain.mac_of_stored(key, entry.place, entry.facts).encode(), entry.mac.encode()):
            yield Finding(where, "It was changed: its mac does not fit what it says.")

    def _at_point(self) -> Iterator[Finding]:
        """Compare the entry that was reached with what seals and anchors say of it."""
        for point in self._points.pop(self.sequence, ()):
            if not self.mac.startswith(point.mac) and not self._is_superseded(point):
                yield Finding(f"entry {self.sequence}", f"{point.source} names another entry with this number.")

    def _note_restore(self, entry: StoredEntry) -> None:
        """Remember, from the signed entry of a restored backup, which seals there were of what it replaced."""
        if entry.kind == Kind.SETTING_CHANGED and RESTORED in entry.body:
            self._restored |= json.loads(entry.body).get("seals", {})

    def _is_superseded(self, point: Point) -> bool:
        """Tell whether a point is a seal of what a restored backup replaced; it cannot fit what came after."""
        is_old = point.seal is not None and point.seal.number <= self._restored.get(point.seal.key_id, 0)
        self.superseded += is_old
        return is_old


def _of_head(head: ChainHead | None, walk: Walk) -> Iterator[Finding]:
    if head is None:
        yield Finding("head", "The head of the chain is missing, so that nobody can tell where the chain ends.")
        return
    key = chain.known_keys().get(head.key_id)
    if key is None:
        yield Finding("head", f"It is signed with the key {head.key_id}, which is not known.")
    elif not hmac.compare_digest(chain.sign_head(key, head.sequence, head.mac).encode(), head.signature.encode()):
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
        head = ChainHead.objects.first()
        if seal and (seal.sequence == 0 or AuditEntry.objects.filter(sequence=seal.sequence, mac=seal.mac).exists()):
            walk = Walk([], seal.sequence, seal.mac)
            entries = stored_entries(f"sequence > {seal.sequence:d}")
        else:
            walk = Walk(_points_of(read_all()))
            entries = _all_entries(find_archives(), ByAttempt())
        return head, [*_until_damage(walk.findings(entries)), *_of_head(head, walk)]


def counted(entries: Iterable[StoredEntry], on_step: Step) -> Iterator[StoredEntry]:
    """Yield `entries`, and tell now and then how many went by."""
    number = 0
    for number, entry in enumerate(entries, start=1):
        yield entry
        if number % STEP == 0:
            on_step(STEP)
    on_step(number % STEP)
