"""Whether a database holds the tables that the migrations make, and nothing that acts on its own.

A trigger, a view, a rule or a generated column changes what is written or read without a word to the product, and a
constraint that is gone lets in what it kept out. What should be there is made from the models, in a database in
memory (SQLite) or in the session's own temporary schema (PostgreSQL), and compared definition by definition.

What changes nothing is no finding: the order of columns and constraints, statistics, what VACUUM, ANALYZE, REINDEX and
extensions leave behind, and on PostgreSQL whatever stands in other schemas.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import closing
from functools import cache

from django.apps import apps
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model
from django.db.utils import load_backend

from tmsdash.db.moves import TABLE as MOVE
from tmsdash.db.tables import create_table

INDEX_PROBLEMS_KEPT = 10  # one emptied index is a problem for each of its rows
Definitions = dict[str, str]  # what is defined, such as "index job_by_user", and how


def schema_problems(alias: str, programs: Collection[str] = ()) -> list[str]:
    """Return a sentence about each thing in a database that is missing, altered or foreign.

    `programs` are the names of triggers (`name on table` on PostgreSQL) and functions (`name(arguments)`) that belong
    there; whether they are as they should be is for their owner to check. Raises DatabaseError if the database cannot
    be read.
    """
    connection, strangers = connections[alias], program_problems(alias, programs)
    if connection.vendor == "sqlite":
        present, expected = _sqlite_definitions(connection), _sqlite_expected(alias)
    elif why_not := _why_not_compared(connection):
        return [*strangers, f"Database {alias}: nobody can tell whether its tables and indexes were changed: {why_not}"]
    else:
        present = _postgresql_definitions(connection, "current_schema()")
        expected = _postgresql_expected(alias, connection.pg_version)  # type: ignore[attr-defined]
    return [*strangers, *_differences(alias, present, expected)]


def index_problems(alias: str) -> list[str]:
    """Return a sentence about each index of a SQLite file that does not lead to all of its rows, or to others.

    Whoever may write to the file can empty an index and leave its definition as it was; whatever is read through it is
    then gone from pages, though every row is there. SQLite looks at each row and each entry of an index, some hundred
    thousand rows a second. Raises DatabaseError if the file is damaged beyond reading.
    """
    if connections[alias].vendor != "sqlite":
        return []
    with connections[alias].cursor() as cursor:
        cursor.execute(f"PRAGMA integrity_check({INDEX_PROBLEMS_KEPT})")
        found = [text for (text,) in cursor.fetchall() if text != "ok"]
    step = "Run manage.py doctor; if the rows are whole, REINDEX makes indexes anew."
    return [f"Database {alias}: SQLite says of its file: {' '.join(text.split())}. {step}" for text in found]


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
    is_moving = f"table {MOVE}" in present  # nobody but `move_data`, whose tables these are, gets as far as here then
    for what in sorted(present.keys() | expected.keys()):
        if is_moving and what.split(" ")[-1].startswith(MOVE):
            continue
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

# Sequences and statistics; its automatic indexes have no text.
_OWN_OF_SQLITE = re.compile("sqlite_(sequence|stat[1-4])")

_SQLITE_PROGRAMS = (
    "SELECT CASE WHEN type = 'table' THEN 'virtual table' ELSE type END, name FROM sqlite_master "
    "WHERE type IN ('trigger', 'view') OR (type = 'table' AND sql LIKE 'CREATE VIRTUAL%') ORDER BY type, name"
)


@cache  # the models of a process do not change
def _sqlite_expected(alias: str) -> Definitions:
    described = connections[alias].settings_dict | {"NAME": ":memory:", "OPTIONS": {}}
    memory = load_backend(described["ENGINE"]).DatabaseWrapper(described, alias)
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
            if _OWN_OF_SQLITE.fullmatch(name):
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
_OF_SCHEMA = "c.relnamespace = current_schema()::regnamespace"
_POSTGRESQL_PROGRAMS = f"""
    SELECT 'trigger', tgname || ' on ' || relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT tgisinternal AND {_OF_SCHEMA}
    UNION ALL
    SELECT CASE relkind WHEN 'f' THEN 'foreign table' ELSE 'view' END, relname::text FROM pg_class c
    WHERE relkind IN ('v', 'm', 'f') AND {_OF_SCHEMA} AND {_NO_EXTENSION.format(oid="c.oid")}
    UNION ALL
    SELECT 'rule', rulename FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
    WHERE rulename <> '_RETURN' AND {_OF_SCHEMA}
    UNION ALL
    SELECT 'policy', polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE {_OF_SCHEMA}
    UNION ALL
    SELECT 'event trigger', evtname FROM pg_event_trigger e WHERE {_NO_EXTENSION.format(oid="e.oid")}
    UNION ALL
    SELECT 'function', proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' FROM pg_proc p
    WHERE pronamespace = current_schema()::regnamespace AND {_NO_EXTENSION.format(oid="p.oid")}
    UNION ALL
    SELECT 'operator', oprname FROM pg_operator o
    WHERE oprnamespace = current_schema()::regnamespace AND {_NO_EXTENSION.format(oid="o.oid")}
    ORDER BY 1, 2
