"""`audit_verify` names whatever of the audit's tables, indexes and programs is not what the migrations made."""

import pytest
from django.db import connections

from audit.proof.append_only import FUNCTION, TABLE
from audit.tests.sealing import run

pytestmark = pytest.mark.usefixtures("audited", "empty_seal_dir")

SELDOM = "entry_by_seldom_kind"
BY_USER = f'CREATE INDEX "entry_by_user" ON "{TABLE}" ("user_id", "sequence")'
UNIQUE = ', CONSTRAINT "entry_once_per_attempt" UNIQUE ("attempt_id", "kind")'
WRITABLE, READ_AGAIN = "PRAGMA writable_schema = ON", "PRAGMA writable_schema = RESET"
TEXT = "UPDATE sqlite_master SET sql = {} WHERE name = '{}'".format

# What is done, and what has to be said of it. A test on SQLite gets the file of before back, schema and all.
SQLITE = {
    "a kind that an attempt may have twice": (
        [
            WRITABLE,
            f"DELETE FROM sqlite_master WHERE type = 'index' AND tbl_name = '{TABLE}' AND sql IS NULL",
            TEXT(f"replace(sql, '{UNIQUE}', '')", TABLE),
            READ_AGAIN,
        ],
        f"constraint entry_once_per_attempt of {TABLE} is missing",
    ),
    "an index of other columns": (
        ["DROP INDEX entry_by_user", f'CREATE INDEX "entry_by_user" ON "{TABLE}" ("kind")'],
        "index entry_by_user was changed",
    ),
    "an index that became unique": (
        ["DROP INDEX entry_by_user", BY_USER.replace("CREATE", "CREATE UNIQUE")],
        "index entry_by_user was changed",
    ),
    "an index whose condition is gone": (
        [f"DROP INDEX {SELDOM}", f'CREATE INDEX "{SELDOM}" ON "{TABLE}" ("kind", "sequence")'],
        f"index {SELDOM} was changed",
    ),
    "an index that is gone": (["DROP INDEX entry_by_action"], "index entry_by_action is missing"),
    "an index that was emptied behind its definition": (
        ["DROP INDEX entry_by_user", f"{BY_USER} WHERE 0", WRITABLE, TEXT(f"'{BY_USER}'", "entry_by_user"), READ_AGAIN],
        "missing from index entry_by_user",
    ),
    "an index of somebody else's": (
        [f"CREATE UNIQUE INDEX planted ON {TABLE} (attempt_id, kind, body)"],
        "index planted has no business there",
    ),
    "a trigger on another table": (
        ["CREATE TRIGGER planted AFTER INSERT ON audit_attempt BEGIN SELECT 1; END"],
        "trigger planted has no business there",
    ),
    "a trigger of ours that lets things through": (
        [f"DROP TRIGGER {TABLE}_delete", f"CREATE TRIGGER {TABLE}_delete BEFORE DELETE ON {TABLE} BEGIN SELECT 1; END"],
        f"{TABLE}_delete was changed",
    ),
}


def execute(*statements):
    with connections["audit"].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def check_named(words, *arguments):
    code, output = run("audit_verify", *arguments)
    assert (code, words in output, "Traceback" in output) == (3, True, False), output


@pytest.mark.sqlite
@pytest.mark.parametrize(("statements", "words"), SQLITE.values(), ids=SQLITE)
def test_what_sqlite_holds_beside_or_instead_is_named(statements, words):
    execute(*statements)
    check_named(words)


@pytest.mark.sqlite
def test_what_keeps_a_file_in_order_is_no_finding():
    execute("ANALYZE", "REINDEX", "VACUUM")
    assert run("audit_verify")[0] == 0


@pytest.mark.sqlite
def test_what_was_done_to_jobs_is_named_where_jobs_are_looked_at():
    with connections["jobs"].cursor() as cursor:
        cursor.execute("DROP INDEX job_by_time")
    assert run("audit_verify")[0] == 0
    check_named("Database jobs: the index job_by_time is missing", "--jobs")


BOTH = {
    "a view": ("CREATE VIEW planted AS SELECT 1", "DROP VIEW planted", "view planted"),
    "a table": ("CREATE TABLE planted (x integer)", "DROP TABLE planted", "table planted has no business"),
    "a column": (
        "ALTER TABLE audit_chainhead ADD COLUMN planted text",
        "ALTER TABLE audit_chainhead DROP COLUMN planted",
        "column planted of audit_chainhead has no business",
    ),
    "a column of another name": (
        "ALTER TABLE audit_merkletile RENAME COLUMN hashes TO planted",
        "ALTER TABLE audit_merkletile RENAME COLUMN planted TO hashes",
        "column hashes of audit_merkletile is missing",
    ),
    "a table that is gone": (
        "ALTER TABLE audit_attemptcustomer RENAME TO planted",
        "ALTER TABLE planted RENAME TO audit_attemptcustomer",
        "table audit_attemptcustomer is missing",
    ),
    "a table that is gone, with the head in it": (
        "ALTER TABLE audit_chainhead RENAME TO planted",
        "ALTER TABLE planted RENAME TO audit_chainhead",
        "table audit_chainhead is missing",
    ),
}


