"""Where Django looks for the classes of a database engine."""

from typing import Any, ClassVar

from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg import Connection

from tmsdash.db.pool import Pool
from tmsdash.db.postgresql import limit_session


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL, also behind a pooler such as PgBouncer that lends out its connections for a transaction each."""

    _connection_pools: ClassVar[dict[str, Pool]] = {}  # by alias; Django's `close_pool` removes them

    @property
    def pool(self) -> Pool | None:
        """The connections of this process to the database; None where each use opens one of its own."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        if self.alias not in self._connection_pools:
            self._connection_pools.setdefault(self.alias, Pool(self._opened, **options))
        return self._connection_pools[self.alias]

    def chunked_cursor(self) -> Any:
        """Return a cursor for a long result: one of the server's, if there is a transaction that it can live in.

        Outside of one it would be a session's, which other clients of a pooler share.
        """
        return super().chunked_cursor() if self.in_atomic_block else self.cursor()

    def _opened(self) -> Connection[Any]:
        parameters = self.get_connection_params() | {"autocommit": True}
        connection: Connection[Any] = self.Database.connect(**parameters)
        try:
            self._configure_connection(connection)
        except BaseException:  # a pooler answers while the server behind it is away
            connection.close()
            raise
        return connection

    def _configure_connection(self, connection: Connection[Any]) -> bool:
        is_changed: bool = super()._configure_connection(connection)  # type: ignore[misc]  # which stubs do not know
        limit_session(connection)
        return is_changed
