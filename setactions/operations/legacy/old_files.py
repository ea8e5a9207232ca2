"""The old dashboard's two files, and their rows as they are."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from setactions.operations.legacy.copies import BadFileError, copied, lacks_wal

# The columns of each table that the import needs.
JOBS = {
    "jobs": "job_id user_id batch_id action_code action_name cluster_url created_at status request_payload "
    "response_summary",
    "job_customers": "job_id cid",
}
AUDIT = {"audit_log": "user_id action_type customer_ids timestamp ip_address status error_message duration_ms"}

Row = dict[str, Any]


class OldFile:
    """A file of the old dashboard, or rather a copy of it; every read raises BadFileError if it is damaged."""

    def __init__(self, path: Path, database: sqlite3.Connection, *, lacks_wal: bool) -> None:
        self.path, self._database = path, database
        name = f"{path.name}-wal"
        self.wal_problem = f"{path} was written with a {name} beside it, which is missing." if lacks_wal else ""

    def check(self, tables: dict[str, str]) -> None:
        """Raise BadFileError unless it has these tables with these columns."""
        for table, columns in tables.items():
            lacking = set(columns.split()) - {row["name"] for row in self.query(f"PRAGMA table_info({table})")}
            what = f"{table} lacks {', '.join(sorted(lacking))}."
            if lacking and self.wal_problem:
                raise BadFileError(f"{self.wal_problem} Stop the old dashboard, and copy both files: here {what}")
            if lacking:
                raise BadFileError(f"{self.path} is not a file of the old dashboard: {what}")

    def query(self, sql: str, values: Sequence[Any] = ()) -> Iterator[sqlite3.Row]:
        """Yield what a query finds."""
        try:
            yield from self._database.execute(sql, values)
        except sqlite3.Error as error:
            raise BadFileError(f"{self.path} cannot be read: {error}. {self.wal_problem}".rstrip()) from None

    def rows(self, table: str) -> Iterator[tuple[int, Row]]:
        """Yield the rows of a table, each with its number, in the order in which they were written."""
        for row in self.query(f"SELECT rowid AS _number, * FROM {table} ORDER BY rowid"):  # noqa: S608 (constants)
            values = dict(row)
            yield values.pop("_number"), values

    def index_customers(self) -> None:
        """Index the customers by job in a temporary table: the file itself may have no index."""
        for statement in (
            "CREATE TEMP TABLE customer AS "
            "SELECT rowid AS number, CAST(job_id AS TEXT) AS job_id, cid FROM job_customers",
            "CREATE INDEX temp.customer_by_job ON customer (job_id, number)",
        ):
            list(self.query(statement))

    def customers_of(self, job_id: Any) -> list[tuple[int, Any]]:
        """Return the ids of a job, each with the number of its row, in their order."""
        query = "SELECT number, cid FROM customer WHERE job_id = CAST(? AS TEXT) ORDER BY number"
        return [(number, cid) for number, cid in self.query(query, [job_id])]

    def customers_of_nothing(self) -> Iterator[int]:
        """Yield the numbers of the rows of customers that belong to no job."""
        query = (
            "SELECT number FROM customer WHERE job_id IS NULL OR job_id NOT IN "
            "(SELECT CAST(job_id AS TEXT) FROM jobs WHERE job_id IS NOT NULL) ORDER BY number"
        )
        for (number,) in self.query(query):
            yield number


@contextmanager
def opened(path: Path, tables: dict[str, str]) -> Iterator[OldFile]:
    """Open a copy of a file; raises BadFileError unless it has these tables with these columns."""
    with copied(path) as copy, closing(sqlite3.connect(copy)) as database:
        database.row_factory = sqlite3.Row
        database.text_factory = lambda raw: raw.decode(errors="replace")
        file = OldFile(path, database, lacks_wal=lacks_wal(copy))
        file.check(tables)
        yield file
