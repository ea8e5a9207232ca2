"""Statements for long lists of ids, on both engines: in parts, or with the whole list as one parameter."""

import json
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TypeVar

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import RawSQL

from tmsdash.processes import trim

IDS_PER_QUERY = 500
LONG_LIST = 2_000  # ids: of a longer one, memory is looked after
LONG = 32 * LONG_LIST  # characters of a parameter
Id = TypeVar("Id")


def parts(ids: Sequence[Id]) -> Iterator[Sequence[Id]]:
    """Yield ids in parts that fit into one query: databases bound the number of a statement's parameters."""
    return (ids[start : start + IDS_PER_QUERY] for start in range(0, len(ids), IDS_PER_QUERY))


class Listed(tuple[str, ...]):
    """Customer ids with the parameter that they are of a statement, made before a lock is taken: a fleet's takes a
    while."""

    parameter: str | list[str]

    @classmethod
    def of(cls, using: str, cids: Iterable[str]) -> "Listed":
        """Return these ids for statements on the database `using`."""
        listed = cls(cids)
        is_sqlite = connections[using].vendor == "sqlite"
        listed.parameter = json.dumps(listed, ensure_ascii=False) if is_sqlite else [*listed]
        return listed


def _parameter(using: str, cids: Sequence[str]) -> str | list[str]:
    return (cids if isinstance(cids, Listed) else Listed.of(using, cids)).parameter


def release_after(connection: BaseDatabaseWrapper, parameter: Sized) -> None:
    """Let a connection that was given a long parameter be closed once its transaction is over.

    SQLite's statements are kept, with copies of what they were given last, and so are the pages that a fleet changed:
    each thread would hold some megabytes.
    """
    if len(parameter) > LONG and connection.vendor == "sqlite":
        connection.connection.is_full = True


def release_caches() -> None:
    """Let this thread's connections drop the pages that long reading has left in their caches."""
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "sqlite" and connection.connection is not None:
            connection.connection.execute("PRAGMA shrink_memory")
    trim()


def insert_list(
    using: str,
    table: str,
    owner_column: str,
    owner_id: int,
    cids: Sequence[str],
    *,
    segment: int | None = None,
    keys_from: int | None = None,
) -> None:
    """Insert a row (owner, cid) for each of `cids`.

    In a table that has them, all get the `segment`, or each gets its `position`, counting from 0, and that position
    behind `keys_from` as its key.

    One statement takes the whole list as one parameter: building model instances for 27,682 customers alone costs
    several times the insert. Rows go in in the order of their index, so that it is written page by page. Raises
    DatabaseError unless every row went in; some may have, so the transaction must be rolled back then. Promised to undo
    the statement itself (OR ABORT), SQLite would keep in memory what each page held that it changes.
    """
    connection = connections[using]
    columns, given = [connection.ops.quote_name(owner_column), "cid"], [owner_id]
    is_sqlite = connection.vendor == "sqlite"
    items, order = ("%s, value", "value") if is_sqlite else ("%s, item", "item")
    if segment is not None:
        columns, given, items = ["segment", *columns], [segment, *given], f"%s, {items}"
    if keys_from is not None:
        columns, given = ["id", *columns, "position"], [keys_from, *given]
        order = "key" if is_sqlite else "place - 1"
        items = f"{order} + %s, {items}, {order}"
    verb = "INSERT OR FAIL" if is_sqlite else "INSERT"
    rows = "json_each(%s)" if is_sqlite else "unnest(%s::text[]) WITH ORDINALITY AS list(item, place)"
    into = f"{verb} INTO {connection.ops.quote_name(table)} ({', '.join(columns)})"
    parameter = _parameter(using, cids)
    with connection.cursor() as cursor:
        selected = f"SELECT {items} FROM {rows} ORDER BY {order}"  # noqa: S608 (names of ours)
        cursor.execute(f"{into} {selected}", [*given, parameter])
        release_after(connection, parameter)
        if cursor.rowcount != len(cids):
            raise DatabaseError(f"{cursor.rowcount} of {len(cids)} rows were inserted into {table}")


def listed_uuids(using: str, ids: Sequence[str]) -> RawSQL:
    """Return a subquery of these ids, however many: each as a parameter of its own would be too many.

    They are the text of UUIDs, with or without hyphens, as the databases hold them.
    """
    if connections[using].vendor == "sqlite":
        return RawSQL("SELECT value FROM json_each(%s)", [json.dumps(ids).replace("-", "")])
    return RawSQL("SELECT unnest(%s::uuid[])", [[*ids]])


def owners_of_list(
    using: str, table: str, owner_column: str, cids: Sequence[str], *, from_owner_id: int, segments: Sequence[int]
) -> list[tuple[int, str]]:
    """Return the rows (owner, cid) of a table for any of `cids`, of owners with this id or a later one.

    The table needs an index on (segment, cid, owner), and `segments` are those of such owners. The index is looked at
    once for each segment and id, whatever else it holds: the statements leave the planner no other way, because one
    that reads a table of ten million customers takes seconds.
    """
    connection = connections[using]
    quote = connection.ops.quote_name
    owner = quote(owner_column)
    place = f"owned.segment = segments.segment AND owned.cid = listed.cid AND owned.{owner} >= %s"
    rows = f"{quote(table)} AS owned WHERE {place}"
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            # The segments outside: within one, ids in their order go through it from end to end.
            segmented = "(SELECT value AS segment FROM json_each(%s)) AS segments"
            listed = f"{segmented} CROSS JOIN (SELECT value AS cid FROM json_each(%s)) AS listed"  # noqa: S608
            cursor.execute(
                f"SELECT owned.{owner}, owned.cid FROM {listed} CROSS JOIN {rows}",  # noqa: S608 (names of ours)
                [json.dumps(segments), _parameter(using, cids), from_owner_id],
            )
        else:
            # OFFSET 0 keeps the inner query apart, so that it is carried out for each id.
            matched = f"(SELECT owned.{owner} AS owner, owned.cid FROM {rows} OFFSET 0) AS matched"  # noqa: S608
            listed = "unnest(%s::int[]) AS segments(segment) CROSS JOIN unnest(%s::text[]) AS listed(cid)"
            cursor.execute(
                f"SELECT matched.owner, matched.cid FROM {listed} CROSS JOIN LATERAL {matched}",  # noqa: S608
                [[*segments], _parameter(using, cids), from_owner_id],
            )
        return list(cursor.fetchall())
