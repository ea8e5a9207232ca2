"""What a migration to an earlier state would throw away."""

from collections.abc import Iterable

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

Columns = dict[str, set[str]]
"""The columns of each table."""

# A value that says nothing: of a column without one, as text.
_NOTHING = "('', '0', 'false', '[]', '{}')"


def losses(connection: BaseDatabaseWrapper, targets: list[tuple[str, str | None]]) -> dict[str, int]:
    """Return in how many rows of this database there is something that the way back to `targets` would throw away.

    Names are of tables that go, and of columns (`table.column`) of tables that stay. What an app calls `made_again` is
    left out: migrating forwards makes it from other rows, or it serves for minutes. Forwards, nothing is lost.
    """
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(targets)
    back = {(migration.app_label, migration.name) for migration, is_back in plan if is_back}
    if not back:
        return {}
    applied = [node for node in executor.loader.applied_migrations if node in executor.loader.graph.nodes]
    before, after = (
        _columns(executor.loader.project_state(nodes), connection)
        for nodes in (applied, [node for node in applied if node not in back])
    )
    spared: set[str] = {name for config in apps.get_app_configs() for name in getattr(config, "made_again", ())}
    counts = {}
    for table, columns in before.items():
        if table not in after:
            counts[table] = _count(connection, table)
        else:
            for column in columns - after[table]:
                name = f"{table}.{column}"
                counts[name] = 0 if name in spared else _count(connection, table, column)
    return {name: count for name, count in sorted(counts.items()) if count and name not in spared}


def sentence(lost: dict[str, int], names: Iterable[str]) -> str:
    """Say what would be thrown away, and how to ask for it by name; empty if all of it is among `names`."""
    unasked = {name: count for name, count in lost.items() if name not in set(names)}
    if not unasked:
        return ""
    what = ", ".join(f"{name} ({count:,} row{'s' * (count > 1)})" for name, count in unasked.items())
    return (
        f"Nothing was changed: this would throw away {what}. Make a backup first (manage.py backup). If it is to go, "
        f"name it: --discard {' '.join(lost)}"
    )


def _columns(state: ProjectState, connection: BaseDatabaseWrapper) -> Columns:
    existing = set(connection.introspection.table_names())
    models = state.apps.get_models(include_auto_created=True)
    return {
        model._meta.db_table: {str(field.column) for field in model._meta.local_concrete_fields}
        for model in models
        if model._meta.db_table in existing
    }


def _count(connection: BaseDatabaseWrapper, table: str, column: str = "") -> int:
    quoted = connection.ops.quote_name
    value = f"CAST({quoted(column)} AS text)" if column else ""
    condition = f" WHERE {quoted(column)} IS NOT NULL AND {value} NOT IN {_NOTHING}" if column else ""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {quoted(table)}{condition}")  # noqa: S608 (names of our own models)
        return int(cursor.fetchone()[0])
