"""The chain of the audit: each entry is numbered without a gap and signed over itself and the entry before it.

A mac is HMAC-SHA256 under AUDIT_KEY. Without the key nobody can change an entry, take one out or put one in
without the macs telling. The head of the chain names the last entry, and is signed too, so that the end
cannot be cut off either. `audit.proof.verification` looks at all of it.
"""

import hmac
import json
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from json.encoder import encode_basestring_ascii as json_text
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.models import F
from django.utils import timezone

from audit.choices import Kind
from audit.digests import canonical
from audit.models import GENESIS, AuditEntry, ChainHead
from tmsdash.db.transactions import write_transaction
from tmsdash.text import one_line

ANCHOR_DIGITS = 16  # of a mac: enough that nobody finds another entry with the same
DATABASE = "audit"

logger = logging.getLogger(__name__)
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode


class ChainBroken(DatabaseError):
    """The head of the chain is gone, or nothing proves that this product wrote it: nothing is added to such a chain."""


def sign(key: str, *parts: Any) -> str:
    """Return the HMAC-SHA256 of the canonical JSON of `parts`, as 64 hex digits."""
    return _mac(key, _encode(parts))


def _mac(key: str, text: str) -> str:
    mac = _keyed(key).copy()
    mac.update(text.encode("ascii"))
    return mac.hexdigest()


@cache
def _keyed(key: str) -> hmac.HMAC:
    """Return what every mac under a key begins with: taking the key in costs as much as signing a short text."""
    return hmac.new(key.encode(), digestmod="sha256")


@cache
def id_of_key(key: str) -> str:
    """Return the name of a key, 16 hex digits that do not tell the key."""
    return sign(key, "key id")[:16]


def known_keys() -> dict[str, str]:
    """Return the present key of the audit and those before it, each by its id."""
    return {id_of_key(key): key for key in (settings.AUDIT_KEY, *settings.AUDIT_OLD_KEYS)}


def mac_of(key: str, entry: AuditEntry) -> str:
    """Return the mac of an entry, whose `previous_mac` is set."""
    attempt_id = entry.attempt_id.hex if entry.attempt_id else ""
    place = entry.previous_mac, entry.sequence, stored_time(entry.created_at), attempt_id, entry.kind
    return mac_of_stored(key, place, (entry.user_id, entry.action_type, entry.ip_address, entry.body))


def mac_of_stored(key: str, place: Sequence[Any], facts: Sequence[Any]) -> str:
    """Return the mac of an entry: `place` is the mac before it, its sequence, time, attempt id (32 hex digits or "")
    and kind, `facts` its user, action, address and body."""
    previous_mac, sequence, *texts = place
    # What `sign` would sign, put together from its parts: a verification does this for millions of entries.
    rest = ",".join(map(json_text, (*texts, *facts)))
    return _mac(key, f'["entry",{json_text(previous_mac)},{sequence:d},{rest}]')


