"""Tables, indexes, triggers and views, without a key."""

from collections.abc import Callable

from setactions.devtools.tampering.forger import Forger
from setactions.devtools.tampering.stranger import ENTRIES
from setactions.devtools.tampering.way import Way, bare_sql

NO_BUSINESS, IS_MISSING = "has no business there", "is missing"
WRITABLE, READ_AGAIN = "PRAGMA writable_schema = ON", "PRAGMA writable_schema = RESET"
BY_USER = f'CREATE INDEX "entry_by_user" ON "{ENTRIES}" ("user_id", "sequence")'
NEVER_TWICE = ', CONSTRAINT "entry_once_per_attempt" UNIQUE ("attempt_id", "kind")'
SELDOM = "entry_by_seldom_kind"


def on_jobs(*statements: str) -> Callable[[Forger], object]:
    return bare_sql(*statements, database="jobs")


WAYS = [
    Way(
        "an attempt may have a kind twice",
        bare_sql(
            WRITABLE,
            f"DELETE FROM sqlite_master WHERE type = 'index' AND tbl_name = '{ENTRIES}' AND sql IS NULL",
            f"UPDATE sqlite_master SET sql = replace(sql, '{NEVER_TWICE}', '') WHERE name = '{ENTRIES}'",
            READ_AGAIN,
        ),
        f"constraint entry_once_per_attempt of {ENTRIES} is missing",
    ),
    Way("an index taken away", bare_sql("DROP INDEX entry_by_action"), IS_MISSING),
    Way(
        "an index of other columns",
        bare_sql("DROP INDEX entry_by_user", f"CREATE INDEX entry_by_user ON {ENTRIES} (kind)"),
        "index entry_by_user was changed",
    ),
    Way(
        "an index without its condition",
        bare_sql(f"DROP INDEX {SELDOM}", f"CREATE INDEX {SELDOM} ON {ENTRIES} (kind, sequence)"),
        f"index {SELDOM} was changed",
    ),
    Way(
        "an index that keeps entries out",
        bare_sql(f"CREATE UNIQUE INDEX mine ON {ENTRIES} (created_at, body)"),
        NO_BUSINESS,
    ),
    Way(
        "an index emptied behind its definition",
        bare_sql(
            *("DROP INDEX entry_by_user", f"{BY_USER} WHERE 0", WRITABLE),
            *(f"UPDATE sqlite_master SET sql = '{BY_USER}' WHERE name = 'entry_by_user'", READ_AGAIN),
        ),
        "missing from index entry_by_user",
    ),
    Way("the trigger against deleting taken away", bare_sql(f"DROP TRIGGER {ENTRIES}_delete"), IS_MISSING),
    Way(
        "the trigger against changing made void",
        bare_sql(
            f"DROP TRIGGER {ENTRIES}_update",
            f"CREATE TRIGGER {ENTRIES}_update BEFORE UPDATE ON {ENTRIES} WHEN 0 BEGIN SELECT 1; END",
        ),
        "was changed",
    ),
    Way(
        "a trigger that closes attempts",
        bare_sql("CREATE TRIGGER mine AFTER INSERT ON audit_attempt BEGIN UPDATE audit_attempt SET is_open = 0; END"),
        NO_BUSINESS,
    ),
    Way("a view", bare_sql(f"CREATE VIEW mine AS SELECT * FROM {ENTRIES}"), NO_BUSINESS),
    Way("a table of somebody's own", bare_sql("CREATE TABLE mine (x)"), NO_BUSINESS),
    Way("a column of somebody's own", bare_sql(f"ALTER TABLE {ENTRIES} ADD COLUMN mine text"), NO_BUSINESS),
    Way("the index of customers taken away", bare_sql("DROP TABLE audit_attemptcustomer"), IS_MISSING),
    Way("the table of entries taken away", bare_sql(f"DROP TABLE {ENTRIES}"), IS_MISSING),
    Way("the table of the head taken away", bare_sql("DROP TABLE audit_chainhead"), IS_MISSING),
    Way(
        "a trigger that makes jobs another user's",
        on_jobs("CREATE TRIGGER mine AFTER INSERT ON jobs_job BEGIN UPDATE jobs_job SET user_id = 'eve'; END"),
        NO_BUSINESS,
    ),
    Way("an index of jobs taken away", on_jobs("DROP INDEX job_by_time"), IS_MISSING),
    Way("a table of jobs taken away", on_jobs("DROP TABLE jobs_jobday"), IS_MISSING),
    Way("the jobs taken away", on_jobs("DROP TABLE jobs_job"), IS_MISSING),
    Way(
        "a trigger that makes superusers",
        bare_sql(
            "CREATE TRIGGER mine AFTER UPDATE ON auth_user BEGIN UPDATE auth_user SET is_superuser = 1; END",
            database="app",
        ),
        NO_BUSINESS,
    ),
    Way(
        "VACUUM, ANALYZE and REINDEX",
        bare_sql("REINDEX", "ANALYZE", "VACUUM"),
        why_not="They keep a file in order, and change nothing.",
    ),
]
