"""Whether the audit is what was written. What is checked, and where its rules are:

1. Every entry follows from the one before it, up to the signed head, seals and anchors included: walk.
2. What was drawn from the entries, the attempts' rows and the customer index, says what they say: projection.
3. The database refuses to change or delete an entry: append_only. Its tables, indexes and whatever acts on its own are
   what the migrations made: tmsdash.db.schema.
4. The seals of each key are complete: seals, noted_seals. What signed checkpoints say is so, also those that witnesses
   keep: claims, roots. Archived entries count like those in the database: archives.
   A file in AUDIT_SEAL_DIR that seems to be one of them, and is not, is named.
5. Lists and sums leave none of the rows out: lists.

docs/audit.md says what nobody can tell from here: above all a history that was written anew with both keys, or put back
together with its seals. What is kept elsewhere, with a witness or as an anchor, gives that away.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from django.db import Error as AnyDatabaseError
from django.db import connections

from audit import chain
from audit.models import AuditEntry, ChainHead, CheckpointTimestamp
from audit.proof import append_only, lost_keys
from audit.proof.archives import Archive, ArchiveError, ByAttempt, all_entries, find_archives, strays, unknown_archives
from audit.proof.claims import Claim, Claims
from audit.proof.findings import AUDIT, Finding, Verification
from audit.proof.heads import stored_head
from audit.proof.lists import list_findings
from audit.proof.noted_seals import NotedSeals, noted_in_database
from audit.proof.projection import NOT_UNDERSTOOD, ProjectionCheck
from audit.proof.roots import Roots
from audit.proof.seals import Seal, SealFile, read_all, unknown_files
from audit.proof.stored import StoredEntry
from audit.proof.stretches import Stretch, stored_stretches
from audit.proof.walk import Point, Walk, head_findings
from audit.transparency import timestamps
from tmsdash.cores import Workers
from tmsdash.db.damage import NOT_UTF8, damage
from tmsdash.db.migration import MIGRATE_FIRST, are_migrations_due
from tmsdash.db.schema import index_problems, schema_problems
from tmsdash.db.transactions import read_transaction

Entry = StoredEntry | Stretch
Entries = Iterator[Entry]
Result = TypeVar("Result")
Step = Callable[[int], object]  # called with the number of rows that were looked at since the last call


def verify(
    anchors: Iterable[Point] = (),
    on_step: Step = lambda rows: None,
    archive_folder: Path | None = None,
    witnesses: Iterable[Claim] = (),
) -> Verification:
    """Look at the whole audit as it is at one moment, archives first; the site may serve meanwhile.

    It is compared with anchors and with the checkpoints of witnesses, too. Archives are looked for in `archive_folder`,
    or in AUDIT_SEAL_DIR. Raises DatabaseError if the audit cannot be read, OSError if the seals cannot, and
    WorkerLostError.
    """
    # Seals before the snapshot of the database: one that is written later names an entry that the snapshot lacks.
    seal_files, anchors, witnesses = read_all(), list(anchors), list(witnesses)

    def look() -> Verification:
        return _look(seal_files, anchors, on_step, archive_folder, witnesses)

    try:
        return _with_any_text(look)
    except AnyDatabaseError as error:
        problem = damage(chain.DATABASE, error)
        if not problem:
            raise
        verification = Verification(seals=len(_points_of(seal_files)), anchors=len(anchors))
        verification.add([Finding(AUDIT, problem)])
        with suppress(AnyDatabaseError):  # it is as damaged as before
            verification.add(_schema_findings())
        verification.add(_file_findings(seal_files, archive_folder))
        return verification


def _look(
    seal_files: list[SealFile],
    anchors: list[Point],
    on_step: Step,
    archive_folder: Path | None,
    witnesses: list[Claim],
) -> Verification:
    sealed, damaged, noted = _points_of(seal_files), Damaged(), NotedSeals()
    verification = Verification(seals=len(sealed), anchors=len(anchors))
    with Workers() as workers, ByAttempt() as archived, read_transaction(chain.DATABASE):
        head = stored_head()
        # Archives after it: what is archived meanwhile is still in the snapshot, and `archived_entries` leaves it out.
        verification.lost_keys = lost_keys.acknowledged(archive_folder)
        archives = find_archives(archive_folder, {lost.key_id for lost in verification.lost_keys})
        verification.archives = len(archives)
        walk = Walk([*sealed, *anchors], lost=verification.lost_keys)
        claims = Claims.gathered(seal_files, witnesses)
        roots = Roots(claims.sizes, claims.tiles_size)

        def keep(entry: StoredEntry) -> None:
            archived.keep(entry)
            noted.take(entry)

        entries = all_entries(archives, stored_stretches(workers, walk.asked), keep, damaged.append)
        verification.add(damaged.among(walk.findings(_kept(_counted(entries, on_step), roots.keep))))
        verification.add(head_findings(head, walk))
        for entry in noted_in_database():
            noted.take(entry)
        verification.add(claims.findings(walk, roots, noted))
        verification.checkpoints = claims.count(of_witnesses=False)
        verification.witnesses = claims.count(of_witnesses=True)
        verification.entries, verification.last = walk.entries, chain.anchor(walk.sequence, walk.mac)
        verification.superseded, verification.unchecked = walk.superseded, walk.unchecked
        # After the walk, which has put the archived entries aside.
        projection = ProjectionCheck(on_step, archived.finish() if archives else "")
        verification.add(_projection_findings(projection, workers))
        verification.attempts = projection.attempts
        verification.add(list_findings(walk.sequence))
        verification.add(_timestamp_findings(verification.not_looked_at))
        verification.add(Finding("triggers", text) for text in append_only.problems(connections[chain.DATABASE]))
        verification.add(Finding("indexes", problem) for problem in index_problems(chain.DATABASE))
    verification.add(_schema_findings())  # outside the transaction, which only reads
    _look_at_files(verification, seal_files, noted, archives, archive_folder)
    return verification


def _look_at_files(
    verification: Verification,
    seal_files: list[SealFile],
    noted: NotedSeals,
    archives: Iterable[Archive],
    archive_folder: Path | None,
) -> None:
    """Add what is wrong with the files of seals and archives, once it is known what the chain notes of them."""
    verification.add(_file_findings(seal_files, archive_folder))
    # Those that were written since the files were read may be noted, too.
    verification.add(noted.findings(read_all()) if any(noted.findings(seal_files)) else ())
    verification.lost_seals = noted.losses
    # Other installations may use the same folder, so a file under a key that nobody here knows is named, no more.
    looked_at = {archive.path for archive in archives}
    unknown = [*unknown_files(), *(path for path in unknown_archives(archive_folder) if path not in looked_at)]
    verification.not_looked_at += [path.name for path in unknown]


def _schema_findings() -> list[Finding]:
    """Return what is missing, altered or foreign among the tables, indexes and programs of the audit's database."""
    problems = schema_problems(chain.DATABASE, append_only.PROGRAMS)
    # Or else whatever a migration would add is said to be missing, and nothing what to do.
    due = [MIGRATE_FIRST.strip()] if problems and are_migrations_due() else []
    return [Finding("schema", problem) for problem in (*due, *problems)]


