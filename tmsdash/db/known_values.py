"""The distinct values of columns, found by one step into an index each instead of by reading every row."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.db import connections
from django.db.models import Model

PassedOver = tuple[str, str] | None


def known_values(model: type[Model], name: str, at_most: int, *, passed_over: PassedOver = None) -> list[str]:
    """Return the first values but "" of a column of text, in its order. An index must begin with it.

    `passed_over` are a prefix, and the last value that can begin with it: such values are left out and stepped over
    in one go, however many there are. It is one query always.
    """
    return known_values_of(model, {name: passed_over}, at_most)[name]


def known_values_of(model: type[Model], columns: Mapping[str, PassedOver], at_most: int) -> dict[str, list[str]]:
    """Return the same of several `columns`, each with what is passed over in it, in one query for all of them."""
    connection = connections[model._default_manager.db]
    table = connection.ops.quote_name(model._meta.db_table)
    parts, shown = [], []
    parameters: list[Any] = []
    for number, (name, passed_over) in enumerate(columns.items()):
        field: Any = model._meta.get_field(name)
        column, place = connection.ops.quote_name(field.column), "value"
        if passed_over:
            prefix, last = passed_over
            place = "CASE WHEN substr(value, 1, %s) = %s THEN %s ELSE value END"
            parameters += [len(prefix), prefix, last]
        # Each step goes to the next value in the index; up to two of the values are left out below.
        parts.append(f"""known{number} (value, before) AS (
            SELECT min({column}), 0 FROM {table}
            UNION ALL
            SELECT (SELECT min({column}) FROM {table} WHERE {column} > {place}), before + 1
            FROM known{number} WHERE value IS NOT NULL AND before <= %s
        )""")  # noqa: S608 (the names are the model's)
        parameters.append(at_most)
        shown.append(f"SELECT {number} AS part, value, before FROM known{number} WHERE value <> ''")  # noqa: S608
    values: dict[str, list[str]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(f"WITH RECURSIVE {', '.join(parts)} {' UNION ALL '.join(shown)} ORDER BY 1, 3", parameters)
        for number, value, _ in cursor:
            if isinstance(value, str):  # SQLite keeps whatever somebody wrote there
                values[[*columns][number]].append(value)
    return {name: _offered(values[name], passed_over)[:at_most] for name, passed_over in columns.items()}


def _offered(texts: list[str], passed_over: PassedOver) -> list[str]:
    return [text for text in texts if not (passed_over and text.startswith(passed_over[0]))]
