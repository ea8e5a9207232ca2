"""Keys of the audit that are lost: what they signed cannot be checked, and the chain itself says so.

1. A head or an entry under a key that is not known is broken: nothing is added behind such a head.
2. Whoever runs the site acknowledges the loss with a reason, in an entry under the present key. That entry holds the
   number of the last entry that the lost key can have signed, and a digest of everything that it signed.
3. From then on these entries are excused, and no others, as long as they match the digest.
4. An acknowledgement counts only if a known key signed it. So whoever loses that key, too, acknowledges both.
5. `audit_verify` names each acknowledgement for ever. It also names each lost key that an earlier version of the
   product passed over without asking (`"known":false`), until that is acknowledged.

How a loss is acknowledged is in `acknowledgements`.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from audit import chain
from audit.choices import Kind
from audit.proof.archives import Archive, find_archives
from audit.proof.stored import StoredEntry, rows_of, stored_entries
from tmsdash.text import one_line

CHANGE = "lost key acknowledged"
WHAT = "audit key"
NOT_KNOWN = '"known":false'  # in the body of the entry with which a lost key was passed over


@dataclass(frozen=True, kw_only=True)
class LostKey:
    """An acknowledgement: the key, what it signed, who calls it lost and why, and the entry that says so."""

    key_id: str
    first: int  # the numbers of the first and last entry that it signed, as far as anybody can tell
    last: int
    mac: str  # of the last entry
    entries: int
    digest: str
    reason: str
    by: str
    at: str
    noted: int  # the number of the entry that acknowledges it

    @property
    def sentence(self) -> str:
        """What has to be known about it for ever."""
        what = f"Nothing proves that the chain ended with entry {self.last:,}"
        if self.entries:
            what = f"{self.entries:,} entries from {self.first:,} to {self.last:,} cannot be checked"
        return (
            f"{what}: the key {self.key_id} was acknowledged as lost by {one_line(self.by)} on {self.at} (entry "
            f"{self.noted:,}): {one_line(self.reason)}"
        )


class EntriesDigest:
    """The SHA-256 of entries as they are stored."""

    def __init__(self) -> None:
        self.first, self.count, self._hash = 0, 0, hashlib.sha256()

    def add(self, entry: StoredEntry) -> None:
        """Take in the next entry, in the order of their numbers."""
        self.first = self.first or entry.sequence
        self.count += 1
        self._hash.update(f"{json.dumps(entry)}\n".encode("ascii"))

    def __str__(self) -> str:
        return self._hash.hexdigest()


def acknowledged(folder: Path | None = None) -> list[LostKey]:
    """Return the acknowledgements in archives and database that a known key signed.

    Raises DatabaseError if the database cannot be read.
    """
    noted = map(_acknowledgement, settings_changed(CHANGE, find_archives(folder)))
    return [lost for lost in noted if lost]


def settings_changed(text: str, archives: Iterable[Archive]) -> list[StoredEntry]:
    """Return the entries about changed settings whose body holds a text, from archives and database, in their order."""
    as_archived = json.dumps(text)[1:-1]  # an archive holds a body as a JSON string
    entries = [entry for archive in archives for entry in archive.entries_with(as_archived)]
    entries += stored_entries(f"kind = '{Kind.SETTING_CHANGED.value}' AND body LIKE '%{text}%'")
    # What is still in the database may be in an archive already.
    unique = {entry.sequence: entry for entry in entries if entry.kind == Kind.SETTING_CHANGED and text in entry.body}
    return [unique[sequence] for sequence in sorted(unique)]


def _acknowledgement(entry: StoredEntry) -> LostKey | None:
    """Return what an entry acknowledges; None if that is nothing, or if it is not proven."""
    if not entry.is_signed(chain.known_keys()):
        return None
    facts = entry.facts
    if (facts.get("change"), facts.get("what")) != (CHANGE, WHAT):
        return None
    # Whoever has the key may sign anything.
    numbers = {name: facts.get(name) for name in ("first", "last", "entries")}
    texts = {name: facts.get(name) for name in ("key_id", "mac", "digest", "reason", "by")}
    if not all(type(number) is int for number in numbers.values()) or not all(
        isinstance(text, str) for text in texts.values()
    ):
        return None
    return LostKey(**cast(Any, numbers | texts), at=f"{entry.time[:19]} UTC", noted=entry.sequence)


def passed_over(entry: StoredEntry) -> str:
    """Return the id of the lost key that was passed over with this entry; "" if none was."""
    if entry.kind != Kind.SETTING_CHANGED or NOT_KNOWN not in entry.body:
        return ""
    facts = entry.facts
    return str(facts.get("from", "")) if facts.get("what") == WHAT and facts.get("known") is False else ""


def open_problems(lost: Iterable[LostKey]) -> list[tuple[int, str]]:
    """Return what is not acknowledged: the number of the first entry that it concerns, and a sentence about it.

    Looks at the database only, and at no mac: what is in archives was verified before it went there.
    """
    excused = excused_numbers(lost)
    problems = [
        (max(first, excused.get(key_id, 0) + 1), cannot_be_checked(key_id))
        for key_id, _, first, last in used_keys()
        if key_id not in chain.known_keys() and last > excused.get(key_id, 0)
    ]
    return sorted([*problems, *passed_over_problems(lost)])


def passed_over_problems(lost: Iterable[LostKey]) -> list[tuple[int, str]]:
    """Return those of the `open_problems` that are found without reading the chain: keys that were passed over."""
    excused = excused_numbers(lost)
    noted = [(entry.sequence, passed_over(entry)) for entry in settings_changed(NOT_KNOWN, ())]
    return [
        (number, was_passed_over(key_id)) for number, key_id in noted if key_id and excused.get(key_id, -1) < number - 1
    ]


def excused_numbers(lost: Iterable[LostKey]) -> dict[str, int]:
    """Return the number up to which the entries of each lost key are excused, by the key's id."""
    excused: dict[str, int] = {}
    for key in lost:
        excused[key.key_id] = max(key.last, excused.get(key.key_id, 0))
    return excused


def cannot_be_checked(key_id: str) -> str:
    """Return the sentence about entries under a key that is neither known nor acknowledged as lost."""
    return (
        f"It is signed with the key {one_line(key_id, 40)}, and others may be. That key is neither AUDIT_KEY nor in "
        "AUDIT_OLD_KEYS, so they cannot be checked."
    )


def was_passed_over(key_id: str) -> str:
    """Return the sentence about an entry that notes a new key whose predecessor was not known."""
    return (
        f"It follows entries under the key {one_line(key_id, 40)}, which was not known then, so the end of what that "
        "key signed may have been cut off. If the key is lost, acknowledge that: manage.py audit_keys says how."
    )


def used_keys() -> list[tuple[str, int, int, int]]:
    """Return the keys that signed entries in the database: id, count, and the numbers of the first and last one."""
    query = (
        "SELECT key_id, count(*), min(sequence), max(sequence) FROM audit_auditentry "
        "GROUP BY key_id ORDER BY min(sequence)"
    )
    return [(str(key_id), count, first, last) for key_id, count, first, last in rows_of(query)]