def verify_since(
    seal: Seal | None, keep: Callable[[Entry], object] = lambda entry: None, archive_folder: Path | None = None
) -> tuple[ChainHead | None, list[Finding]]:
    """Look at the entries behind a seal; return the head as it is then, and what is wrong.

    Without a seal, or if the chain does not pass through it, all entries are looked at, archives first. `keep` gets
    what was looked at.
    """
    damaged = Damaged()
    with Workers() as workers, read_transaction(chain.DATABASE):
        head, lost = stored_head(), lost_keys.acknowledged(archive_folder)
        if seal and passes_through(seal):
            walk = Walk([], seal.sequence, seal.mac, lost)
            entries: Entries = stored_stretches(workers, walk.asked, after=seal.sequence)
        else:
            walk = Walk(_points_of(read_all()), lost=lost)
            archives = find_archives(archive_folder, {key.key_id for key in lost})
            entries = all_entries(archives, stored_stretches(workers, walk.asked), on_damage=damaged.append)
        findings = [*damaged.among(walk.findings(_kept(entries, keep))), *head_findings(head, walk)]
        # Also before the seal: an earlier version of this product sealed such a chain.
        passed_over = lost_keys.passed_over_problems(lost)
        findings += [Finding(f"entry {number}", problem) for number, problem in passed_over]
        noted = NotedSeals()
        for entry in noted_in_database(only_newest=True):
            noted.take(entry)
        return head, [*findings, *noted.findings(read_all())]


