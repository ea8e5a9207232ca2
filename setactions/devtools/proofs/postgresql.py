"""The proof on PostgreSQL: three databases of its own on a server, and files of what they hold, for the judge."""

import json
import secrets
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

NAMES = {"DATABASE_URL": "app", "JOBS_DATABASE_URL": "jobs", "AUDIT_DATABASE_URL": "audit"}


class ServerDatabases:
    """Three databases on a server, which must be dropped again."""

    def __init__(self, server: str) -> None:
        """Create them on the server, whose URL names a user who may. Raise psycopg.Error if that fails."""
        self._server, mark = server.rstrip("/"), secrets.token_hex(4)
        self._databases = {variable: f"prove_{mark}_{name}" for variable, name in NAMES.items()}
        self.urls = {variable: f"{self._server}/{name}" for variable, name in self._databases.items()}
        self._on_each("CREATE DATABASE {}")
        # A server that was started for tests may forget what it was told last; these must not, when it is restarted.
        self._on_each("ALTER DATABASE {} SET synchronous_commit = on")

    def drop(self) -> None:
        """Drop them, whoever is connected."""
        self._on_each("DROP DATABASE IF EXISTS {} WITH (FORCE)")

    def _on_each(self, statement: str) -> None:
        with closing(psycopg.connect(f"{self._server}/postgres", autocommit=True)) as session:
            for name in self._databases.values():
                session.execute(sql.SQL(statement).format(sql.Identifier(name)))

    def copy_to(self, folder: Path) -> None:
        """Write a SQLite file for each in `folder`, named as those of a site on SQLite, with the same values."""
        for variable, name in NAMES.items():
            with (
                psycopg.connect(self.urls[variable]) as session,
                closing(sqlite3.connect(folder / f"{name}.db")) as file,
            ):
                tables = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
                for (table,) in tables.fetchall():
                    rows = session.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
                    columns = [column.name for column in rows.description or ()]
                    listed = ", ".join(f'"{column}"' for column in columns)
                    file.execute(f'CREATE TABLE "{table}" ({listed})')
                    insert = f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(columns))})'  # noqa: S608
                    file.executemany(insert, ([_as_sqlite(value) for value in row] for row in rows))
                file.commit()


def _as_sqlite(value: Any) -> Any:
    """Return a value as the product stores it in SQLite."""
    if isinstance(value, uuid.UUID):
        return value.hex
    if isinstance(value, dict | list):
        return json.dumps(value)
    return value if isinstance(value, int | float | str | bytes | None) else str(value)
