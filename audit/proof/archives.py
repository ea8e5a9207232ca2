"""Archives: closed periods of the audit as sealed files, which `audit_verify` reads before the database.

A file holds a header, an entry on each line as the database stored it, and a signature over all of it. The entries
still prove themselves, because the chain goes through the files and on in the database. The attempts' rows and the
customer index stay in the database, so that everything is still found; their events and bodies are in the file.
"""

import gzip
import hashlib
import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections

from audit import chain
from audit.actors import Actor
from audit.choices import Kind
from audit.digests import canonical
from audit.models import Attempt, AuditEntry
from audit.proof import append_only
from audit.proof.stored import StoredEntry, rows_of, stored_entries
from tmsdash.db.transactions import BUSY_TIMEOUT_S, read_transaction, write_transaction

FORMAT = 1
NAME = "audit-{key_id}-{first:012}-{last:012}.jsonl.gz"
PATTERN = "audit-*.jsonl.gz"
NAMED = re.compile(r"audit-([0-9a-f]{16})-([0-9]{12,18})-([0-9]{12,18})\.jsonl\.gz")


class ArchiveError(Exception):
    """A period cannot be archived, or an archive cannot be read. The text says why, as a sentence."""


@dataclass(frozen=True)
class Archive:
    """A file that holds the entries from `first` to `last`."""

    path: Path
    first: int
    last: int
    is_signature_lost: bool = False
    """Whether nobody can check its signature any more; see audit.proof.lost_keys for what is checked in its place."""

    def entries(self) -> Iterator[StoredEntry]:
        """Yield the entries; raises ArchiveError, after the last one, unless the file is as it was written."""
        digest = hashlib.sha256()
        with self._lines() as lines:
            header = next(lines, "")
            digest.update(header.encode())
            number = self.first
            for number in range(self.first, self.last + 1):
                line = next(lines, "")
                digest.update(line.encode())
                yield self._entry(line, number)
            signature = next(lines, "").strip()
        if self.is_signature_lost:
            return
        key = chain.known_keys().get(str(json.loads(header).get("key_id")))
        if key is None or chain.sign(key, "archive", digest.hexdigest()) != signature:
            raise ArchiveError(f"{self.path.name} was changed: its signature does not fit.")

    def entries_with(self, text: str) -> Iterator[StoredEntry]:
        """Yield the entries whose line holds a text, as far as the file can be read: `entries` tells what is wrong."""
        with suppress(ArchiveError), self._lines() as lines:
            for number, line in enumerate(lines, start=self.first - 1):  # the first line is the header
                if text in line and self.first <= number <= self.last:
                    yield self._entry(line, number)

    def _entry(self, line: str, number: int) -> StoredEntry:
        try:
            return StoredEntry(*json.loads(line))
        except (ValueError, TypeError):
            raise ArchiveError(f"{self.path.name} is damaged at entry {number}.") from None

    def _lines(self) -> Any:
        return closing(_guarded(self.path))


def _guarded(path: Path) -> Iterator[str]:
    """Yield the lines of a compressed file; raises ArchiveError if it cannot be read."""
    try:
        with gzip.open(path, "rt", encoding="ascii", newline="\n") as file:
            yield from file
    except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:
        raise ArchiveError(f"{path.name} cannot be read: {error}.") from None


def find_archives(folder: Path | None = None, lost_keys: Collection[str] = ()) -> list[Archive]:
    """Return the archives in a folder, AUDIT_SEAL_DIR unless another is named, in their order.

    Those are left out whose key is neither known nor among the ids of `lost_keys`: other installations may use the
    same folder.
    """
    found = []
    for path, key_id, first, last in _named_as_archives(folder):
        if key_id in chain.known_keys() or key_id in lost_keys:
            found.append(Archive(path, first, last, is_signature_lost=key_id not in chain.known_keys()))
    return sorted(found, key=lambda archive: (archive.first, archive.last))


def unknown_archives(folder: Path | None = None) -> list[Path]:
    """Return the archives in a folder whose key is not known."""
    return sorted(path for path, key_id, *_ in _named_as_archives(folder) if key_id not in chain.known_keys())


def _named_as_archives(folder: Path | None) -> Iterator[tuple[Path, str, int, int]]:
    """Yield each file of a folder that is called as an archive, with the key id and the numbers in its name."""
    for path in Path(folder or settings.AUDIT_SEAL_DIR).glob(PATTERN):
        match = NAMED.fullmatch(path.name)
        if match:
            yield path, match[1], int(match[2]), int(match[3])


def all_entries(archives: Iterable[Archive], keep: Callable[[StoredEntry], None]) -> Iterator[StoredEntry]:
    """Yield the entries of archives and database in their order, those of archives after a call of `keep`."""
    [(first,)] = rows_of("SELECT min(sequence) FROM audit_auditentry")
    for entry in archived_entries(archives, first or sys.maxsize):
        keep(entry)
        yield entry
    yield from stored_entries()


def archived_entries(archives: Iterable[Archive], before: int) -> Iterator[StoredEntry]:
    """Yield the entries that archives hold with numbers below `before`, in order; raises ArchiveError."""
    reached = 0
    for archive in archives:
        for entry in archive.entries():
            # An archive that was written, and whose entries then stayed in the database, is looked at, too.
            if reached < entry.sequence < before:
                reached = entry.sequence
                yield entry


