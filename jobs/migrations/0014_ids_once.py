"""The payload of a job does not repeat the ids of its customers, which made half of its row."""

import json

from django.db import migrations, models

JOBS_AT_ONCE = 100  # each with some thousand ids at most
MAX_CUSTOMERS = 1 << 20
_NEXT = "SELECT id, request_payload FROM jobs_job WHERE id > %s AND NOT legacy ORDER BY id LIMIT %s"
_CIDS = "SELECT cid FROM jobs_jobcustomer WHERE id >= %s AND id < %s ORDER BY id"


def take_ids_out(apps, schema_editor):
    rewrite(schema_editor.connection, without_ids)


def put_ids_in(apps, schema_editor):
    rewrite(schema_editor.connection, with_ids)


def without_ids(payload, cids):
    is_same = payload.get("cids") == cids
    return {name: value for name, value in payload.items() if name != "cids"} if is_same else payload


def with_ids(payload, cids):
    return payload if "cids" in payload else payload | {"cids": cids}


def rewrite(connection, convert):
    """Give every job of our own another payload, made from that and its customers."""
    last = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_NEXT, [last, JOBS_AT_ONCE])
            rows = cursor.fetchall()
            if not rows:
                return
            for changed in list(converted(cursor, rows, convert)):
                cursor.execute("UPDATE jobs_job SET request_payload = %s WHERE id = %s", changed)
            last = rows[-1][0]


def converted(cursor, rows, convert):
    for key, text in rows:
        try:
            payload = json.loads(text)
        except (ValueError, TypeError, RecursionError):  # somebody wrote what is none, and audit_verify says so
            continue
        if isinstance(payload, dict):
            cursor.execute(_CIDS, [key * MAX_CUSTOMERS, (key + 1) * MAX_CUSTOMERS])
            stored = convert(payload, [cid for (cid,) in cursor.fetchall()])
            if stored is not payload:
                yield json.dumps(stored), key


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0013_lean_indexes"),
    ]

    operations = [
        migrations.RunPython(take_ids_out, put_ids_in),
        # The column keeps its name.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveField("job", "request_payload"),
                migrations.AddField(
                    "job",
                    "stored_payload",
                    models.JSONField(
                        db_column="request_payload",
                        help_text="what was sent to TMS, without the token and as a rule without the ids",
                    ),
                    preserve_default=False,
                ),
            ]
        ),
    ]
