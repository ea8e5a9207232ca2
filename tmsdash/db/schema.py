"""Whether a database holds the tables that the migrations make, and nothing that acts on its own.

A trigger, a view, a rule or a generated column changes what is written or read without a word to the product, and a
constraint that is gone lets in what it kept out. What should be there is made from the models, in a database in
memory (SQLite) or in the session's own temporary schema (PostgreSQL), and compared definition by definition.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import closing

from django.apps import apps
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model
from django.db.utils import load_backend

from tmsdash.db.tables import create_table

Definitions = dict[str, str]  # what is defined, such as "index job_by_user", and how


def schema_problems(alias: str, programs: Collection[str] = ()) -> list[str]:
    """Return a sentence about each thing in a database that is missing, altered or foreign.

    `programs` are the names of triggers (`name on table` on PostgreSQL) and functions (`name(arguments)`) that belong
    there; whether they are as they should be is for their owner to check. Raises DatabaseError if the database cannot
    be read.
    """
    connection = connections[alias]
    if connection.vendor == "sqlite":
        present, expected = _sqlite_definitions(connection), _sqlite_expected(connection)
    else:
        present, expected = _postgresql_definitions(connection, "current_schema()"), _postgresql_expected(connection)
    return [*program_problems(alias, programs), *_differences(alias, present, expected)]


def program_problems(alias: str, programs: Collection[str] = ()) -> list[str]:
    """Return a sentence about each trigger, view, rule, policy and function that does not belong in a database.

    This is the fast part of `schema_problems`.
    """
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(_SQLITE_PROGRAMS if connection.vendor == "sqlite" else _POSTGRESQL_PROGRAMS)
        strangers = [(what, name) for what, name in cursor.fetchall() if name not in programs]
    return [f"Database {alias}: the {what} {name} has no business there." for what, name in strangers]


def _differences(alias: str, present: Definitions, expected: Definitions) -> Iterator[str]:
    for what in sorted(present.keys() | expected.keys()):
        if what not in present:
            yield f"Database {alias}: the {what} is missing."
        elif what not in expected:
            yield f"Database {alias}: the {what} has no business there."
        elif present[what] != expected[what]:
            yield f"Database {alias}: the {what} was changed: it is {present[what]!r}, not {expected[what]!r}."


def models_of(alias: str) -> list[type[Model]]:
    """Return the models whose tables a database holds, including many-to-many tables and that of migrations."""
    models = apps.get_models(include_auto_created=True)
    managed = [model for model in models if model._meta.managed and not model._meta.proxy]
    own = [model for model in managed if router.allow_migrate_model(alias, model)]
    return [*own, MigrationRecorder.Migration]


def _make_tables(connection: BaseDatabaseWrapper) -> None:
    """Create the tables of a connection's alias through that connection."""
    models = models_of(connection.alias)
    auto_created = {field.remote_field.through for model in models for field in model._meta.local_many_to_many}
    with connection.schema_editor(atomic=False) as editor:
        for model in models:
            if model not in auto_created:  # made with the model that has the field
                create_table(editor, model)


# -- SQLite -------------------------------------------------------------------------------------------------------

_SQLITE_PROGRAMS = (
    "SELECT CASE WHEN type = 'table' THEN 'virtual table' ELSE type END, name FROM sqlite_master "
    "WHERE type IN ('trigger', 'view') OR (type = 'table' AND sql LIKE 'CREATE VIRTUAL%') ORDER BY type, name"
)


def _sqlite_expected(connection: BaseDatabaseWrapper) -> Definitions:
    described = connection.settings_dict | {"NAME": ":memory:", "OPTIONS": {}}
    memory = load_backend(described["ENGINE"]).DatabaseWrapper(described, connection.alias)
    # Not by connect(), whose signal is meant for the product's own files, and not by close(), which leaves those in
    # memory open.
    with closing(memory.get_new_connection(memory.get_connection_params())) as memory.connection:
        memory.set_autocommit(True)
        memory.disable_constraint_checking()
        _make_tables(memory)
        return _sqlite_definitions(memory)


def _sqlite_definitions(connection: BaseDatabaseWrapper) -> Definitions:
    definitions: Definitions = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL")
        for kind, name, sql in cursor.fetchall():
            if name.startswith("sqlite_"):  # its own: sequences, statistics and automatic indexes
                continue
            if kind == "index":
                definitions[f"index {name}"] = _words(sql)
            else:
                definitions |= _parts_of_table(name, sql)
    return definitions


