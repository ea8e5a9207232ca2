"""The entries behind a position of the chain, from archives and from the database."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.db import connections

from audit.chain import DATABASE
from audit.proof import lost_keys
from audit.proof.archives import ArchiveError, find_archives
from audit.proof.stored import StoredEntry, stored_entries
from audit.stream.cursor import Position, StreamError
from tmsdash.db.transactions import drop_if_broken, ensure_own_file

ENTRIES_AT_ONCE = 200  # one may hold the ids of a whole fleet

NEXT_STEP = (
    "manage.py audit_verify says whether the audit is whole, and whether a backup was restored. Once that is clear, "
    "manage.py audit_stream --forget ends this stream, and a new one begins with the first entry, or with --from-now."
)


class HistoryError(StreamError):
    """The audit does not go on from what was streamed."""


def batches_behind(position: Position, archive_folder: Path | None = None) -> Iterator[list[StoredEntry]]:
    """Yield the entries behind a position, some at a time, up to the end of the chain.

    Archives are looked for in `archive_folder`, or in AUDIT_SEAL_DIR. Raises HistoryError where the chain does not go
    on from the position, and DatabaseError. No transaction is open between two batches.
    """
    while entries := _stored_behind(position):
        first = entries[0].sequence
        if first > position.sequence + 1:
            archived = _linked(position, _archived_behind(position, first, archive_folder))
            while batch := list(islice(archived, ENTRIES_AT_ONCE)):
                position = Position(batch[-1].sequence, batch[-1].mac)
                yield batch
        batch = list(_linked(position, entries))
        position = Position(batch[-1].sequence, batch[-1].mac)
        yield batch


def _stored_behind(position: Position) -> list[StoredEntry]:
    """Return the first entries behind a position that are in the database; raises HistoryError if it is not there."""
    with drop_if_broken(DATABASE):
        ensure_own_file(connections[DATABASE])  # an open connection would go on reading a file that was moved away
        # The entry of the position, too: another one with its number shows at once, even if nothing is new.
        condition, order = f"sequence >= {position.sequence:d}", f"sequence LIMIT {ENTRIES_AT_ONCE + 1:d}"
        entries = list(stored_entries(condition, order))
    if not position.sequence:
        return entries
    if not entries:
        raise HistoryError(f"The audit ends before entry {position.sequence}, which was streamed. {NEXT_STEP}")
    if entries[0].sequence > position.sequence:  # it is in an archive; the one behind it has to name its mac
        return entries
    if entries[0].mac != position.mac:
        raise HistoryError(
            f"The audit holds another entry {position.sequence} than the one that was streamed. {NEXT_STEP}"
        )
    return entries[1:]


def _archived_behind(position: Position, end: int, folder: Path | None) -> Iterator[StoredEntry]:
    """Yield the entries behind a position and before number `end`, which archives hold; raises HistoryError."""
    reached = position.sequence
    try:
        lost = {key.key_id for key in lost_keys.acknowledged(folder)}
        for archive in find_archives(folder, lost):
            if archive.last <= reached or archive.first >= end:
                continue
            for _ in archive.entries():
                pass  # only its end proves its signature, so nothing is sent before
            for entry in archive.entries():
                if reached < entry.sequence < end:
                    reached = entry.sequence
                    yield entry
    except ArchiveError as error:
        raise HistoryError(f"An archive cannot be streamed. {error} {NEXT_STEP}") from None
    if reached + 1 < end:
        raise HistoryError(
            f"The entries {reached + 1} to {end - 1} are neither in the database nor in an archive in "
            f"{folder or settings.AUDIT_SEAL_DIR}. If they were archived to another folder, name it: --archives FOLDER."
        )


def _linked(position: Position, entries: Iterable[StoredEntry]) -> Iterator[StoredEntry]:
    """Yield entries as long as each follows from the one before it; raises HistoryError."""
    sequence, mac = position
    for entry in entries:
        if (entry.sequence, entry.previous_mac) != (sequence + 1, mac):
            raise HistoryError(
                f"Entry {entry.sequence} does not follow from entry {sequence}, up to which was streamed. {NEXT_STEP}"
            )
        sequence, mac = entry.sequence, entry.mac
        yield entry
