"""The tables of a database, and what their rows are on both engines alike.

A value is read as SQLite stores it: ids as 32 hex digits, times as text in UTC without microseconds that are none,
flags as numbers, JSON as text. PostgreSQL takes all of these as they are.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db.models import AutoField, Model

from audit.digests import canonical
from jobs.stored import plain
from tmsdash.db.schema import models_of

Row = Sequence[Any]
# How PostgreSQL gives a column as SQLite stores it, by the kind of its field.
_AS_STORED = {
    "UUIDField": "replace({0}::text, '-', '')",
    "DateTimeField": "replace(to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), '.000000', '')",
    "DateField": "to_char({0}, 'YYYY-MM-DD')",
    "BooleanField": "{0}::int",
    "JSONField": "{0}::text",
    "GenericIPAddressField": "host({0})",
}
_SUMS = 1 << 128


def _time(text: str) -> str:
    """Return one text for one time. SQLite holds it as it was written: with UTC or without, with zeros or without."""
    text = text.removesuffix("+00:00")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _json(text: str) -> str:
    """Return one text for one value; PostgreSQL keeps neither the order of names nor how a number was written."""
    return canonical(plain(json.loads(text)))


_READINGS = {"DateTimeField": _time, "JSONField": _json}


@dataclass(frozen=True)
class Table:
    """A table: its columns with the kinds of their fields, those of its key, and the one that counts up by itself."""

    name: str
    columns: dict[str, str]
    key: list[str]
    counter: str | None

    def select(self, vendor: str, placeholder: str, *, is_ordered: bool, is_behind: bool) -> str:
        """Return the query for its rows: in the order of their keys or in any, all or those behind a key."""
        is_sqlite = vendor == "sqlite"
        values = [
            f'"{name}"' if is_sqlite else _AS_STORED.get(kind, "{0}").format(f'"{name}"')
            for name, kind in self.columns.items()
        ]
        key = ", ".join(f'"{name}"' for name in self.key)
        behind = f" WHERE ({key}) > ({', '.join([placeholder] * len(self.key))})" if is_behind else ""
        order = f" ORDER BY {key}" if is_ordered else ""
        return f'SELECT {", ".join(values)} FROM "{self.name}"{behind}{order}'  # noqa: S608 (names of ours)

    @cached_property
    def readings(self) -> list[tuple[int, Callable[[str], str]]]:
        """Which of the columns may be written differently on the two engines, each with what makes them alike."""
        kinds = enumerate(self.columns.values())
        return [(place, _READINGS[kind]) for place, kind in kinds if kind in _READINGS]

    def key_of(self, row: Row) -> list[Any]:
        """Return the values of a row's key."""
        names = [*self.columns]
        return [row[names.index(name)] for name in self.key]


def tables_of(alias: str) -> list[Table]:
    """Return the tables of a database, each behind those that its rows refer to."""
    waiting, ordered = models_of(alias), list[type[Model]]()
    while waiting:
        free = [model for model in waiting if _referred(model).isdisjoint(set(waiting) - {model})]
        if not free:
            raise ValueError(f"these tables refer to each other: {waiting}")
        ordered += free
        waiting = [model for model in waiting if model not in free]
    return [_table(model) for model in ordered]


def _referred(model: type[Model]) -> set[Any]:
    return {field.related_model for field in model._meta.local_concrete_fields if field.is_relation}


def _table(model: type[Model]) -> Table:
    fields = model._meta.local_concrete_fields
    columns = {str(field.column): _kind(field) for field in fields}
    key = [str(field.column) for field in model._meta.pk_fields]
    counter = next((str(field.column) for field in fields if isinstance(field, AutoField)), None)
    return Table(model._meta.db_table, columns, key, counter)


def _kind(field: Any) -> str:
    while field.is_relation:
        field = field.target_field
    return str(field.get_internal_type())


@dataclass
class Content:
    """What rows hold, whatever their order: how many they are, and the sum of the hashes of each."""

    rows: int = 0
    sum: int = 0
    size: int = field(default=0, compare=False)  # in characters

    def add_row(self, table: Table, row: Row) -> None:
        """Take in a row of a table. Raises ValueError if a column of JSON holds none."""
        if table.readings:
            row = list(row)
            for place, reading in table.readings:
                if row[place] is not None:
                    row[place] = reading(str(row[place]))
        text = repr(tuple(row))
        self.rows += 1
        self.size += len(text)
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self.sum = (self.sum + int.from_bytes(digest)) % _SUMS
