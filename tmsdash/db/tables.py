"""What Django alone would not do to tables: make them otherwise or anew, drop a column's index, cover more columns.

On SQLite, the rows of a model with `without_rowid = True` stand in the index of their primary key. SQLite would keep
each of them twice otherwise: in the table, in the order in which they were inserted, and in the index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import AddField, CreateModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

Editor = BaseDatabaseSchemaEditor
Columns = dict[str, str | dict[str, str]]  # what goes into each, as SQL, by the engine's name where engines differ
ROWS_AT_ONCE = 20_000


def create_table(editor: Editor, model: type[models.Model], *, without_rowid: bool | None = None) -> None:
    """Create the table of a model. The models of migrations do not know `without_rowid`."""
    if without_rowid is None:
        without_rowid = getattr(model, "without_rowid", False)
    if without_rowid and editor.connection.vendor == "sqlite":
        statement, parameters = editor.table_sql(model)
        editor.execute(f"{statement} WITHOUT ROWID", parameters or None)
    else:
        editor.create_model(model)


class CreateWithoutRowid(CreateModel):
    """Create a table whose rows stand in the index of their primary key, see above."""

    def database_forwards(
        self, app_label: str, schema_editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Create the table."""
        model: type[models.Model] = to_state.apps.get_model(app_label, self.name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            create_table(schema_editor, model, without_rowid=True)


class CoveringIndex(models.Index):
    """An index that on SQLite has the columns `covered` as well, so that whoever asks for no others reads no row.

    PostgreSQL reads rows quickly, but refuses one whose columns of an index are longer than 2,700 bytes together.
    """

    def __init__(self, *, covered: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.covered = [*covered]

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        """Return the statement that makes it."""
        covered = self.covered if schema_editor.connection.vendor == "sqlite" else []
        index = models.Index(fields=[*self.fields, *covered], name=self.name, condition=self.condition)
        return index.create_sql(model, schema_editor, using, **kwargs)

    def deconstruct(self) -> Any:
        """Return how a migration makes it."""
        path, arguments, keywords = super().deconstruct()
        return path, arguments, keywords | {"covered": self.covered}


@dataclass(frozen=True)
class Copy:
    """How rows come into the other table: what goes into each column, as SQL over the old ones.

    They go in parts, so that sorting a part takes little memory: `step` values of the column `by`, an old one that
    counts up, at a time.
    """

    columns: Columns
    by: str
    step: int
    order: str


class RemakeTable(Operation):
    """Make the table of a model anew, as `made` describes it, with the rows that are there."""

    def __init__(self, made: CreateModel, forwards: Copy, backwards: Copy, *, without_rowid: bool = False) -> None:
        self.made, self.forwards, self.backwards, self.without_rowid = made, forwards, backwards, without_rowid

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Replace the model."""
        state.remove_model(app_label, self.made.name_lower)
        self.made.state_forwards(app_label, state)

    def database_forwards(
        self, app_label: str, schema_editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Replace the table."""
        self._remake(app_label, schema_editor, to_state, self.forwards, without_rowid=self.without_rowid)

    def database_backwards(
        self, app_label: str, schema_editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Put the old table back."""
        self._remake(app_label, schema_editor, to_state, self.backwards)

    def describe(self) -> str:
        """Return what is shown while it runs."""
        return f"Make the table of {self.made.name} anew"

    def _remake(
        self, app_label: str, editor: Editor, to_state: ProjectState, copy: Copy, *, without_rowid: bool = False
    ) -> None:
        model: type[models.Model] = to_state.apps.get_model(app_label, self.made.name)
        if self.allow_migrate_model(editor.connection.alias, model):
            _remake(editor, model, copy, without_rowid=without_rowid)


class ConvertColumns(Operation):
    """Make the table of a model anew, with other fields in the places of some, whose values are converted."""

    def __init__(
        self, model_name: str, fields: "dict[str, models.Field[Any, Any]]", forwards: Columns, backwards: Columns
    ) -> None:
        """Take the new fields, and the SQL that converts the columns of these names."""
        self.model_name, self.fields, self.forwards, self.backwards = model_name, fields, forwards, backwards

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Exchange the fields."""
        for name, field in self.fields.items():
            state.alter_field(app_label, self.model_name, name, field, preserve_default=True)

    def database_forwards(
        self, app_label: str, schema_editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Replace the table."""
        self._convert(app_label, schema_editor, to_state, self.forwards)

    def database_backwards(
        self, app_label: str, schema_editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Put the old table back."""
        self._convert(app_label, schema_editor, to_state, self.backwards)

    def describe(self) -> str:
        """Return what is shown while it runs."""
        return f"Convert {', '.join(self.fields)} of {self.model_name}"

    def _convert(self, app_label: str, editor: Editor, to_state: ProjectState, converted: Columns) -> None:
        model: type[models.Model] = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(editor.connection.alias, model):
            names = [str(field.column) for field in model._meta.concrete_fields]
            columns: Columns = {name: f'"{name}"' for name in names}
            key = str(model._meta.pk.column)
            _remake(editor, model, Copy(columns | converted, by=key, step=ROWS_AT_ONCE, order=key))


class AddTextColumn(AddField):
    """Add a column of text that is empty in the rows that are there, at once.

    On SQLite, Django would copy the whole table for that, and leave its triggers behind. `field` has a `db_default`, so
    that an older version, which knows nothing of the column, can go on inserting rows.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Add the column."""
        model: type[models.Model] = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            column = model._meta.get_field(self.name)
            definition = f"{column.db_type(schema_editor.connection)} DEFAULT '' NOT NULL"
            schema_editor.execute(f'ALTER TABLE {model._meta.db_table} ADD COLUMN "{self.name}" {definition}')

    def database_backwards(
        self, app_label: str, schema_editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Drop the column."""
        model: type[models.Model] = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            schema_editor.execute(f'ALTER TABLE {model._meta.db_table} DROP COLUMN "{self.name}"')


class DropIndexOfColumn(Operation):
    """Drop the index that a column has by its `db_index`. On SQLite, Django would copy the whole table for that, and
    leave its triggers behind."""

    def __init__(self, model_name: str, name: str, field: "models.Field[Any, Any]") -> None:
        """`field` is the column as it is then: the same, without an index."""
        self.model_name, self.name, self.field = model_name, name, field

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Note that the column has no index."""
        state.alter_field(app_label, self.model_name.lower(), self.name, self.field, preserve_default=True)

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Drop the index."""
        model, column = self._column(app_label, schema_editor, from_state)
        # As Django's AlterField does it on other databases; there is no public way to ask for the index's name.
        names = schema_editor._constraint_names(model, [column.column], index=True, unique=False) if model else ()
        for name in names:
            schema_editor.execute(schema_editor._delete_index_sql(model, name))

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Make the index again."""
        model, column = self._column(app_label, schema_editor, to_state)
        if model:
            schema_editor.execute(schema_editor._create_index_sql(model, fields=[column]))

    def describe(self) -> str:
        """Return what is shown while it runs."""
        return f"Drop the index of {self.name} of {self.model_name}"

    def _column(self, app_label: str, editor: Any, state: ProjectState) -> tuple[Any, Any]:
        """Return the model, None if it is of another database, and the column."""
        model = state.apps.get_model(app_label, self.model_name)
        own = self.allow_migrate_model(editor.connection.alias, model)
        return model if own else None, model._meta.get_field(self.name)


def _remake(editor: Editor, model: type[models.Model], copy: Copy, *, without_rowid: bool = False) -> None:
    """Make the table of a model anew, with the rows that are there."""
    table, old = model._meta.db_table, f"{model._meta.db_table}_old"
    editor.execute(f"ALTER TABLE {table} RENAME TO {old}")
    _free_names(editor, old)
    create_table(editor, model, without_rowid=without_rowid)
    _carry_over(editor, old, table, copy)
    _drop(editor, old)


def _drop(editor: Editor, table: str) -> None:
    """Drop a table. SQLite as Debian builds it would overwrite each of its pages, and hold all of them in memory."""
    if editor.connection.vendor != "sqlite":
        editor.execute(f"DROP TABLE {table}")
        return
    with editor.connection.cursor() as cursor:
        cursor.execute("PRAGMA secure_delete")
        [before] = cursor.fetchone()
        cursor.execute("PRAGMA secure_delete = OFF")
        editor.execute(f"DROP TABLE {table}")
        cursor.execute(f"PRAGMA secure_delete = {before:d}")


def _free_names(editor: Editor, old: str) -> None:
    """Let the constraints and sequences of a table that was renamed free their names, which PostgreSQL keeps."""
    if editor.connection.vendor != "postgresql":
        return
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass", [old])
        constraints = [name for (name,) in cursor.fetchall()]
        cursor.execute(
            "SELECT s.relname FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' "
            "WHERE d.refobjid = %s::regclass AND d.deptype IN ('a', 'i')",
            [old],
        )
        sequences = [name for (name,) in cursor.fetchall()]
    for number, name in enumerate(constraints):
        editor.execute(f'ALTER TABLE {old} RENAME CONSTRAINT "{name}" TO "{old}_{number}"')
    for number, name in enumerate(sequences):
        editor.execute(f'ALTER SEQUENCE "{name}" RENAME TO "{old}_seq_{number}"')


def _carry_over(editor: Editor, old: str, table: str, copy: Copy) -> None:
    vendor = editor.connection.vendor
    columns = ", ".join(copy.columns)
    values = ", ".join(sql if isinstance(sql, str) else sql[vendor] for sql in copy.columns.values())
    statement = (
        f"INSERT INTO {table} ({columns}) SELECT {values} FROM {old} "  # noqa: S608 (constants)
        f"WHERE {copy.by} >= %s AND {copy.by} < %s ORDER BY {copy.order}"
    )
    with editor.connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*), min({copy.by}) FROM {old}")  # noqa: S608 (constants)
        count, start = cursor.fetchone()
        while start is not None:
            cursor.execute(statement, [start, start + copy.step])
            count -= cursor.rowcount
            # Over a gap at once, however far somebody has put the next row.
            cursor.execute(f"SELECT min({copy.by}) FROM {old} WHERE {copy.by} >= %s", [start + copy.step])  # noqa: S608
            [start] = cursor.fetchone()
    if count:
        raise DatabaseError(f"{count:,} rows of {table} could not be carried over")
