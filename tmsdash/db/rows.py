"""Rows of a model, written and read by plain statements whose text is always the same.

Django's ORM builds the text of a statement anew each time, which costs several times what the statement does, and where
these run, others wait for the lock. What goes into the columns is what the ORM would put there, field by field; a test
compares both.
"""

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

from django.db import connections, models
from django.db.backends.utils import CursorWrapper

Row = TypeVar("Row", bound=models.Model)
# What columns take as it is, unless they are of these fields.
AS_IT_IS = frozenset({str, int, bool, type(None)})
CONVERTED = (models.DateField, models.UUIDField)

Converters = list[tuple[int, Any, Sequence[Callable[..., Any]]]]


class Rows(Generic[Row]):
    """The rows of `model` in the database `using`. All raise what the ORM raises."""

    def __init__(self, using: str, model: type[Row]) -> None:
        self._using, self._model = using, model
        self.table = model._meta.db_table

    @cached_property
    def _fields(self) -> list[Any]:
        return [*self._model._meta.concrete_fields]

    def columns_of(self, alias: str) -> str:
        """Return the columns of the table under this name, in the order in which `read` takes them."""
        return ", ".join(f'{alias}."{field.column}"' for field in self._fields)

    def insert(self, cursor: CursorWrapper, row: Any) -> None:
        """Insert what has an attribute for each column, the primary key among them."""
        cursor.execute(self._insert, self._prepared(self._fields, row))

    def insert_unless_taken(self, cursor: CursorWrapper, row: Row) -> bool:
        """Insert a row and give it the `id` that the database chose; False if another has one of its unique values."""
        cursor.execute(self._insert_unless_taken, self._prepared(self._chosen_fields, row))
        key = cursor.fetchone()
        if key:
            [row.pk] = key
        return key is not None

    def update(self, cursor: CursorWrapper, row: Row, columns: Sequence[str]) -> None:
        """Save these columns of a row that is there."""
        fields = [self._model._meta.get_field(column) for column in columns]
        cursor.execute(_update(self.table, tuple(columns)), [*self._prepared(fields, row), row.pk])

    def _prepared(self, fields: Sequence[Any], row: Any) -> list[Any]:
        connection = connections[self._using]
        values = [getattr(row, field.attname) for field in fields]
        return [
            value
            if type(value) in AS_IT_IS and not isinstance(field, CONVERTED)
            else field.get_db_prep_save(value, connection)
            for field, value in zip(fields, values, strict=True)
        ]

    @cached_property
    def _insert(self) -> str:
        return _insert(self.table, self._fields)

    @cached_property
    def _insert_unless_taken(self) -> str:
        return f'{_insert(self.table, self._chosen_fields)} ON CONFLICT DO NOTHING RETURNING "id"'

    @cached_property
    def _chosen_fields(self) -> list[Any]:
        return [field for field in self._fields if not field.primary_key]

    def read(self, values: Sequence[Any]) -> Row:
        """Return the row whose values, as the database gives them, are in the order of `columns_of`."""
        connection, converted = connections[self._using], [*values]
        for position, column, converters in self._converters:
            for convert in converters:
                converted[position] = convert(converted[position], column, connection)
        return self._model.from_db(self._using, self._names, converted)

    @cached_property
    def _names(self) -> list[str]:
        return [field.attname for field in self._fields]

    @cached_property
    def _converters(self) -> Converters:
        connection = connections[self._using]
        columns = [field.get_col(self.table) for field in self._fields]
        converters = [
            [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)] for column in columns
        ]
        return [(position, columns[position], several) for position, several in enumerate(converters) if several]


def _insert(table: str, fields: Sequence[Any]) -> str:
    names, marks = ", ".join(f'"{field.column}"' for field in fields), ", ".join(["%s"] * len(fields))
    return f'INSERT INTO "{table}" ({names}) VALUES ({marks})'  # noqa: S608 (names of ours)


@cache
def _update(table: str, columns: tuple[str, ...]) -> str:
    changes = ", ".join(f'"{column}" = %s' for column in columns)
    return f'UPDATE "{table}" SET {changes} WHERE "id" = %s'  # noqa: S608 (names of ours)