class ByAttempt:
    """Archived entries that belong to attempts, put in the order of these on disk."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a private temporary file
        self._database.execute("CREATE TABLE entry (attempt_id TEXT, sequence INTEGER, line TEXT)")

    def keep(self, entry: StoredEntry) -> None:
        """Put an entry aside."""
        if entry.attempt_id:
            row = (entry.attempt_id, entry.sequence, json.dumps(entry))
            self._database.execute("INSERT INTO entry VALUES (?, ?, ?)", row)

    def __iter__(self) -> Iterator[StoredEntry]:
        """Yield what was put aside."""
        for (line,) in self._database.execute("SELECT line FROM entry ORDER BY attempt_id, sequence"):
            yield StoredEntry(*json.loads(line))


# -- Making one ---------------------------------------------------------------------------------------------------


def last_closed(before: datetime) -> tuple[int, Attempt | None]:
    """Return the number of the last entry that may be archived, 0 if there is none, and the attempt that holds it up.

    That is the last one before a time, and before every attempt that is open or has a later event.
    """
    later = AuditEntry.objects.filter(created_at__gte=before).order_by("sequence").first()
    newest = AuditEntry.objects.order_by("sequence").last()
    last = later.sequence - 1 if later else newest.sequence if newest else 0
    held_up_by = None
    while opening := _first_unfinished(last):
        held_up_by = Attempt.objects.get(attempt_id=str(opening.attempt_id))
        last = opening.sequence - 1
    return last, held_up_by


def _first_unfinished(last: int) -> AuditEntry | None:
    """Return the first entry up to `last` of an attempt that is open or has an event behind it."""
    query = (
        "SELECT min(o.sequence) FROM audit_auditentry o JOIN audit_attempt a ON a.attempt_id = o.attempt_id "
        "WHERE o.sequence <= %s AND (a.is_open OR EXISTS (SELECT 1 FROM audit_auditentry e "
        "WHERE e.attempt_id = o.attempt_id AND e.sequence > %s))"
    )
    with connections[chain.DATABASE].cursor() as cursor:
        cursor.execute(query, [last, last])
        [sequence] = cursor.fetchone()
    return AuditEntry.objects.get(sequence=sequence) if sequence else None


def archive(last: int, folder: Path, actor: Actor, on_step: Callable[[int], None] = lambda rows: None) -> Archive:
    """Move the entries up to `last` from the database into a new file in `folder`; return what was made.

    The audit must have been verified and sealed before. The file is complete, on disk and read back before the
    entries are deleted. Their deletion, with the triggers away, and its note in the audit are one transaction.
    Raises ArchiveError, OSError or DatabaseError; the entries are in the database then.
    """
    first = AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True)[0]
    _remove_leftovers(folder, first)
    made = Archive(
        folder / NAME.format(key_id=chain.id_of_key(settings.AUDIT_KEY), first=first, last=last), first, last
    )
    digest = _write(made, on_step)
    for _ in made.entries():  # read back, with its signature
        on_step(1)
    with write_transaction(chain.DATABASE, BUSY_TIMEOUT_S):
        connection = connections[chain.DATABASE]
        append_only.remove(connection)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM audit_auditentry WHERE sequence <= %s", [last])
            if cursor.rowcount != last - first + 1:
                raise ArchiveError(
                    f"{cursor.rowcount} entries would be deleted, and {last - first + 1} are in the file."
                )
        append_only.install(connection)
        body = {"file": made.path.name, "first": first, "last": last, "sha256": digest, "what": "archive"}
        entry = chain.new_entry(None, Kind.ARCHIVED, actor.user_id, canonical(body), ip_address=actor.ip_address)
        chain.append([entry])
    return made


def _remove_leftovers(folder: Path, first: int) -> None:
    """Remove files of runs that ended before their commit: all that they hold is in the database still.

    Files of what a restored backup replaced hold more than that; they are kept under a name that is looked at no more.
    """
    for leftover in find_archives(folder):
        if leftover.first >= first:
            *_, last = leftover.entries()
            if AuditEntry.objects.filter(sequence=last.sequence, mac=last.mac).exists():
                leftover.path.unlink()
            else:
                leftover.path.rename(leftover.path.with_name(f"{leftover.path.name}.superseded"))


def _write(made: Archive, on_step: Callable[[int], None]) -> str:
    """Write the file; return the SHA-256 of what it holds, as 64 hex digits."""
    made.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = made.path.with_suffix(".incomplete")
    digest = hashlib.sha256()
    header = {"format": FORMAT, "first": made.first, "last": made.last, "made_at": datetime.now(UTC).isoformat()}
    with partial.open("wb") as raw, read_transaction(chain.DATABASE):
        partial.chmod(0o600)
        with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
            for line in _lines(header | {"key_id": chain.id_of_key(settings.AUDIT_KEY)}, made, on_step):
                digest.update(line)
                file.write(line)
            signature = chain.sign(settings.AUDIT_KEY, "archive", digest.hexdigest())
            file.write(f"{signature}\n".encode("ascii"))
        raw.flush()
        os.fsync(raw.fileno())
    partial.rename(made.path)
    descriptor = os.open(made.path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _lines(header: dict[str, Any], made: Archive, on_step: Callable[[int], None]) -> Iterator[bytes]:
    yield f"{json.dumps(header)}\n".encode("ascii")
    for entry in stored_entries(f"sequence <= {made.last:d}"):
        yield f"{json.dumps(entry)}\n".encode("ascii")
        on_step(1)
