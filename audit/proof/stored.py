"""Audit entries as the database stores them: what is proven is what is there, not what a model makes of it.

SQLite and PostgreSQL hold UUIDs and times in their own ways, and macs are stored as bytes. All come out of here as the
text that was signed.
"""

import hmac
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db import OperationalError, connections

from audit.chain import DATABASE, leaf, mac_of_text, signed_text, stored_text, stored_time
from tmsdash.db.fields import digits_sql

ROWS_AT_ONCE = 200  # one may hold the ids of a whole fleet, and with that a megabyte


class StoredEntry(NamedTuple):
    """An entry as text and numbers: the attempt id as 32 hex digits or "", the time as it was signed."""

    sequence: int
    previous_mac: str
    mac: str
    key_id: str
    attempt_id: str
    kind: str
    time: str
    user_id: str
    action_type: str
    ip_address: str
    body: str

    def is_signed(self, keys: Mapping[str, str]) -> bool | None:
        """Tell whether the mac matches what the entry says; None if its key is not among `keys`, which have ids."""
        key = keys.get(self.key_id)
        if key is None:
            return None
        return hmac.compare_digest(mac_of_text(key, self._signed_text).encode(), self.mac.encode())

    @property
    def facts(self) -> dict[str, Any]:
        """What its body holds; nothing if that is no JSON object."""
        try:
            facts = json.loads(self.body)
        except (ValueError, RecursionError):
            facts = None
        return facts if isinstance(facts, dict) else {}

    @property
    def leaf(self) -> bytes:
        """Its leaf in the Merkle tree."""
        return leaf(self._signed_text, self.key_id, self.mac)

    @property
    def _signed_text(self) -> str:
        place = self.previous_mac, self.sequence, self.time, self.attempt_id, self.kind
        return signed_text(place, (self.user_id, self.action_type, self.ip_address, self.body))


def stored_entries(
    condition: str = "", order: str = "sequence", *, macs_are_digits: bool = False
) -> Iterator[StoredEntry]:
    """Yield the entries that meet a condition in SQL, in order; they come as a stream while a transaction is open.

    `macs_are_digits` in a database that is not migrated yet.
    """
    query = select(StoredEntry._fields, condition, order, macs_are_digits=macs_are_digits)
    for sequence, *facts in rows_of(query):
        yield StoredEntry(sequence, *map(str, facts))


def select(
    columns: Iterable[str], condition: str = "", order: str = "sequence", *, macs_are_digits: bool = False
) -> str:
    """Return the query for these columns of the entries that meet a condition in SQL.

    Raises OperationalError if the database is of an earlier version, unless that is known: `macs_are_digits`.
    """
    as_signed = {"attempt_id": hex_sql("attempt_id"), "time": time_sql("created_at")}
    if not macs_are_digits:
        _assert_migrated()
        as_signed |= {name: digits_sql(name, connections[DATABASE].vendor) for name in ("previous_mac", "mac")}
    listed = ", ".join(as_signed.get(column, column) for column in columns)
    where = f"WHERE {condition}" if condition else ""
    return f"SELECT {listed} FROM audit_auditentry {where} ORDER BY {order}"  # noqa: S608 (constants)


def _assert_migrated() -> None:
    """Raise OperationalError if SQLite still has digits for macs, which would fit nothing; PostgreSQL finds out."""
    if connections[DATABASE].vendor == "sqlite":
        kinds = [*rows_of("SELECT type FROM pragma_table_info('audit_auditentry') WHERE name = 'mac'")]
        if kinds and kinds[0][0].upper() != "BLOB":
            raise OperationalError("the audit's entries are of an earlier version")


def hex_sql(column: str) -> str:
    """Return SQL for a UUID as 32 hex digits, which is how SQLite holds it; "" if there is none."""
    if connections[DATABASE].vendor == "postgresql":
        column = f"replace({column}::text, '-', '')"
    return f"coalesce({column}, '')"


def time_sql(column: str, using: str = DATABASE) -> str:
    """Return SQL for a time as it was signed, "" if there is none: a value that Python parses costs twice as much.

    The column is of the audit's database unless another is named.
    """
    if connections[using].vendor == "postgresql":
        return f"coalesce(to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), '')"
    # On SQLite it is text without microseconds that are none, and may name UTC.
    text = f"replace({column}, '+00:00', '')"
    return f"coalesce(CASE length({text}) WHEN 19 THEN {text} || '.000000' ELSE {text} END, '')"


def rows_of(query: str, using: str = DATABASE) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, on the audit's database unless another is named, without holding all of them."""
    with connections[using].chunked_cursor() as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield from rows


def hex_of(value: Any) -> str:
    """Return a UUID as 32 hex digits, which is how SQLite holds it; "" if there is none."""
    return value.hex if isinstance(value, uuid.UUID) else str(value or "")


def time_of(value: Any) -> str:
    """Return a time as it was signed; "" if there is none."""
    if isinstance(value, datetime):
        return stored_time(value)
    return stored_text(str(value)) if value else ""