def stored_time(at: datetime) -> str:
    """Return a time as it is signed, in UTC and to the microsecond."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(" ", "microseconds")[:-6]  # without +00:00


def stored_text(text: str) -> str:
    """Return the same of a time as SQLite holds it, which leaves out microseconds that are none."""
    return text if "." in text else f"{text}.000000"


def sign_head(key: str, sequence: int, mac: str) -> str:
    """Return what signs that the chain ends with this entry."""
    return sign(key, "head", sequence, mac)


def anchor(sequence: int, mac: str) -> str:
    """Return what identifies an entry, and with it all before it, outside the database: `SEQUENCE:MAC`, cut."""
    return f"{sequence}:{mac[:ANCHOR_DIGITS]}"


def append(entries: Iterable[AuditEntry], *, behind: tuple[int, str, str] | None = None) -> None:
    """Number, sign and insert new entries, as the last thing that a transaction on the audit does.

    It keeps other writers out from here to the end of the transaction. Raises ChainBroken if the head is
    missing, was changed, or is signed with a key that is not known. `behind` is the sequence, mac and key id of such
    a head that the entries acknowledge, see audit.proof.lost_keys. The log names the anchor of each entry once they are
    committed.
    """
    _reserve_entries()
    head, added = ChainHead.objects.select_for_update().first(), [*entries]
    if head is None or behind != (head.sequence, head.mac, head.key_id):
        head = _ours(head)
        added = [*_of_new_key(head), *added]
    for entry in added:
        entry.sequence, entry.previous_mac = head.sequence + 1, head.mac
        entry.key_id = id_of_key(settings.AUDIT_KEY)
        entry.mac = mac_of(settings.AUDIT_KEY, entry)
        entry.save()
        head.sequence, head.mac = entry.sequence, entry.mac
    head.key_id = id_of_key(settings.AUDIT_KEY)
    head.signature = sign_head(settings.AUDIT_KEY, head.sequence, head.mac)
    head.save()
    transaction.on_commit(lambda: _log(added), using=DATABASE)


def _reserve_entries() -> None:
    """Take PostgreSQL's lock for inserting entries before that of the head, as an archive does, so that nobody waits
    for each other."""
    connection = connections[DATABASE]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {AuditEntry._meta.db_table} IN ROW EXCLUSIVE MODE")


def is_signed(sequence: int, mac: str, key_id: str, signature: str) -> bool | None:
    """Tell whether a head's signature fits, None if its key is not known.

    One is as bad as the other: whoever cuts the end of the chain off only has to name a key that nobody has.
    """
    key = known_keys().get(key_id)
    return None if key is None else hmac.compare_digest(sign_head(key, sequence, mac).encode(), signature.encode())


def _ours(head: ChainHead | None) -> ChainHead:
    """Return the head; raises ChainBroken unless it is proven to be ours."""
    if head is None:
        raise ChainBroken("the head of the audit's chain is missing: manage.py audit_verify says more")
    fits = is_signed(head.sequence, head.mac, head.key_id, head.signature)
    if fits is None:
        raise ChainBroken(
            f"the head of the audit's chain is signed with the key {one_line(head.key_id, 40)}, which is not known "
            "here: set AUDIT_KEY to the key of this site's audit, and AUDIT_OLD_KEYS to those before it; manage.py "
            "audit_keys says more"
        )
    if not fits:
        raise ChainBroken("the head of the audit's chain was changed: manage.py audit_verify says more")
    return head


def _of_new_key(head: ChainHead) -> list[AuditEntry]:
    """Return the entry that tells of a new key, if the head was signed with another one."""
    present = id_of_key(settings.AUDIT_KEY)
    if head.key_id == present:
        return []
    body = {"change": "changed", "from": head.key_id, "to": present, "what": "audit key", "known": True}
    return [new_entry(None, Kind.SETTING_CHANGED, "system", body)]


def new_entry(
    attempt_id: uuid.UUID | None, kind: Kind, user_id: str, body: Mapping[str, Any], **columns: str
) -> AuditEntry:
    """Return an entry of now, for `append`; `columns` are `action_type` and `ip_address`, where there are any."""
    at, text = timezone.now(), canonical(body)
    return AuditEntry(attempt_id=attempt_id, kind=kind, created_at=at, user_id=user_id, body=text, **columns)


def assert_writable(wait_s: float) -> None:
    """Raise DatabaseError unless the chain could go on now, within `wait_s` seconds; it is not moved.

    That is also so if nothing proves its end, see `append`.
    """
    with write_transaction(DATABASE, wait_s):
        ChainHead.objects.update(sequence=F("sequence"))  # takes the lock that everybody needs who writes to the audit
        _ours(ChainHead.objects.first())
        transaction.set_rollback(True, using=DATABASE)


def begin() -> None:
    """Write the head of a chain that has no entry yet."""
    key = settings.AUDIT_KEY
    ChainHead.objects.create(pk=1, sequence=0, mac=GENESIS, key_id=id_of_key(key), signature=sign_head(key, 0, GENESIS))


def _log(entries: list[AuditEntry]) -> None:
    for entry in entries:
        logger.info("[AUDIT] %s: anchor=%s", entry, anchor(entry.sequence, entry.mac))