def _parts_of_table(name: str, sql: str) -> Definitions:
    """Return the columns and constraints of a CREATE TABLE, in whatever order they stand."""
    first, last = sql.find("("), sql.rfind(")")
    parts = _split(sql[first + 1 : last]) if first >= 0 else []
    definitions = {f"table {name}": _words(sql[last + 1 :])}  # STRICT, WITHOUT ROWID
    for part in map(_words, parts):
        # Versions of Django differ in whether they put a space before the column of REFERENCES.
        what = part.split(" ", 1)[0].strip('"`[]')
        kind = "constraint" if what.upper() in ("CONSTRAINT", "UNIQUE", "CHECK", "PRIMARY", "FOREIGN") else "column"
        key = part if kind == "constraint" else what
        if what.upper() == "CONSTRAINT":
            key = part.split(" ", 2)[1].strip('"') if " " in part else part
        key = f"{kind} {key} of {name}"
        # If something appears twice, one of the two is in a comment, and may say anything.
        definitions[key] = f"{definitions[key]}, {part}" if key in definitions else part
    return definitions


def _split(text: str) -> list[str]:
    """Split a list at its commas, except within brackets or quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"`":
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def _words(sql: str) -> str:
    """Return SQL with single spaces, and none next to brackets and commas."""
    return re.sub(r" ?([(),]) ?", r"\1", " ".join(sql.split()))


# -- PostgreSQL ---------------------------------------------------------------------------------------------------

_NO_EXTENSION = "NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = {oid} AND d.deptype = 'e')"
_POSTGRESQL_PROGRAMS = f"""
    SELECT 'trigger', tgname || ' on ' || relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT tgisinternal
    UNION ALL
    SELECT CASE relkind WHEN 'f' THEN 'foreign table' ELSE 'view' END, relname::text FROM pg_class c
    WHERE relkind IN ('v', 'm', 'f') AND relnamespace = current_schema()::regnamespace
    AND {_NO_EXTENSION.format(oid="c.oid")}
    UNION ALL
    SELECT 'rule', rulename FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
    WHERE rulename <> '_RETURN' AND c.relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT 'policy', polname FROM pg_policy
    UNION ALL
    SELECT 'event trigger', evtname FROM pg_event_trigger
    UNION ALL
    SELECT 'function', proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' FROM pg_proc p
    WHERE pronamespace = current_schema()::regnamespace AND {_NO_EXTENSION.format(oid="p.oid")}
    ORDER BY 1, 2
"""  # noqa: S608 (constants)
_POSTGRESQL_DEFINITIONS = """
    SELECT 'table ' || relname, concat_ws(' ', CASE WHEN relrowsecurity THEN 'row security' END,
        CASE WHEN relispartition THEN 'partition' END, CASE WHEN relhassubclass THEN 'inherited' END)
    FROM pg_class WHERE relnamespace = {schema}::regnamespace AND relkind IN ('r', 'p')
    UNION ALL
    SELECT 'column ' || attname || ' of ' || relname, concat_ws(' ',
        CASE WHEN attidentity = '' THEN format_type(atttypid, atttypmod) END, -- of others an older Django chose it
        CASE WHEN attnotnull THEN 'NOT NULL' END, CASE attidentity WHEN '' THEN NULL ELSE 'IDENTITY' END,
        CASE attgenerated WHEN '' THEN NULL ELSE 'GENERATED' END,
        CASE WHEN attidentity = '' THEN pg_get_expr(adbin, adrelid) END)
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
    WHERE relnamespace = {schema}::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint ' || conname || ' of ' || relname, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid
    WHERE relnamespace = {schema}::regnamespace AND contype IN ('c', 'f', 'p', 'u', 'x')
    UNION ALL
    SELECT 'index ' || c.relname, regexp_replace(pg_get_indexdef(indexrelid), ' ON \\S+\\.', ' ON ')
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid
    WHERE c.relnamespace = {schema}::regnamespace AND indisvalid
"""

_TEXT_CAST = re.compile(r"::(?:character varying|text)(?:\[\])?")
_BRACKETS = re.compile(r"\(('[^']*'|ARRAY\[[^\]]*\])\)")  # around one text, or a list of them


def _postgresql_definitions(connection: BaseDatabaseWrapper, schema: str) -> Definitions:
    with connection.cursor() as cursor:
        cursor.execute(_POSTGRESQL_DEFINITIONS.format(schema=schema))
        return {what: _without_casts(definition) for what, definition in cursor.fetchall()}


def _without_casts(definition: str) -> str:
    """Return a definition without casts of texts, which PostgreSQL moves when it dumps and restores them."""
    plain, before = _TEXT_CAST.sub("", definition), ""
    while plain != before:
        plain, before = _BRACKETS.sub(r"\1", plain), plain
    return plain


def _postgresql_expected(connection: BaseDatabaseWrapper) -> Definitions:
    """Create the tables in the session's temporary schema, look at them, and drop them."""
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL search_path = pg_temp")
        _make_tables(connection)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_my_temp_schema()::regnamespace::text")
            [schema] = cursor.fetchone()
        expected = _postgresql_definitions(connection, f"'{schema}'")
        transaction.set_rollback(True, using=connection.alias)
    return expected
