"""What stands in the databases besides the product's tables, and what of these is missing or another."""

import sqlite3

import pytest
from django.db import connections

from audit.proof import append_only
from setactions.proof.database_check import database_problems
from tmsdash.db import schema

pytestmark = pytest.mark.usefixtures("databases")

# What is planted, how it is taken away again, and a word of the sentence that names it.
SQLITE = {
    "a trigger that alters jobs": (
        "jobs",
        "CREATE TRIGGER planted AFTER INSERT ON jobs_job BEGIN UPDATE jobs_job SET user_id = 'x'; END",
        "DROP TRIGGER planted",
        "trigger planted",
    ),
    "a trigger that makes superusers": (
        "default",
        "CREATE TRIGGER planted AFTER UPDATE ON auth_user BEGIN UPDATE auth_user SET is_superuser = 1; END",
        "DROP TRIGGER planted",
        "trigger planted",
    ),
    "a trigger on the audit's rows": (
        "audit",
        "CREATE TRIGGER planted AFTER INSERT ON audit_attempt BEGIN UPDATE audit_attempt SET is_open = 0; END",
        "DROP TRIGGER planted",
        "trigger planted",
    ),
    "a view": ("jobs", "CREATE VIEW planted AS SELECT 1", "DROP VIEW planted", "view planted"),
    "a virtual table": (
        "jobs",
        "CREATE VIRTUAL TABLE planted USING fts5(x)",
        "DROP TABLE planted",
        "virtual table planted",
    ),
    "a table": ("audit", "CREATE TABLE planted (x)", "DROP TABLE planted", "table planted"),
    "a unique index": (
        "default",
        "CREATE UNIQUE INDEX planted ON auth_user (email)",
        "DROP INDEX planted",
        "index planted",
    ),
    "a missing index": (
        "jobs",
        "DROP INDEX job_by_time",
        'CREATE INDEX "job_by_time" ON "jobs_job" ("created_at", "id")',
        "index job_by_time is missing",
    ),
    "a column": (
        "jobs",
        "ALTER TABLE jobs_clusterpace ADD COLUMN planted text DEFAULT 'x'",
        "ALTER TABLE jobs_clusterpace DROP COLUMN planted",
        "column planted of jobs_clusterpace",
    ),
    "a generated column": (
        "jobs",
        "ALTER TABLE jobs_clusterpace ADD COLUMN planted text GENERATED ALWAYS AS (failures) VIRTUAL",
        "ALTER TABLE jobs_clusterpace DROP COLUMN planted",
        "column planted of jobs_clusterpace",
    ),
}
FUNCTION = "CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
POSTGRESQL = {
    "a trigger": (
        "default",
        f"{FUNCTION}; CREATE TRIGGER planted BEFORE UPDATE ON auth_user FOR EACH ROW EXECUTE FUNCTION planted()",
        "DROP FUNCTION planted CASCADE",
        "trigger planted",
    ),
    "a trigger of the name of the audit's own": (
        "audit",
        f"{FUNCTION}; CREATE TRIGGER {append_only.TRIGGER} BEFORE UPDATE ON audit_attempt "
        "FOR EACH ROW EXECUTE FUNCTION planted()",
        "DROP FUNCTION planted CASCADE",
        f"trigger {append_only.TRIGGER} on audit_attempt",
    ),
    "a function of the name of the audit's own": (
        "audit",
        f"CREATE FUNCTION {append_only.FUNCTION}(x integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        f"DROP FUNCTION {append_only.FUNCTION}(integer)",
        f"function {append_only.FUNCTION}(x integer)",
    ),
    "a function": ("jobs", FUNCTION, "DROP FUNCTION planted", "function planted"),
    "a view": ("jobs", "CREATE VIEW planted AS SELECT 1", "DROP VIEW planted", "view planted"),
    "a rule": (
        "jobs",
        "CREATE RULE planted AS ON INSERT TO jobs_clusterpace DO INSTEAD NOTHING",
        "DROP RULE planted ON jobs_clusterpace",
        "rule planted",
    ),
    "a policy": (
        "audit",
        "CREATE POLICY planted ON audit_attempt; ALTER TABLE audit_attempt ENABLE ROW LEVEL SECURITY",
        "DROP POLICY planted ON audit_attempt; ALTER TABLE audit_attempt DISABLE ROW LEVEL SECURITY",
        "policy planted",
    ),
    "a table": ("audit", "CREATE TABLE planted (x integer)", "DROP TABLE planted", "table planted"),
    "an index": (
        "default",
        "CREATE UNIQUE INDEX planted ON auth_user (email)",
        "DROP INDEX planted",
        "index planted",
    ),
    "a missing index": (
        "jobs",
        "DROP INDEX job_by_time",
        "CREATE INDEX job_by_time ON jobs_job (created_at, id)",
        "index job_by_time is missing",
    ),
    "a missing constraint": (
        "audit",
        "ALTER TABLE audit_auditentry DROP CONSTRAINT entry_once_per_attempt",
        "ALTER TABLE audit_auditentry ADD CONSTRAINT entry_once_per_attempt UNIQUE (attempt_id, kind)",
        "constraint entry_once_per_attempt of audit_auditentry is missing",
    ),
    "a default": (
        "default",
        "ALTER TABLE auth_user ALTER is_superuser SET DEFAULT true",
        "ALTER TABLE auth_user ALTER is_superuser DROP DEFAULT",
        "column is_superuser of auth_user was changed",
    ),
    "a column": (
        "jobs",
        "ALTER TABLE jobs_job ADD planted text GENERATED ALWAYS AS (user_id) STORED",
        "ALTER TABLE jobs_job DROP planted",
        "column planted of jobs_job",
    ),
}
QUICK = ("trigger", "view", "virtual table", "function", "rule", "policy")