@pytest.mark.parametrize(("plant", "remove", "words"), BOTH.values(), ids=BOTH)
def test_tables_views_and_columns_are_named_whatever_the_database(plant, remove, words):
    execute(plant)
    try:
        check_named(words)
    finally:
        execute(remove)


UNIQUE_AGAIN = f"ALTER TABLE {TABLE} ADD CONSTRAINT entry_once_per_attempt UNIQUE (attempt_id, kind)"
TILES = "audit_merkletile"
OURS = f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS '{{}}'".format
POSTGRESQL = {
    "a kind that an attempt may have twice": (
        f"ALTER TABLE {TABLE} DROP CONSTRAINT entry_once_per_attempt",
        UNIQUE_AGAIN,
        f"constraint entry_once_per_attempt of {TABLE} is missing",
    ),
    "an index of other columns": (
        f"DROP INDEX entry_by_user; CREATE INDEX entry_by_user ON {TABLE} (kind)",
        f"DROP INDEX entry_by_user; {BY_USER}",
        "index entry_by_user was changed",
    ),
    "a rule": (
        f"CREATE RULE planted AS ON INSERT TO {TABLE} DO INSTEAD NOTHING",
        f"DROP RULE planted ON {TABLE}",
        "rule planted",
    ),
    "row security": (
        f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {TABLE} DISABLE ROW LEVEL SECURITY",
        f"table {TABLE} was changed",
    ),
    "a default": (
        f"ALTER TABLE {TILES} ALTER hashes SET DEFAULT ''",
        f"ALTER TABLE {TILES} ALTER hashes DROP DEFAULT",
        f"column hashes of {TILES} was changed",
    ),
    "a collation": (
        'ALTER TABLE audit_chainhead ALTER mac TYPE varchar(64) COLLATE "C"',
        'ALTER TABLE audit_chainhead ALTER mac TYPE varchar(64) COLLATE "default"',
        "column mac of audit_chainhead was changed",
    ),
    "a table of which a crash leaves nothing": (
        f"ALTER TABLE {TILES} SET UNLOGGED",
        f"ALTER TABLE {TILES} SET LOGGED",
        f"table {TILES} was changed: it is 'unlogged'",
    ),
    "a table below another one": (
        f"CREATE SCHEMA apart; CREATE TABLE apart.planted () INHERITS ({TILES})",
        "DROP SCHEMA apart CASCADE",
        f"table {TILES} was changed: it is 'inherited'",
    ),
    "keys that are not enforced": (
        "ALTER TABLE audit_attemptcustomer DISABLE TRIGGER ALL",
        "ALTER TABLE audit_attemptcustomer ENABLE TRIGGER ALL",
        "table audit_attemptcustomer was changed: it is 'keys not enforced'",
    ),
    "a trigger that is switched off": (
        f"ALTER TABLE {TABLE} DISABLE TRIGGER {FUNCTION}",
        f"ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER {FUNCTION}",
        f"{FUNCTION} was changed",
    ),
    "a function of ours that lets things through": (OURS("BEGIN RETURN NULL; END"), "", f"{FUNCTION} was changed"),
    "an operator": (
        "CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
        "DROP OPERATOR === (text, text)",
        "operator === has no business there",
    ),
}


@pytest.mark.postgresql
@pytest.mark.parametrize(("plant", "remove", "words"), POSTGRESQL.values(), ids=POSTGRESQL)
def test_what_postgresql_holds_beside_or_instead_is_named(plant, remove, words):
    execute(plant)
    try:
        check_named(words)
    finally:
        execute(*filter(None, [remove]))  # the audit's own triggers are made anew after each test


@pytest.mark.postgresql
def test_what_stands_in_other_schemas_of_postgresql_is_no_finding():
    function = "CREATE FUNCTION apart.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    execute(
        f"CREATE SCHEMA apart; CREATE TABLE apart.notes (x integer); CREATE VIEW apart.seen AS SELECT 1; {function}; "
        "CREATE TRIGGER t BEFORE INSERT ON apart.notes FOR EACH ROW EXECUTE FUNCTION apart.f(); "
        "CREATE RULE r AS ON DELETE TO apart.notes DO INSTEAD NOTHING; CREATE POLICY p ON apart.notes; ANALYZE"
    )
    try:
        assert run("audit_verify")[0] == 0
    finally:
        execute("DROP SCHEMA apart CASCADE")


@pytest.mark.postgresql
def test_a_role_that_may_not_compare_says_so():
    execute("CREATE ROLE reader; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader; SET ROLE reader")
    try:
        with connections["audit"].cursor() as cursor:
            cursor.execute("SELECT current_database()")
            [name] = cursor.fetchone()
        execute(f"RESET ROLE; REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC; SET ROLE reader")
        check_named("nobody can tell whether its tables and indexes were changed: the role reader may not make")
    finally:
        execute(f"RESET ROLE; GRANT TEMPORARY ON DATABASE {name} TO PUBLIC; DROP OWNED BY reader; DROP ROLE reader")
