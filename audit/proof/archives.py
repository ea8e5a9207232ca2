"""Archives: closed periods of the audit as sealed files, which `audit_verify` reads before the database.

1. A file holds a header, an entry on each line as the database stored it, and a signature over all of that. Its name
   holds the id of the key that signed it and the numbers of its first and last entry.
2. The entries prove themselves as before: the chain goes through the files and on in the database.
3. An entry counts once, wherever it is: it may be in a file and in the database, or in two files.
4. The attempts' rows and the customer index stay in the database, so that everything is still found.
5. A file that was changed is named, whatever somebody made of it, and the others are read all the same.

How files are made is in `closed_periods`.
"""

import gzip
import hashlib
import hmac
import json
import re
import sqlite3
import sys
import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

from django.conf import settings

from audit import chain
from audit.proof.stored import StoredEntry, rows_of
from tmsdash.db.files import temporary_file

NAME = "audit-{key_id}-{first:012}-{last:012}.jsonl.gz"
_PATTERN = "audit-*.jsonl.gz"
_NAME_PARTS = re.compile(r"audit-([0-9a-f]{16})-([0-9]{12,18})-([0-9]{12,18})\.jsonl\.gz")
MAX_LINE = 128 << 20  # characters; an entry may hold the ids of a whole fleet, and a small file unpacks to anything

Stored = TypeVar("Stored")


class ArchiveError(Exception):
    """A period cannot be archived, or an archive cannot be read. The text says why, as a sentence."""


@dataclass(frozen=True)
class Archive:
    """A file that holds the entries from `first` to `last`."""

    path: Path
    key_id: str
    first: int
    last: int
    is_signature_lost: bool = False
    """Whether the key that signed it is lost; `lost_keys` says what is checked instead."""

    def entries(self) -> Iterator[StoredEntry]:
        """Yield the entries; raises ArchiveError, after the last one, unless the file is as it was written."""
        digest = hashlib.sha256()
        with closing(_lines_of(self.path)) as lines:
            header = next(lines, "")
            self._assert_named_as(header)
            digest.update(header.encode())
            for number in range(self.first, self.last + 1):
                line = next(lines, "")
                digest.update(line.encode())
                yield self._entry(line, number)
            signature, behind = next(lines, "").strip(), next(lines, "")
        if not self._is_signed(digest.hexdigest(), signature) or behind:
            raise ArchiveError(f"{self.path.name} was changed: its signature does not match.")

    def entries_with(self, text: str) -> Iterator[StoredEntry]:
        """Yield the entries whose line holds a text, as far as the file can be read: `entries` says what is wrong."""
        with suppress(ArchiveError), closing(_lines_of(self.path)) as lines:
            for number, line in enumerate(lines, start=self.first - 1):  # the first line is the header
                if text in line and self.first <= number <= self.last:
                    yield self._entry(line, number)

    def _assert_named_as(self, header: str) -> None:
        """Raise ArchiveError if the file was written under another name. A header that is none fits no signature."""
        facts = _json_of(header)
        if isinstance(facts, dict) and facts.keys() >= {"key_id", "first", "last"}:
            name = str(facts["key_id"]), facts["first"], facts["last"]
            if name != (self.key_id, self.first, self.last):
                raise ArchiveError(f"{self.path.name} was written under another name, and holds other entries.")

    def _is_signed(self, digest: str, signature: str) -> bool:
        if self.is_signature_lost:
            return True
        key = chain.known_keys().get(self.key_id)
        return key is not None and hmac.compare_digest(chain.sign(key, "archive", digest), signature)

    def _entry(self, line: str, number: int) -> StoredEntry:
        columns = _json_of(line)
        if isinstance(columns, list) and len(columns) == len(StoredEntry._fields):
            entry = StoredEntry(*columns)
            if _can_be_stored(entry, line):
                return entry
        raise ArchiveError(f"{self.path.name} is damaged at entry {number}.")


