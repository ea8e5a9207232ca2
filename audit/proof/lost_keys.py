"""Keys of the audit that are lost: what they signed cannot be checked, and a person has said so in the chain.

1. A head or an entry under a key that is not known is broken: nothing is added behind such a head.
2. Whoever runs the site acknowledges the loss with a reason, in an entry under the present key. It holds the number of
   the last entry that the lost key can have signed, and a digest of all that it signed, as they were then.
3. From then on these entries are excused, as long as they are what the digest says, and no others.
4. `audit_verify` names each acknowledgement for ever, and each lost key that the product once passed over by itself
   (`"known":false`) until that is acknowledged, too.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connections

from audit import chain
from audit.actors import Actor
from audit.choices import Kind
from audit.digests import canonical
from audit.models import GENESIS, AuditEntry, ChainHead
from audit.proof.archives import Archive, all_entries, find_archives
from audit.proof.stored import StoredEntry, stored_entries
from tmsdash.db.transactions import BUSY_TIMEOUT_S, read_transaction, write_transaction
from tmsdash.text import one_line

CHANGE = "lost key acknowledged"
WHAT = "audit key"
NOT_KNOWN = '"known":false'  # in the body of what the product noted when it passed over a lost key by itself
MIN_REASON = 10  # characters


class NotLostError(Exception):
    """A key cannot be acknowledged as lost. The text says why, as a sentence."""


@dataclass(frozen=True, kw_only=True)
class LostKey:
    """An acknowledgement: the key, what it signed, by whom and why it is called lost, and the entry that says so."""

    key_id: str
    first: int  # the numbers of the first and last entry that it signed, as far as anybody can tell
    last: int
    mac: str  # of the last one
    entries: int
    digest: str
    reason: str
    by: str
    at: str
    noted: int

    @property
    def sentence(self) -> str:
        """What is to be known of it for ever."""
        what = (
            f"{self.entries:,} entries from {self.first:,} to {self.last:,} cannot be checked"
            if self.entries
            else f"nothing proves that the chain had not gone on behind entry {self.last:,}"
        )
        return (
            f"{what[0].upper()}{what[1:]}: the key {self.key_id} was acknowledged as lost by {one_line(self.by)} on "
            f"{self.at} (entry {self.noted:,}): {one_line(self.reason)}"
        )


class EntriesDigest:
    """The SHA-256 of entries as they are stored."""

    def __init__(self) -> None:
        self.first, self.count, self._hash = 0, 0, hashlib.sha256()

    def add(self, entry: StoredEntry) -> None:
        """Go on by an entry, which comes behind those before."""
        self.first = self.first or entry.sequence
        self.count += 1
        self._hash.update(f"{json.dumps(entry)}\n".encode("ascii"))

    def __str__(self) -> str:
        return self._hash.hexdigest()


def acknowledged(folder: Path | None = None) -> list[LostKey]:
    """Return the acknowledgements that the chain holds, in archives and database, and that are signed with a known key.

    Raises DatabaseError if the database cannot be read.
    """
    noted = _settings_changed(CHANGE, find_archives(folder))
    return [lost for entry in noted if (lost := _acknowledgement(entry))]


def _settings_changed(text: str, archives: Iterable[Archive]) -> list[StoredEntry]:
    """Return the entries of archives and database that tell of a change of a setting, and whose body holds a text."""
    as_archived = json.dumps(text)[1:-1]
    entries = [entry for archive in archives for entry in archive.entries_with(as_archived)]
    entries += stored_entries(f"kind = '{Kind.SETTING_CHANGED.value}' AND body LIKE '%{text}%'")
    # What is in the database still may be in an archive already.
    unique = {entry.sequence: entry for entry in entries if entry.kind == Kind.SETTING_CHANGED and text in entry.body}
    return [unique[sequence] for sequence in sorted(unique)]


def _acknowledgement(entry: StoredEntry) -> LostKey | None:
    """Return what an entry acknowledges, None if nothing or if it is not proven."""
    key = chain.known_keys().get(entry.key_id)
    if key is None or not hmac.compare_digest(
        chain.mac_of_stored(key, entry.place, entry.facts).encode(), entry.mac.encode()
    ):
        return None
    body = json.loads(entry.body)  # ours: it is signed
    if body.get("change") != CHANGE or body.get("what") != WHAT:
        return None
    facts = {name: body[name] for name in ("key_id", "first", "last", "mac", "entries", "digest", "reason", "by")}
    return LostKey(**facts, at=f"{entry.time[:19]} UTC", noted=entry.sequence)


def passed_over(entry: StoredEntry) -> str:
    """Return the id of the lost key that the product passed over by itself with this entry; "" if it did not."""
    if entry.kind != Kind.SETTING_CHANGED or NOT_KNOWN not in entry.body:
        return ""
    try:
        body = json.loads(entry.body)
        return str(body["from"]) if body["what"] == WHAT and body["known"] is False else ""
    except (ValueError, TypeError, KeyError):  # an entry that was changed
        return ""


def open_problems(lost: Iterable[LostKey]) -> list[tuple[int, str]]:
    """Return what is not acknowledged: the number of the first entry that it concerns, and a sentence.

    Looks at the database only, and not at macs: what is in archives was verified before it went there.
    """
    excused = excused_numbers(lost)
    problems = [
        (max(first, excused.get(key_id, 0) + 1), cannot_be_checked(key_id))
        for key_id, _, first, last in used_keys()
        if key_id not in chain.known_keys() and last > excused.get(key_id, 0)
    ]
    return sorted([*problems, *passed_over_problems(lost)])


def passed_over_problems(lost: Iterable[LostKey]) -> list[tuple[int, str]]:
    """Return those of the `open_problems` that are quickly found: keys that the product passed over by itself."""
    excused = excused_numbers(lost)
    noted = [(entry.sequence, passed_over(entry)) for entry in _settings_changed(NOT_KNOWN, ())]
    return [
        (number, was_passed_over(key_id)) for number, key_id in noted if key_id and excused.get(key_id, -1) < number - 1
    ]


def excused_numbers(lost: Iterable[LostKey]) -> dict[str, int]:
    """Return up to which entry each lost key is excused, by its id."""
    excused: dict[str, int] = {}
    for key in lost:
        excused[key.key_id] = max(key.last, excused.get(key.key_id, 0))
    return excused


def cannot_be_checked(key_id: str) -> str:
    """Return the sentence on entries under a key that is neither known nor acknowledged as lost."""
    return (
        f"It, and maybe others, is signed with the key {one_line(key_id, 40)}, which is neither AUDIT_KEY nor in "
        "AUDIT_OLD_KEYS, so that it cannot be checked."
    )


def was_passed_over(key_id: str) -> str:
    """Return the sentence on an entry that tells of a new key whose predecessor was not known."""
    return (
        f"It went on behind the key {one_line(key_id, 40)}, which was not known then, so that the end of what that key "
        "signed may have been cut off. If the key is lost, acknowledge that: manage.py audit_keys says how."
    )


def used_keys() -> list[tuple[str, int, int, int]]:
    """Return the keys that signed entries in the database: id, count, first and last number, in their order."""
    query = (
        f"SELECT key_id, count(*), min(sequence), max(sequence) FROM {AuditEntry._meta.db_table} "  # noqa: S608
        "GROUP BY key_id ORDER BY min(sequence)"
    )
    with connections[chain.DATABASE].cursor() as cursor:
        cursor.execute(query)
        return [(str(key_id), count, first, last) for key_id, count, first, last in cursor.fetchall()]


# -- Acknowledging one ----------------------------------------------------------------------------------------------


def acknowledge(key_id: str, reason: str, actor: Actor, folder: Path | None = None) -> LostKey:
    """Note in the chain that a key is lost, with what it signed as it is now; return what was noted.

    `folder` is where archives are, AUDIT_SEAL_DIR unless another is named. Raises NotLostError if there is nothing to
    acknowledge, DatabaseError, ArchiveError or OSError if the audit cannot be read or written.
    """
    reason = reason.strip()
    if len(reason) < MIN_REASON:
        raise NotLostError(f"Give a reason of at least {MIN_REASON} characters.")
    if key_id == chain.id_of_key(settings.AUDIT_KEY):
        raise NotLostError(f"The key {key_id} is AUDIT_KEY itself.")
    with read_transaction(chain.DATABASE):
        head = ChainHead.objects.first()
        if head is None:
            raise NotLostError(
                "The head of the chain is missing, which no key explains: manage.py audit_verify says more."
            )
        last = _end_of(key_id, head, folder)
        digest, mac = _digest_of(key_id, last, folder)
    body = {
        **{"change": CHANGE, "what": WHAT, "key_id": key_id, "reason": reason, "by": actor.user_id},
        **{"first": digest.first, "last": last, "mac": mac, "entries": digest.count, "digest": str(digest)},
    }
    entry = chain.new_entry(None, Kind.SETTING_CHANGED, actor.user_id, canonical(body))
    is_of_head = head.key_id == key_id and key_id not in chain.known_keys()
    with write_transaction(chain.DATABASE, BUSY_TIMEOUT_S):
        chain.append([entry], behind=(head.sequence, head.mac, head.key_id) if is_of_head else None)
    [noted] = [lost for lost in acknowledged(folder) if lost.noted == entry.sequence]
    return noted


def _end_of(key_id: str, head: ChainHead, folder: Path | None) -> int:
    """Return the number of the last entry that a lost key can have signed; raises NotLostError if it is none."""
    if head.key_id == key_id and key_id not in chain.known_keys():
        newest = AuditEntry.objects.order_by("sequence").last()
        end = (newest.sequence, newest.mac) if newest else (0, GENESIS)
        if end != (head.sequence, head.mac):
            raise NotLostError(
                f"The head says that the chain ends with entry {head.sequence}, and it ends with {end[0]}, which no "
                "lost key explains. Restore a backup; manage.py audit_verify says more."
            )
        return head.sequence
    excused = excused_numbers(acknowledged(folder))
    noted = _settings_changed(NOT_KNOWN, find_archives(folder))
    numbers = [entry.sequence - 1 for entry in noted if passed_over(entry) == key_id]
    numbers += [last for used, _, _, last in used_keys() if used == key_id and key_id not in chain.known_keys()]
    last = max(numbers, default=-1)
    if last <= excused.get(key_id, -1):
        raise NotLostError(f"Nothing in the chain waits for the key {one_line(key_id, 40)} to be acknowledged as lost.")
    return last


def _digest_of(key_id: str, last: int, folder: Path | None) -> tuple[EntriesDigest, str]:
    """Return the digest of the entries up to `last` that a lost key signed, and the mac of the last one of all.

    Raises NotLostError if entries are missing, so that not all can be digested.
    """
    digest, reached, mac = EntriesDigest(), 0, GENESIS
    for entry in all_entries(find_archives(folder, {key_id}), lambda archived: None):
        if entry.sequence > last:
            break
        if entry.sequence != reached + 1:
            raise NotLostError(
                f"Entry {reached + 1} is missing. If it is in an archive, name its folder: --archives FOLDER; "
                "manage.py audit_verify says more."
            )
        reached, mac = entry.sequence, entry.mac
        if entry.key_id == key_id:
            digest.add(entry)
    if reached != last:
        raise NotLostError(f"Entry {reached + 1} is missing: manage.py audit_verify says more.")
    return digest, mac
