"""Rows of a model, written and read by plain statements whose text is always the same.

Django's ORM builds the text of a statement anew each time, which costs several times what the statement does, and where
these run, others wait for the lock. What goes into the columns is what the ORM would put there, field by field; a test
compares both.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from tmsdash.db.fields import HexField

Row = TypeVar("Row", bound=models.Model)
# What columns take as it is, unless they are of these fields.
AS_IT_IS = frozenset({str, int, bool, type(None)})
CONVERTED = (models.DateField, models.UUIDField, HexField)

Converters = list[tuple[int, Any, Sequence[Callable[..., Any]]]]


class Rows(Generic[Row]):
    """The rows of `model` in the database `using`. All raise what the ORM raises."""

    def __init__(self, using: str, model: type[Row]) -> None:
        self._using, self._model = using, model
        self.table = model._meta.db_table
        self._converters: dict[str, Converters] = {}  # by engine, of which `move_data` sees both

    @cached_property
    def _fields(self) -> list[Any]:
        return [*self._model._meta.concrete_fields]

    def columns_of(self, alias: str) -> str:
        """Return the columns of the table under this name, in the order in which `read` takes them."""
        return ", ".join(f'{alias}."{field.column}"' for field in self._fields)

    def insert(self, cursor: CursorWrapper, row: Any) -> None:
        """Insert what has an attribute for each column, the primary key among them."""
        cursor.execute(self._insert, self._prepared(cursor.db, self._columns, row.__getattribute__))

    def insert_unless_taken(self, cursor: CursorWrapper, row: Row) -> bool:
        """Insert a row and give it the `id` that the database chose; False if another has one of its unique values."""
        cursor.execute(self._insert_unless_taken, self._prepared(cursor.db, self._chosen_columns, row.__getattribute__))
        key = cursor.fetchone()
        if key:
            [row.pk] = key
        return key is not None

    def update(self, cursor: CursorWrapper, row: Row, columns: tuple[str, ...], before: Mapping[str, Any]) -> bool:
        """Save these columns of a row; False, and nothing is written, if it does not have the values `before`."""
        old = tuple(before)
        values = self._prepared(cursor.db, columns, row.__getattribute__)
        values += [row.pk, *self._prepared(cursor.db, old, before.__getitem__)]
        cursor.execute(_update(self.table, columns, old), values)
        return bool(cursor.rowcount)

    def _prepared(
        self, connection: BaseDatabaseWrapper, columns: Sequence[str], value_of: Callable[[str], Any]
    ) -> list[Any]:
        fields, is_sqlite = self._field_of, connection.vendor == "sqlite"
        values = []
        for column in columns:
            value, (field, is_converted) = value_of(column), fields[column]
            if is_sqlite and type(value) is datetime and value.tzinfo is UTC:
                value = str(value.replace(tzinfo=None))  # what Django makes of it in five times as many steps
            elif is_converted or type(value) not in AS_IT_IS:
                value = field.get_db_prep_save(value, connection)
                if is_sqlite and isinstance(value, str):
                    value = str(value)  # of an enumeration's member, which sqlite3 would have to adapt
            values.append(value)
        return values

    @cached_property
    def _field_of(self) -> dict[str, tuple[Any, bool]]:
        return {field.attname: (field, isinstance(field, CONVERTED)) for field in self._fields}

    @cached_property
    def _insert(self) -> str:
        return _insert(self.table, self._columns)

    @cached_property
    def _insert_unless_taken(self) -> str:
        return f'{_insert(self.table, self._chosen_columns)} ON CONFLICT DO NOTHING RETURNING "id"'

    @cached_property
    def _columns(self) -> list[str]:
        return [field.attname for field in self._fields]

    @cached_property
    def _chosen_columns(self) -> list[str]:
        return [field.attname for field in self._fields if not field.primary_key]

    def read(self, values: Sequence[Any]) -> Row:
        """Return the row whose values, as the database gives them, are in the order of `columns_of`."""
        connection, converted = connections[self._using], [*values]
        for position, column, converters in self._converters_for(connection):
            for convert in converters:
                converted[position] = convert(converted[position], column, connection)
        return self._model.from_db(self._using, self._columns, converted)

    def _converters_for(self, connection: BaseDatabaseWrapper) -> Converters:
        if connection.vendor not in self._converters:
            self._converters[connection.vendor] = self._made_for(connection)
        return self._converters[connection.vendor]

    def _made_for(self, connection: BaseDatabaseWrapper) -> Converters:
        columns = [field.get_col(self.table) for field in self._fields]
        converters = [
            [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)] for column in columns
        ]
        return [(position, columns[position], several) for position, several in enumerate(converters) if several]


def _insert(table: str, columns: Sequence[str]) -> str:
    names, marks = ", ".join(f'"{column}"' for column in columns), ", ".join(["%s"] * len(columns))
    return f'INSERT INTO "{table}" ({names}) VALUES ({marks})'  # noqa: S608 (names of ours)


@cache
def _update(table: str, columns: tuple[str, ...], old: tuple[str, ...]) -> str:
    changes = ", ".join(f'"{column}" = %s' for column in columns)
    unchanged = "".join(f' AND "{column}" = %s' for column in old)
    return f'UPDATE "{table}" SET {changes} WHERE "id" = %s{unchanged}'  # noqa: S608 (names of ours)