"""  # noqa: S608 (constants)
# A table whose keys are not enforced takes what contradicts them; of one that is not logged, a crash leaves nothing.
_POSTGRESQL_DEFINITIONS = """
    SELECT 'table ' || relname, concat_ws(' ', CASE WHEN relrowsecurity THEN 'row security' END,
        CASE WHEN relpersistence = 'u' THEN 'unlogged' END, CASE WHEN relispartition THEN 'partition' END,
        CASE WHEN EXISTS (SELECT 1 FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)) THEN 'inherited' END,
        CASE WHEN EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = c.oid AND tgisinternal AND tgenabled <> 'O')
            THEN 'keys not enforced' END)
    FROM pg_class c WHERE relnamespace = {schema}::regnamespace AND relkind IN ('r', 'p')
    UNION ALL
    SELECT 'column ' || attname || ' of ' || relname, concat_ws(' ',
        CASE WHEN attidentity = '' THEN format_type(atttypid, atttypmod) END, -- of others an older Django chose it
        CASE WHEN attcollation <> typcollation THEN 'COLLATE ' || attcollation::regcollation END,
        CASE WHEN attnotnull THEN 'NOT NULL' END, CASE attidentity WHEN '' THEN NULL ELSE 'IDENTITY' END,
        CASE attgenerated WHEN '' THEN NULL ELSE 'GENERATED' END,
        CASE WHEN attidentity = '' THEN pg_get_expr(adbin, adrelid) END)
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_type t ON t.oid = atttypid
    LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
    WHERE relnamespace = {schema}::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint ' || conname || ' of ' || relname, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid
    WHERE relnamespace = {schema}::regnamespace AND contype IN ('c', 'f', 'p', 'u', 'x')
    UNION ALL
    SELECT 'index ' || c.relname, regexp_replace(pg_get_indexdef(indexrelid), ' ON \\S+\\.', ' ON ')
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid
    WHERE c.relnamespace = {schema}::regnamespace AND indisvalid AND indisready AND indislive
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


def _why_not_compared(connection: BaseDatabaseWrapper) -> str:
    """Return why no tables can be made to compare with, and what to do; "" if they can."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('transaction_read_only') = 'on', current_user, "
            "has_database_privilege(current_database(), 'TEMPORARY')"
        )
        [is_read_only, role, may_compare] = cursor.fetchone()
    if is_read_only:
        return "this server only reads, and takes no temporary tables to compare with. Run this on the primary one."
    if not may_compare:
        return (
            f"the role {role} may not make temporary tables to compare with. Have the owner run docs/postgresql.sql "
            "again, or run this command as the owner."
        )
    return ""


@cache  # the models of a process do not change; how the server words them may
def _postgresql_expected(alias: str, version: int) -> Definitions:
    """Create the tables in the session's temporary schema, look at them, and drop them."""
    connection = connections[alias]
    with transaction.atomic(using=alias):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL search_path = pg_temp")
        _make_tables(connection)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_my_temp_schema()::regnamespace::text")
            [schema] = cursor.fetchone()
        expected = _postgresql_definitions(connection, f"'{schema}'")
        transaction.set_rollback(True, using=alias)
    return expected
