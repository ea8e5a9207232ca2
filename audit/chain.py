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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from json.encoder import encode_basestring_ascii as json_text
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.backends.utils import CursorWrapper

from audit.choices import Kind
from audit.digests import canonical
from audit.models import GENESIS, AuditEntry, ChainHead
from tmsdash.db import clock
from tmsdash.db.bulk import release_after
from tmsdash.db.groups import Parts
from tmsdash.db.rows import Rows
from tmsdash.db.transactions import write_transaction
from tmsdash.text import one_line

ANCHOR_DIGITS = 16  # of a mac: enough that nobody finds another entry with the same
DATABASE = "audit"

Head = tuple[int, str, str, str]  # its sequence, mac, key id and signature

logger = logging.getLogger(__name__)
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode


class ChainBroken(DatabaseError):
    """The head of the chain is gone, or nothing proves that this product wrote it: nothing is added to such a chain."""


def sign(key: str, *parts: Any) -> str:
    """Return the HMAC-SHA256 of the canonical JSON of `parts`, as 64 hex digits."""
    return mac_of_text(key, _encode(parts))


def mac_of_text(key: str, text: str) -> str:
    """Return the HMAC-SHA256 of a text of ASCII, as 64 hex digits."""
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
    """Return the mac of an entry, see `signed_text`."""
    return mac_of_text(key, signed_text(place, facts))


def signed_text(place: Sequence[Any], facts: Sequence[Any]) -> str:
    """Return what the mac of an entry signs: `place` is the mac before it, its sequence, time, attempt id (32 hex
    digits or "") and kind, `facts` its user, action, address and body."""
    previous_mac, sequence, *texts = place
    # What `sign` would sign, put together from its parts: a verification does this for millions of entries.
    rest = ",".join(map(json_text, (*texts, *facts)))
    return f'["entry",{json_text(previous_mac)},{sequence:d},{rest}]'


def leaf(text: str, key_id: str, mac: str) -> bytes:
    """Return an entry's leaf in the Merkle tree: what its mac signs, with the id of the key and the mac at the end."""
    return f"{text[:-1]},{json_text(key_id)},{json_text(mac)}]".encode("ascii")


def stored_time(at: datetime) -> str:
    """Return a time as it is signed, in UTC and to the microsecond."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(" ", "microseconds")[:-6]  # without +00:00


def stored_text(text: str) -> str:
    """Return the same of a time as SQLite holds it, which leaves out microseconds that are none."""
    return text if "." in text else f"{text}.000000"


def is_same(one: str, other: str) -> bool:
    """Tell whether two macs or digests are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(*(text.encode(errors="surrogatepass") for text in (one, other)))


def sign_head(key: str, sequence: int, mac: str) -> str:
    """Return what signs that the chain ends with this entry."""
    return sign(key, "head", sequence, mac)


def anchor(sequence: int, mac: str) -> str:
    """Return what identifies an entry, and with it all before it, outside the database: `SEQUENCE:MAC`, cut."""
    return f"{sequence}:{mac[:ANCHOR_DIGITS]}"


class Body(NamedTuple):
    """The body of an entry: its canonical JSON, and that text encoded once more, as it is signed."""

    text: str
    encoded: str


def prepared(body: Mapping[str, Any]) -> Body:
    """Return a body as `new_entry` takes it, too: of a long list, both texts take longer than to insert it."""
    text = canonical(body)
    return Body(text, json_text(text))


@dataclass(kw_only=True)
class NewEntry:
    """An entry to be added. What does not depend on its place in the chain is prepared before the chain is locked."""

    attempt_id: uuid.UUID | None
    kind: Kind
    user_id: str
    action_type: str = ""
    ip_address: str = ""
    prepared: Body
    body: str = field(init=False)
    # Given when it is added.
    created_at: datetime = field(init=False)
    sequence: int = field(init=False)
    previous_mac: str = field(init=False)
    mac: str = field(init=False)
    key_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.body = self.prepared.text
        attempt_id = self.attempt_id.hex if self.attempt_id else ""
        facts = (attempt_id, self.kind, self.user_id, self.action_type, self.ip_address)
        self._signed = ",".join([*map(json_text, facts), self.prepared.encoded])

    def __str__(self) -> str:
        return f"{self.kind} {self.attempt_id or ''}".strip()

    def sign(self, key: str) -> None:
        """Set the mac, which is that of `mac_of`; its place is set already."""
        previous_mac, at = json_text(self.previous_mac), stored_time(self.created_at)
        self.mac = mac_of_text(key, f'["entry",{previous_mac},{self.sequence:d},"{at}",{self._signed}]')


