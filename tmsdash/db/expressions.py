"""SQL that Django has no words for, on both engines."""

from typing import Any

from django.db.models import CharField, F, Func, Lookup
from django.db.models.lookups import Exact, GreaterThanOrEqual, LessThanOrEqual

LOOKUPS: dict[str, type[Lookup]] = {"": Exact, "gte": GreaterThanOrEqual, "lte": LessThanOrEqual}


class Day(Func):
    """The first `digits` of a time in UTC: its day, or its month. SQLite asks Python for Django's own, row by row."""

    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="substr(%(expressions)s, 1, %(digits)s)", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "left(to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD'), %(digits)s)"
        return self.as_sql(compiler, connection, template=template, **context)


class Unindexed(Func):
    """A column through whose index SQLite must not look for rows.

    Without statistics SQLite takes every index for equally good, and those of an old sample mislead it. PostgreSQL
    keeps statistics of its own and needs no such hint.
    """

    template = "%(expressions)s"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="+%(expressions)s", **context)


class Apart(Func):
    """A text column as none but lists ask for it: its index is for them alone, and misleads no other query."""

    template = "coalesce(%(expressions)s, '')"
    output_field = CharField()

    @property
    def column(self) -> str:
        """The name of the column."""
        [column] = self.get_source_expressions()
        return str(column.name)


def unindexed(**conditions: Any) -> list[Any]:
    """Return conditions such as `user_id="olivia"` or `created_at__gte=moment`, to be tested row by row only."""
    tests = []
    for name, value in conditions.items():
        column, _, lookup = name.partition("__")
        tests.append(LOOKUPS[lookup](Unindexed(F(column)), value))
    return tests
