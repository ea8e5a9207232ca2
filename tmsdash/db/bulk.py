"""One statement that inserts a long list of values for one owner, on both engines."""

import json
from collections.abc import Sequence

from django.db import DatabaseError, connections


def insert_list(
    using: str, table: str, owner_column: str, owner_id: int, cids: Sequence[str], *, with_position: bool = False
) -> None:
    """Insert a row (owner, cid) for each of `cids`, or (owner, cid, position) with positions counting from 0.

    One statement takes the whole list as one parameter: building model instances for 27,682
    customers alone costs several times the insert. Rows go in sorted, so that the index on cid is
    written page by page. Raises DatabaseError unless every row went in.
    """
    connection = connections[using]
    quote = connection.ops.quote_name
    columns = [quote(owner_column), "cid"] + ["position"] * with_position
    into = f"INSERT INTO {quote(table)} ({', '.join(columns)}) SELECT %s, "
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            text = json.dumps(cids, ensure_ascii=False)
            items = "value, key" if with_position else "value"
            cursor.execute(f"{into} {items} FROM json_each(%s) ORDER BY value", [owner_id, text])
        else:
            items = "item, place - 1" if with_position else "item"
            rows = "unnest(%s::text[]) WITH ORDINALITY AS list(item, place) ORDER BY item"
            cursor.execute(f"{into} {items} FROM {rows}", [owner_id, list(cids)])
        if cursor.rowcount != len(cids):
            raise DatabaseError(f"{cursor.rowcount} of {len(cids)} rows were inserted into {table}")