def passes_through(seal: Seal) -> bool:
    """Tell whether the chain in the database goes on from the entry that a seal names."""
    return seal.sequence == 0 or AuditEntry.objects.filter(sequence=seal.sequence, mac=seal.mac).exists()


def _points_of(seal_files: list[SealFile]) -> list[Point]:
    return [Point(seal.sequence, seal.mac, seal.name, seal) for file in seal_files for seal in file.seals]


class Damaged(list[ArchiveError]):
    """What is wrong with archives, as it is found on the way through the entries."""

    def among(self, findings: Iterator[Finding]) -> Iterator[Finding]:
        """Yield findings about entries, and before each what is wrong with the archives up to there."""
        for finding in findings:
            yield from self._taken_out()
            yield finding
        yield from self._taken_out()

    def _taken_out(self) -> Iterator[Finding]:
        while self:
            yield Finding("archive", str(self.pop(0)))


def _projection_findings(projection: ProjectionCheck, workers: Workers) -> Iterator[Finding]:
    try:
        yield from (Finding(where, problem) for where, problem in projection.problems(workers))
    except NOT_UNDERSTOOD:  # in a place where one row cannot be told from the next
        yield Finding("attempts", "What is stored of them cannot be understood, so not all of them were looked at.")


def _timestamp_findings(not_looked_at: list[str]) -> Iterator[Finding]:
    """Yield what is wrong with time-stamps of checkpoints, or name them as not looked at where that is not possible."""
    if timestamps.can_be_checked():
        yield from (Finding(f"checkpoint {size}", problem) for size, problem in timestamps.problems())
    elif CheckpointTimestamp.objects.exists():
        not_looked_at.append("time-stamps of checkpoints (set AUDIT_TIMESTAMP_CA, and install what they need)")


def _file_findings(seal_files: list[SealFile], archive_folder: Path | None) -> Iterator[Finding]:
    """Yield what is wrong with files, apart from what they say about the chain."""
    yield from (Finding("seals", problem) for file in seal_files for problem in file.problems)
    for path in strays(archive_folder):
        problem = f"{path.name} is called like an archive, but no archive has such a name, so nothing reads it."
        yield Finding("archive", f"{problem} If it is a copy of one, keep it in another folder.")


def _with_any_text(look: Callable[[], Result]) -> Result:
    """Return what `look` does, which reads the audit; if need be once more, taking what is no UTF-8 for text, too.

    Only past the product can somebody store such text in SQLite, and its module refuses to read it.
    """
    try:
        return look()
    except AnyDatabaseError as error:
        if NOT_UTF8 not in str(error):
            raise
    connection = connections[chain.DATABASE]
    connection.ensure_connection()
    usual = connection.connection.text_factory
    connection.connection.text_factory = _any_text
    try:
        return look()
    finally:
        if connection.connection is not None:
            connection.connection.text_factory = usual


def _any_text(stored: bytes) -> str:
    return stored.decode(errors="surrogateescape")


def _kept(entries: Entries, keep: Callable[[Entry], object]) -> Entries:
    for entry in entries:
        yield entry
        keep(entry)  # once the walk has said what is wrong with it


def _counted(entries: Entries, on_step: Step) -> Entries:
    for entry in entries:
        on_step(entry.entries if isinstance(entry, Stretch) else 1)
        yield entry
