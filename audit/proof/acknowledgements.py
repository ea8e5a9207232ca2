"""How the loss of a key of the audit is acknowledged. The rules are in `lost_keys`; those of the entry itself are:

1. There is a loss: a head, entries, or a note that the key was passed over, wait to be excused.
2. Nothing is missing before the last entry of the lost key, so that the digest covers everything that it signed.
3. If the head is under the lost key, the chain ends where it says: what was cut off is no loss of a key.
4. An entry behind a lost head is added behind the very head that was looked at, or not at all.
"""

from pathlib import Path

from django.conf import settings

from audit import chain
from audit.actors import Actor
from audit.choices import Kind
from audit.models import GENESIS, AuditEntry, ChainHead
from audit.proof import lost_keys
from audit.proof.archives import all_entries, find_archives
from audit.proof.heads import stored_head
from audit.proof.lost_keys import EntriesDigest, LostKey
from audit.proof.stored import stored_entries
from tmsdash.db.transactions import BUSY_TIMEOUT_S, read_transaction, write_transaction
from tmsdash.text import one_line

MIN_REASON = 10  # characters


class NotLostError(Exception):
    """A key cannot be acknowledged as lost. The text says why, as a sentence."""


def acknowledge(key_id: str, reason: str, actor: Actor, folder: Path | None = None) -> LostKey:
    """Note in the chain that a key is lost, with a digest of what it signed; return what was noted.

    `folder` is where archives are, AUDIT_SEAL_DIR unless another is named. Raises NotLostError if there is nothing to
    acknowledge, DatabaseError, ArchiveError or OSError if the audit cannot be read or written.
    """
    reason = reason.strip()
    if len(reason) < MIN_REASON:
        raise NotLostError(f"Give a reason of at least {MIN_REASON} characters.")
    if key_id == chain.id_of_key(settings.AUDIT_KEY):
        raise NotLostError(f"The key {key_id} is AUDIT_KEY itself.")
    with read_transaction(chain.DATABASE):
        head = stored_head()
        if head is None:
            raise NotLostError(
                "The head of the chain is missing, which no lost key explains. Run manage.py audit_verify."
            )
        last = _end_of(key_id, head, folder)
        digest, mac = _digest_of(key_id, last, folder)
    body = {
        **{"change": lost_keys.CHANGE, "what": lost_keys.WHAT, "key_id": key_id, "reason": reason, "by": actor.user_id},
        **{"first": digest.first, "last": last, "mac": mac, "entries": digest.count, "digest": str(digest)},
    }
    entry = chain.new_entry(None, Kind.SETTING_CHANGED, actor.user_id, body)
    with write_transaction(chain.DATABASE, BUSY_TIMEOUT_S):
        chain.append([entry], behind=(head.sequence, head.mac, key_id) if _is_lost_head(head, key_id) else None)
    [noted] = [lost for lost in lost_keys.acknowledged(folder) if lost.noted == entry.sequence]
    return noted


def _is_lost_head(head: ChainHead, key_id: str) -> bool:
    return head.key_id == key_id and key_id not in chain.known_keys()


def _end_of(key_id: str, head: ChainHead, folder: Path | None) -> int:
    """Return the number of the last entry that a key can have signed; raises NotLostError if it is not lost."""
    if _is_lost_head(head, key_id):
        newest = AuditEntry.objects.order_by("sequence").last()
        end = (newest.sequence, newest.mac) if newest else (0, GENESIS)
        if end != (head.sequence, head.mac):
            raise NotLostError(
                f"The head says that the chain ends with entry {head.sequence}, but it ends with {end[0]}, which no "
                "lost key explains. Run manage.py audit_verify, and restore a backup."
            )
        return head.sequence
    excused = lost_keys.excused_numbers(lost_keys.acknowledged(folder))
    noted = lost_keys.settings_changed(lost_keys.NOT_KNOWN, find_archives(folder))
    numbers = [entry.sequence - 1 for entry in noted if lost_keys.passed_over(entry) == key_id]
    if key_id not in chain.known_keys():
        numbers += [last for used, _, _, last in lost_keys.used_keys() if used == key_id]
    last = max(numbers, default=-1)
    if last <= excused.get(key_id, -1):
        raise NotLostError(f"The chain does not need the key {one_line(key_id, 40)} to be acknowledged as lost.")
    return last


def _digest_of(key_id: str, last: int, folder: Path | None) -> tuple[EntriesDigest, str]:
    """Return the digest of the entries up to `last` that a lost key signed, and the mac of entry `last`.

    Raises NotLostError if entries are missing, so that it would not cover everything.
    """
    digest, reached, mac = EntriesDigest(), 0, GENESIS
    for entry in all_entries(find_archives(folder, {key_id}), stored_entries()):
        if entry.sequence > last:
            break
        if entry.sequence != reached + 1:
            raise NotLostError(
                f"Entry {reached + 1} is missing. If it is in an archive, name the folder: --archives FOLDER. If not, "
                "run manage.py audit_verify."
            )
        reached, mac = entry.sequence, entry.mac
        if entry.key_id == key_id:
            digest.add(entry)
    if reached != last:
        raise NotLostError(f"Entry {reached + 1} is missing. Run manage.py audit_verify.")
    return digest, mac