def run(alias, statements):
    with connections[alias].cursor() as cursor:
        cursor.execute(statements)


def check(alias, plant, remove, words):
    run(alias, plant)
    try:
        full, quick = database_problems(full=True), database_problems(full=False)
    finally:
        run(alias, remove)
    assert any(words in problem and f"Database {alias}" in problem for problem in full)
    assert bool(quick) == words.startswith(QUICK)
    assert database_problems(full=True) == []


def test_databases_that_were_migrated_are_as_they_should_be():
    assert database_problems(full=True) == database_problems(full=False) == []


@pytest.mark.sqlite
@pytest.mark.parametrize("planted", SQLITE.values(), ids=SQLITE)
def test_what_does_not_belong_into_sqlite_is_named(planted):
    check(*planted)


@pytest.mark.postgresql
@pytest.mark.parametrize("planted", POSTGRESQL.values(), ids=POSTGRESQL)
def test_what_does_not_belong_into_postgresql_is_named(planted):
    check(*planted)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CHECK", "CHECK (1) /* */ CHECK"),
        (
            'CONSTRAINT "batch_chunk_in_order" UNIQUE ("batch_id", "number")',
            'CONSTRAINT "batch_chunk_in_order" CHECK (1)',
        ),
        ('"cid" varchar(128) NOT NULL', "\"cid\" varchar(128) NOT NULL DEFAULT 'x'"),
        ('"cid" varchar(128) NOT NULL', '"cid" varchar(128) NULL'),
        ('"cid" varchar(128) NOT NULL', '"cid" varchar(128) DEFAULT 1 --, "cid" varchar(128) NOT NULL\n'),
        ('"cid" varchar(128) NOT NULL', '"cid" varchar(128) NOT NULL /*, CONSTRAINT, CONSTRAINT */'),
    ],
    ids=["check", "unique", "default", "null", "good one in a comment", "word in a comment"],
)
def test_a_table_that_was_made_anew_in_another_way_is_named(old, new):
    table, other = "jobs_batchchunk" if "batch" in old else "jobs_jobcustomer", "jobs_spare"
    with connections["jobs"].cursor() as cursor:
        cursor.execute("SELECT sql FROM sqlite_master WHERE name = %s", [table])
        [sql] = cursor.fetchone()
        assert old in sql
        cursor.execute(f"ALTER TABLE {table} RENAME TO {other}")
        cursor.execute(sql.replace(old, new, 1))
        try:
            problems = [problem for problem in database_problems(full=True) if other not in problem]
        finally:
            cursor.execute(f"DROP TABLE {table}")
            cursor.execute(f"ALTER TABLE {other} RENAME TO {table}")
    assert problems
    assert database_problems(full=True) == []


@pytest.mark.sqlite
def test_the_database_that_it_compares_with_is_closed_again(monkeypatch):
    schema._sqlite_expected.cache_clear()
    sessions, make = [], schema._make_tables
    monkeypatch.setattr(schema, "_make_tables", lambda memory: (sessions.append(memory.connection), make(memory)))
    assert schema.schema_problems("jobs") == []
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        sessions[0].execute("SELECT 1")
