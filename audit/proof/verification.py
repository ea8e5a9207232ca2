"""Whether the audit is what was written. What is checked, and where its rules are:

1. Every entry follows from the one before it, up to the signed head, seals and anchors included: walk.
2. What was drawn from the entries, the attempts' rows and the customer index, says what they say: projection.
3. The database refuses to change or delete an entry: append_only.
4. The seals of each key are complete: seals. Archived entries count like those in the database: archives.
5. Lists and sums leave none of the rows out: lists.

Nothing here can tell of a change by somebody who has the key and also changes every seal and every anchor that was
kept elsewhere. Without the key, all that is left is to put the whole database back to an earlier state, which any
later seal or anchor gives away.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from django.db import connections

from audit import chain
from audit.models import AuditEntry, ChainHead
from audit.proof import append_only, lost_keys
from audit.proof.archives import ArchiveError, ByAttempt, all_entries, find_archives, unknown_archives
from audit.proof.findings import Finding, Verification
from audit.proof.lists import list_findings
from audit.proof.projection import ProjectionCheck
from audit.proof.seals import Seal, SealFile, read_all, unknown_files
from audit.proof.stored import StoredEntry
from audit.proof.stretches import Stretch, stored_stretches
from audit.proof.walk import Point, Walk, head_findings
from tmsdash.cores import Workers
from tmsdash.db.transactions import read_transaction

Entries = Iterator[StoredEntry | Stretch]
Step = Callable[[int], object]  # called with the number of rows that were looked at since the last call


def verify(
    anchors: Iterable[Point] = (), on_step: Step = lambda rows: None, archive_folder: Path | None = None
) -> Verification:
    """Look at the whole audit as it is at one moment, archives first; the site may serve meanwhile.

    Archives are looked for in `archive_folder`, or in AUDIT_SEAL_DIR. Raises DatabaseError if the audit cannot be
    read, OSError if the seals cannot, and WorkerLostError.
    """
    # Seals before the snapshot of the database: one that is written later names an entry that the snapshot lacks.
    seal_files, anchors = read_all(), list(anchors)
    sealed = _points_of(seal_files)
    verification = Verification(seals=len(sealed), anchors=len(anchors))
    with Workers() as workers, ByAttempt() as archived, read_transaction(chain.DATABASE):
        head = ChainHead.objects.first()
        # Archives after it: what is archived meanwhile is still in the snapshot, and `archived_entries` leaves it out.
        verification.lost_keys = lost_keys.acknowledged(archive_folder)
        archives = find_archives(archive_folder, {lost.key_id for lost in verification.lost_keys})
        verification.archives = len(archives)
        walk = Walk([*sealed, *anchors], lost=verification.lost_keys)
        entries = all_entries(archives, stored_stretches(workers, walk.asked), archived.keep)
        verification.add(_until_damage(walk.findings(_counted(entries, on_step))))
        verification.add(head_findings(head, walk))
        verification.entries, verification.last = walk.entries, chain.anchor(walk.sequence, walk.mac)
        verification.superseded, verification.unchecked = walk.superseded, walk.unchecked
        # After the walk, which has put the archived entries aside.
        projection = ProjectionCheck(on_step, archived.finish() if archives else "")
        verification.add(Finding(where, problem) for where, problem in projection.problems(workers))
        verification.attempts = projection.attempts
        verification.add(list_findings(head))
        verification.add(Finding("triggers", text) for text in append_only.problems(connections[chain.DATABASE]))
    verification.add(Finding("seals", problem) for file in seal_files for problem in file.problems)
    # Other installations may use the same folder, so a file under a key that nobody here knows is named, no more.
    looked_at = {archive.path for archive in archives}
    unknown = [*unknown_files(), *(path for path in unknown_archives(archive_folder) if path not in looked_at)]
    verification.not_looked_at = [path.name for path in unknown]
    return verification


def verify_since(seal: Seal | None) -> tuple[ChainHead | None, list[Finding]]:
    """Look at the entries behind a seal; return the head as it is then, and what is wrong.

    Without a seal, or if the chain does not pass through it, all entries are looked at, archives first.
    """
    with Workers() as workers, read_transaction(chain.DATABASE):
        head, lost = ChainHead.objects.first(), lost_keys.acknowledged()
        if seal and (seal.sequence == 0 or AuditEntry.objects.filter(sequence=seal.sequence, mac=seal.mac).exists()):
            walk = Walk([], seal.sequence, seal.mac, lost)
            entries: Entries = stored_stretches(workers, walk.asked, after=seal.sequence)
        else:
            walk = Walk(_points_of(read_all()), lost=lost)
            archives = find_archives(None, {key.key_id for key in lost})
            entries = all_entries(archives, stored_stretches(workers, walk.asked))
        findings = [*_until_damage(walk.findings(entries)), *head_findings(head, walk)]
        # Also before the seal: an earlier version of this product sealed such a chain.
        passed_over = lost_keys.passed_over_problems(lost)
        findings += [Finding(f"entry {number}", problem) for number, problem in passed_over]
        return head, findings


def _points_of(seal_files: list[SealFile]) -> list[Point]:
    return [Point(seal.sequence, seal.mac, seal.name, seal) for file in seal_files for seal in file.seals]


def _until_damage(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings; the last one may be that an archive cannot be read."""
    try:
        yield from findings
    except ArchiveError as error:
        yield Finding("archive", str(error))


def _counted(entries: Entries, on_step: Step) -> Entries:
    for entry in entries:
        on_step(entry.entries if isinstance(entry, Stretch) else 1)
        yield entry
