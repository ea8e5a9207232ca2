"""The triggers that let the database itself refuse every change of an audit entry."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "audit_auditentry"
REFUSAL = "audit entries are never changed or deleted"
# REPLACE deletes what is in its way without a word to the triggers of DELETE, so nothing may be in its way.
_TAKEN = (
    f"EXISTS (SELECT 1 FROM {TABLE} WHERE sequence = NEW.sequence) OR "  # noqa: S608 (constants)
    f"EXISTS (SELECT 1 FROM {TABLE} WHERE attempt_id = NEW.attempt_id AND kind = NEW.kind)"
)
SQLITE = {
    f"{TABLE}_{event}": f"CREATE TRIGGER {TABLE}_{event} BEFORE {event.upper()} ON {TABLE} {condition}"
    f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    for event, condition in (("update", ""), ("delete", ""), ("insert", f"WHEN {_TAKEN} "))
}
FUNCTION = TRIGGER = f"{TABLE}_append_only"
# Where the trigger and the function stand: names are unique on a table, or with the arguments.
POSTGRESQL = frozenset({f"{TRIGGER} on {TABLE}", f"{FUNCTION}()"})
_FUNCTION_BODY = f" BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation'; END "
_ALWAYS = "A"  # also for sessions that switch the ordinary triggers off
_BEFORE_UPDATE_DELETE_TRUNCATE = 2 + 8 + 16 + 32  # the bits of pg_trigger.tgtype, for whole statements


def install(connection: BaseDatabaseWrapper) -> None:
    """Make the triggers, in the place of those that are there."""
    remove(connection)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for statement in SQLITE.values():
                cursor.execute(statement)
            return
        cursor.execute(
            f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $${_FUNCTION_BODY}$$"
        )
        cursor.execute(
            f"CREATE TRIGGER {TRIGGER} BEFORE UPDATE OR DELETE OR TRUNCATE ON {TABLE} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {FUNCTION}()"
        )
        cursor.execute(f"ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER {TRIGGER}")


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers, if they are there; whoever does so restores them in the same transaction."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in SQLITE:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
        else:
            cursor.execute(f"DROP TRIGGER IF EXISTS {TRIGGER} ON {TABLE}")
            cursor.execute(f"DROP FUNCTION IF EXISTS {FUNCTION}()")


def problems(connection: BaseDatabaseWrapper) -> list[str]:
    """Return a sentence on each trigger that is missing, is another one or has no business in the database."""
    expected, found = _triggers(connection)
    foreign = [f"The trigger {name} has no business there." for name in found if name not in expected]
    return [*own_problems(connection), *foreign]


def own_problems(connection: BaseDatabaseWrapper) -> list[str]:
    """Return a sentence on each trigger of the audit's own that is missing or is another one."""
    expected, found = _triggers(connection)
    return [
        *(f"The trigger {name} is missing." for name in expected if name not in found),
        *(f"The trigger {name} was changed." for name in expected if found.get(name, expected[name]) != expected[name]),
    ]


def _triggers(connection: BaseDatabaseWrapper) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what defines the audit's own triggers, and all that there are, by their names."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            return dict(SQLITE), dict(cursor.fetchall())
        # Names of triggers are unique on their table alone. A condition or a list of columns would let changes through.
        cursor.execute(
            f"SELECT CASE WHEN tgrelid = to_regclass('{TABLE}') THEN tgname ELSE tgname || ' on ' || tgrelid::regclass "  # noqa: S608 (constants)
            "END, tgenabled::text, tgtype, tgqual IS NULL AND tgattr::text = '', prosrc "
            "FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid WHERE NOT tgisinternal"
        )
        found = {name: tuple(facts) for name, *facts in cursor.fetchall()}
    return {TRIGGER: (_ALWAYS, _BEFORE_UPDATE_DELETE_TRUNCATE, True, _FUNCTION_BODY)}, found