def _json_of(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _can_be_stored(entry: StoredEntry, line: str) -> bool:
    """Tell whether a line has what the columns of an entry take: a number, and texts that a database can hold."""
    sequence, *texts = entry
    if type(sequence) is not int or not 0 <= sequence < 1 << 63 or not all(type(text) is str for text in texts):
        return False
    try:
        return "\\ud" not in line or bool("".join(texts).encode())  # half of a pair of surrogates
    except UnicodeEncodeError:
        return False


def _lines_of(path: Path) -> Generator[str]:
    """Yield the lines of a compressed file; raises ArchiveError if it cannot be read."""
    if not path.is_file():  # a pipe would be waited for
        raise ArchiveError(f"{path.name} cannot be read: it is no file.")
    try:
        with gzip.open(path, "rt", encoding="ascii", newline="\n") as file:
            while line := file.readline(MAX_LINE):
                if len(line) == MAX_LINE:
                    raise ArchiveError(f"{path.name} cannot be read: it has a line that is longer than any entry.")
                yield line
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ArchiveError(f"{path.name} cannot be read: {error}.") from None


def find_archives(folder: Path | None = None, lost_keys: Collection[str] = ()) -> list[Archive]:
    """Return the archives in a folder, AUDIT_SEAL_DIR unless another is named, in their order.

    Those are left out whose key is neither known nor among the ids of `lost_keys`: other installations may use the
    same folder.
    """
    known = chain.known_keys()
    archives = [
        Archive(path, key_id, first, last, is_signature_lost=key_id not in known)
        for path, key_id, first, last in _named_as_archives(folder)
        if key_id in known or key_id in lost_keys
    ]
    return sorted(archives, key=lambda archive: (archive.first, archive.last))


def unknown_archives(folder: Path | None = None) -> list[Path]:
    """Return the archives in a folder whose key is not known."""
    return sorted(path for path, key_id, *_ in _named_as_archives(folder) if key_id not in chain.known_keys())


def strays(folder: Path | None = None) -> list[Path]:
    """Return the files in a folder that are called like archives, but not as any archive is: nothing reads them."""
    named = {path for path, *_ in _named_as_archives(folder)}
    return sorted(path for path in _folder(folder).glob(_PATTERN) if path not in named)


def _named_as_archives(folder: Path | None) -> Iterator[tuple[Path, str, int, int]]:
    """Yield each file of a folder that has the name of an archive, with the key id and the numbers in that name."""
    for path in _folder(folder).glob(_PATTERN):
        match = _NAME_PARTS.fullmatch(path.name)
        if match and int(match[2]) <= int(match[3]):
            yield path, match[1], int(match[2]), int(match[3])


def _folder(folder: Path | None) -> Path:
    return Path(folder or settings.AUDIT_SEAL_DIR)


def _refuse(error: ArchiveError) -> NoReturn:
    raise error


def all_entries(
    archives: Iterable[Archive],
    stored: Iterable[Stored],
    keep: Callable[[StoredEntry], None] = lambda entry: None,
    on_damage: Callable[[ArchiveError], object] = _refuse,
) -> Iterator[StoredEntry | Stored]:
    """Yield the entries of archives and those that are `stored` in the database in their order; `keep` gets those of
    archives before that, and `on_damage` what is wrong with a file, of which the rest is left out then."""
    for entry in archived_entries(archives, first_stored() or sys.maxsize, on_damage):
        keep(entry)
        yield entry
    yield from stored


def first_stored() -> int:
    """Return the number of the first entry in the database, 0 if there is none."""
    [(first,)] = rows_of("SELECT min(sequence) FROM audit_auditentry")
    return first or 0


def archived_entries(
    archives: Iterable[Archive], before: int, on_damage: Callable[[ArchiveError], object] = _refuse
) -> Iterator[StoredEntry]:
    """Yield the entries that archives hold with numbers below `before`, in order. Raises ArchiveError if a file is not
    as it was written, unless `on_damage` takes that."""
    reached = 0
    for archive in archives:
        try:
            # Read to its end even if all that it holds stayed in the database, since only the end proves its signature.
            for entry in archive.entries():
                if reached < entry.sequence < before:
                    reached = entry.sequence
                    yield entry
        except ArchiveError as error:
            on_damage(error)


class ByAttempt:
    """Archived entries, to be read in the order of their attempts: on disk, for there may be millions.

    A context manager; at its end they are gone.
    """

    def __init__(self) -> None:
        self._file = temporary_file("archived")
        self._database = sqlite3.connect(self._file.name)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE entry (attempt_id TEXT, sequence INTEGER, line TEXT)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        self._file.close()

    def keep(self, entry: StoredEntry) -> None:
        """Put an entry aside."""
        if entry.attempt_id:
            row = (entry.attempt_id, entry.sequence, json.dumps(entry))
            self._database.execute("INSERT INTO entry VALUES (?, ?, ?)", row)

    def finish(self) -> str:
        """Return the path of a file for `entries_by_attempt`, in this process or another; nothing is kept any more."""
        self._database.execute("CREATE INDEX entry_by_attempt ON entry (attempt_id, sequence)")
        self._database.commit()
        return self._file.name


def archived_attempts(path: str) -> Iterator[str]:
    """Yield the ids of the attempts of which entries were put aside, in their order."""
    with closing(sqlite3.connect(path)) as database:
        yield from (
            attempt_id for (attempt_id,) in database.execute("SELECT DISTINCT attempt_id FROM entry ORDER BY 1")
        )


def entries_by_attempt(path: str, attempt_ids: Sequence[str] | None = None) -> Iterator[StoredEntry]:
    """Yield the entries that were put aside, of some attempts or of all, in the order of these."""
    condition = "" if attempt_ids is None else "WHERE attempt_id IN (SELECT value FROM json_each(?))"
    query = f"SELECT line FROM entry {condition} ORDER BY attempt_id, sequence"  # noqa: S608 (constants)
    with closing(sqlite3.connect(path)) as database:
        for (line,) in database.execute(query, [] if attempt_ids is None else [json.dumps(attempt_ids)]):
            yield StoredEntry(*json.loads(line))
