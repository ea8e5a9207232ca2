"""Closed periods of the audit are moved out of the database, into an archive. Nothing else ever deletes an entry.

1. Only what is closed is moved: no entry of an attempt that is open or has a later event, so that the events of an
   attempt stay together, and nothing behind the first entry of such an attempt.
2. The audit was verified and sealed before.
3. The file is complete, on the disk and read back before an entry is deleted.
4. The deletion, for which the triggers have to go, and the entry that notes it are one transaction: whatever fails
   leaves every entry in the database.
5. A file whose entries were never deleted is removed by the next run.
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections

from audit import chain
from audit.actors import Actor
from audit.choices import Kind
from audit.models import Attempt, AuditEntry
from audit.proof import append_only
from audit.proof.archives import NAME, Archive, ArchiveError, find_archives, first_stored
from audit.proof.stored import rows_of, stored_entries
from tmsdash.db.files import sync
from tmsdash.db.transactions import BUSY_TIMEOUT_S, read_transaction, write_transaction

FORMAT = 1


def last_closed(before: datetime) -> tuple[int, Attempt | None]:
    """Return the number of the last entry that may be archived, 0 if there is none, and the attempt that holds it up.

    No attempt holds it up if it is the last entry from before the time `before`.
    """
    later = AuditEntry.objects.filter(created_at__gte=before).order_by("sequence").first()
    newest = AuditEntry.objects.order_by("sequence").last()
    last = later.sequence - 1 if later else newest.sequence if newest else 0
    held_up_by = None
    # Each step back may leave the events of another attempt on both sides.
    while opening := _first_unfinished(last):
        held_up_by = Attempt.objects.get(attempt_id=str(opening.attempt_id))
        last = opening.sequence - 1
    return last, held_up_by


def _first_unfinished(last: int) -> AuditEntry | None:
    """Return the first entry up to `last` of an attempt that is open, or has an event behind `last`."""
    query = (
        "SELECT min(o.sequence) FROM audit_auditentry o JOIN audit_attempt a ON a.attempt_id = o.attempt_id "  # noqa: S608
        f"WHERE o.sequence <= {last:d} AND (a.is_open OR EXISTS (SELECT 1 FROM audit_auditentry e "
        f"WHERE e.attempt_id = o.attempt_id AND e.sequence > {last:d}))"
    )
    [(sequence,)] = rows_of(query)
    return AuditEntry.objects.get(sequence=sequence) if sequence else None


def archive(last: int, folder: Path, actor: Actor, on_step: Callable[[int], object] = lambda rows: None) -> Archive:
    """Move the entries up to `last` from the database into a new file in `folder`; return the archive.

    `on_step` is called twice for each entry, when it was written and when it was read back. Raises ArchiveError,
    OSError or DatabaseError; the entries are all still in the database then.
    """
    first = first_stored()
    _remove_leftovers(folder, first)
    key_id = chain.id_of_key(settings.AUDIT_KEY)
    made = Archive(folder / NAME.format(key_id=key_id, first=first, last=last), key_id, first, last)
    digest = _write(made, on_step)
    for _ in made.entries():  # which compares the signature, too
        on_step(1)
    with write_transaction(chain.DATABASE, BUSY_TIMEOUT_S):
        connection = connections[chain.DATABASE]
        append_only.remove(connection)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM audit_auditentry WHERE sequence <= %s", [last])
            count = last - first + 1
            if cursor.rowcount != count:
                raise ArchiveError(f"{cursor.rowcount} entries would be deleted, and {count} are in the file.")
        append_only.install(connection)
        body = {"file": made.path.name, "first": first, "last": last, "sha256": digest, "what": "archive"}
        chain.append([chain.new_entry(None, Kind.ARCHIVED, actor.user_id, body, ip_address=actor.ip_address)])
    return made


def _remove_leftovers(folder: Path, first: int) -> None:
    """Remove the files of runs that ended before they deleted anything: the database still holds all of that.

    A file of a history that a restored backup replaced holds more than the database does. It is kept, under a name
    that nothing takes for an archive.
    """
    for leftover in find_archives(folder):
        if leftover.first >= first:
            *_, last = leftover.entries()
            if AuditEntry.objects.filter(sequence=last.sequence, mac=last.mac).exists():
                leftover.path.unlink()
            else:
                leftover.path.rename(leftover.path.with_name(f"{leftover.path.name}.superseded"))


def _write(made: Archive, on_step: Callable[[int], object]) -> str:
    """Write the file; return the SHA-256 of everything in it but the signature, as 64 hex digits."""
    made.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = made.path.with_suffix(".incomplete")
    key, digest = settings.AUDIT_KEY, hashlib.sha256()
    header: dict[str, Any] = {"format": FORMAT, "first": made.first, "last": made.last}
    header |= {"made_at": datetime.now(UTC).isoformat(), "key_id": chain.id_of_key(key)}
    with partial.open("wb") as raw, read_transaction(chain.DATABASE):
        partial.chmod(0o600)
        with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
            for line in _lines(header, made.last, on_step):
                digest.update(line)
                file.write(line)
            file.write(f"{chain.sign(key, 'archive', digest.hexdigest())}\n".encode("ascii"))
    sync(partial)
    # Only a whole file gets the name of an archive, and only one whose name will survive a power cut lets the entries
    # be deleted.
    partial.rename(made.path)
    sync(made.path.parent)
    return digest.hexdigest()


def _lines(header: dict[str, Any], last: int, on_step: Callable[[int], object]) -> Iterator[bytes]:
    yield f"{json.dumps(header)}\n".encode("ascii")
    for entry in stored_entries(f"sequence <= {last:d}"):
        yield f"{json.dumps(entry)}\n".encode("ascii")
        on_step(1)
