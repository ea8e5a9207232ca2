"""The triggers with which the database itself refuses to change or delete an audit entry.

1. Only `closed_periods` removes them, within the transaction that puts them back.
2. Nothing else has a trigger in the audit's database.

They keep mistakes and stolen passwords of the site from the entries. Whoever owns the database can drop them, which is
what the chain is for.
"""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "audit_auditentry"
REFUSAL = "audit entries are never changed or deleted"
# REPLACE deletes what is in its way without asking the triggers of DELETE, so nothing may be in its way.
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
# A trigger's name is unique on its table, a function's together with its arguments.
POSTGRESQL = frozenset({f"{TRIGGER} on {TABLE}", f"{FUNCTION}()"})
PROGRAMS = frozenset({*SQLITE, *POSTGRESQL})  # what of this kind belongs into the audit's database
_FUNCTION_BODY = f" BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation'; END "
_ALWAYS = "A"  # also in sessions that switch ordinary triggers off
_BEFORE_UPDATE_DELETE_TRUNCATE = 2 + 8 + 16 + 32  # the bits of pg_trigger.tgtype, for whole statements


def install(connection: BaseDatabaseWrapper) -> None:
    """Make the triggers, in place of any that are there."""
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
    """Drop the triggers, if they are there; whoever does so puts them back in the same transaction."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in SQLITE:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
        else:
            cursor.execute(f"DROP TRIGGER IF EXISTS {TRIGGER} ON {TABLE}")
            cursor.execute(f"DROP FUNCTION IF EXISTS {FUNCTION}()")


def problems(connection: BaseDatabaseWrapper) -> list[str]:
    """Return a sentence about each trigger of the audit's own that is missing or was changed.

    Others that do not belong there are among what `tmsdash.db.schema` finds.
    """
    expected, actual = _triggers(connection)
    return [
        f"The trigger {name} {'was changed' if name in actual else 'is missing'}."
        for name, definition in expected.items()
        if actual.get(name) != definition
    ]


def _triggers(connection: BaseDatabaseWrapper) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the definitions of the audit's own triggers as they should be, and of those that there are, by name."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            return dict(SQLITE), dict(cursor.fetchall())
        # Another table may have a trigger of this name. A condition or a list of columns would let changes through.
        cursor.execute(
            f"SELECT CASE WHEN tgrelid = to_regclass('{TABLE}') THEN tgname ELSE tgname || ' on ' || tgrelid::regclass "  # noqa: S608 (constants)
            "END, tgenabled::text, tgtype, tgqual IS NULL AND tgattr::text = '', "
            "CASE WHEN lanname = 'plpgsql' AND proconfig IS NULL THEN prosrc END "
            "FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid JOIN pg_language l ON l.oid = prolang "
            "JOIN pg_class c ON c.oid = tgrelid "
            "WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace"
        )
        actual = {name: tuple(facts) for name, *facts in cursor.fetchall()}
    return {TRIGGER: (_ALWAYS, _BEFORE_UPDATE_DELETE_TRUNCATE, True, _FUNCTION_BODY)}, actual