class ChainEnd(Parts):
    """The end of the chain, to which entries are added: locked from here to the end of the transaction on the audit.

    `save` is the transaction's last statement. Nothing that is added can be read from the head before that. Works use
    the `cursor`, because each new one costs as much as its statement.
    """

    def __init__(self, behind: tuple[int, str, str] | None = None) -> None:
        """Lock and read the head. `behind` is the sequence, mac and key id of one that is not proven to be ours, and
        that the entries acknowledge, see audit.proof.lost_keys."""
        self.added: list[NewEntry] = []
        super().__init__(connections[DATABASE].cursor())
        self._head = _locked_head(self.cursor)
        self._sequence, self._mac, self._key_id, _ = self._head or (0, "", "", "")
        self._is_proven = behind == (self._sequence, self._mac, self._key_id)
        if self._is_proven:
            self._key_id = id_of_key(settings.AUDIT_KEY)  # what is added says all of the other key

    def add(self, entry: NewEntry, at: datetime | None = None) -> None:
        """Number, sign and insert an entry of the time `at`, which is now.

        Raises ChainBroken if the head is missing, was changed, or is signed with a key that is not known.
        """
        self._prove()
        present = id_of_key(settings.AUDIT_KEY)
        if self._key_id != present:
            change = {"change": "changed", "from": self._key_id, "to": present, "what": "audit key", "known": True}
            self._key_id = present
            self.add(new_entry(None, Kind.SETTING_CHANGED, "system", change))
        entry.created_at, entry.key_id = at or clock.now(DATABASE), present
        entry.sequence, entry.previous_mac = self._sequence + 1, self._mac
        entry.sign(settings.AUDIT_KEY)
        _ENTRIES.insert(self.cursor, entry)
        release_after(self.cursor.db, entry.body)
        self._sequence, self._mac = entry.sequence, entry.mac
        self.added.append(entry)

    def _prove(self) -> None:
        if not self._is_proven:
            _assert_ours(self._head)
            self._is_proven = True

    def save(self) -> None:
        """Move the head behind what was added."""
        if self.added:
            signature = sign_head(settings.AUDIT_KEY, self._sequence, self._mac)
            self.cursor.execute(_MOVE_HEAD, [self._sequence, self._mac, self._key_id, signature])
        self.cursor.close()

    def begin_part(self) -> None:
        self._part = (self._sequence, self._mac, self._key_id), len(self.added)
        super().begin_part()

    def undo_part(self) -> bool:
        (self._sequence, self._mac, self._key_id), count = self._part
        del self.added[count:]
        return super().undo_part()


_ENTRIES = Rows(DATABASE, AuditEntry)
_MOVE_HEAD = "UPDATE audit_chainhead SET sequence = %s, mac = %s, key_id = %s, signature = %s WHERE id = 1"
_READ_HEAD = "SELECT sequence, mac, key_id, signature FROM audit_chainhead WHERE id = 1"
# PostgreSQL's lock for inserting entries comes before that of the head, as an archive takes them, so that nobody waits
# for each other.
_LOCK_HEAD = f"LOCK TABLE audit_auditentry IN ROW EXCLUSIVE MODE; {_READ_HEAD} FOR UPDATE"


def _locked_head(cursor: CursorWrapper) -> Head | None:
    if cursor.db.vendor == "postgresql":
        cursor.execute(_LOCK_HEAD)
        cursor.nextset()
    else:
        cursor.execute(_READ_HEAD)
    head: Head | None = cursor.fetchone()
    return head


def append(entries: Iterable[NewEntry], *, behind: tuple[int, str, str] | None = None) -> None:
    """Number, sign and insert new entries, as the last thing that a transaction on the audit does.

    It keeps other writers out from here to the end of the transaction. For `behind` and what is raised see ChainEnd.
    The log names the anchor of each entry once they are committed.
    """
    end = ChainEnd(behind)
    for entry in entries:
        end.add(entry)
    end.save()
    transaction.on_commit(partial(log_anchors, end.added), using=DATABASE)


def is_signed(sequence: int, mac: str, key_id: str, signature: str) -> bool | None:
    """Tell whether a head's signature fits, None if its key is not known.

    One is as bad as the other: whoever cuts the end of the chain off only has to name a key that nobody has.
    """
    # SQLite stores whatever it is given.
    if type(sequence) is not int or not all(isinstance(value, str) for value in (mac, key_id, signature)):
        return False
    key = known_keys().get(key_id)
    return None if key is None else hmac.compare_digest(sign_head(key, sequence, mac).encode(), signature.encode())


def _assert_ours(head: Head | None) -> None:
    """Raise ChainBroken unless the head is proven to be ours."""
    if head is None:
        raise ChainBroken("the head of the audit's chain is missing: manage.py audit_verify says more")
    fits = is_signed(*head)
    if fits is None:
        raise ChainBroken(
            f"the head of the audit's chain is signed with the key {one_line(head[2], 40)}, which is not known "
            "here: set AUDIT_KEY to the key of this site's audit, and AUDIT_OLD_KEYS to those before it; manage.py "
            "audit_keys says more"
        )
    if not fits:
        raise ChainBroken("the head of the audit's chain was changed: manage.py audit_verify says more")


def new_entry(
    attempt_id: uuid.UUID | None, kind: Kind, user_id: str, body: Mapping[str, Any] | Body, **columns: str
) -> NewEntry:
    """Return an entry to be added; `columns` are `action_type` and `ip_address`, where there are any."""
    text = body if isinstance(body, Body) else prepared(body)
    return NewEntry(attempt_id=attempt_id, kind=kind, user_id=user_id, prepared=text, **columns)


def assert_writable(wait_s: float) -> None:
    """Raise DatabaseError unless the chain could go on now, within `wait_s` seconds; it is not moved.

    That is also so if nothing proves its end, see `append`.
    """
    with write_transaction(DATABASE, wait_s):
        with connections[DATABASE].cursor() as cursor:
            cursor.execute("UPDATE audit_chainhead SET sequence = sequence")  # takes the lock that every writer needs
            cursor.execute(_READ_HEAD)
            _assert_ours(cursor.fetchone())
        transaction.set_rollback(True, using=DATABASE)


def begin() -> None:
    """Write the head of a chain that has no entry yet."""
    key = settings.AUDIT_KEY
    ChainHead.objects.create(pk=1, sequence=0, mac=GENESIS, key_id=id_of_key(key), signature=sign_head(key, 0, GENESIS))


def log_anchors(entries: Iterable[NewEntry]) -> None:
    """Log the anchors of entries that were committed."""
    for entry in entries:
        line_anchor = anchor(entry.sequence, entry.mac)
        logger.info("[AUDIT] %s: anchor=%s", entry, line_anchor, extra={"attempt_id": entry.attempt_id or ""})
