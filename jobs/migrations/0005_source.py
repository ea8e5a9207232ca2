import uuid

from django.db import connections, migrations, models

JOBS_AT_ONCE = 500


def take_from_audit(apps, schema_editor):
    """Say of the jobs that are there what their attempts say; without an audit they say nothing."""
    jobs, audit = schema_editor.connection, connections["audit"]
    with jobs.cursor() as cursor:
        cursor.execute("SELECT job_id FROM jobs_job")
        ids = [row[0] for row in cursor.fetchall()]
        if not ids or "audit_attempt" not in audit.introspection.table_names():
            return
        for start in range(0, len(ids), JOBS_AT_ONCE):
            part = ids[start : start + JOBS_AT_ONCE]
            marks = ", ".join(["%s"] * len(part))
            with audit.cursor() as reader:
                reader.execute(
                    f"SELECT source, attempt_id FROM audit_attempt WHERE attempt_id IN ({marks})",
                    [_for(audit, value) for value in part],
                )
                found = [(source, _for(jobs, value)) for source, value in reader.fetchall()]
            cursor.executemany("UPDATE jobs_job SET source = %s WHERE job_id = %s", found)


def _for(connection, value):
    """SQLite holds a UUID as 32 hex digits; the two databases may be of different engines."""
    value = value if isinstance(value, uuid.UUID) else uuid.UUID(value)
    return value.hex if connection.vendor == "sqlite" else value


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_batches")]

    operations = [
        migrations.AddField(
            "job",
            "source",
            models.CharField(
                blank=True, default="", help_text="of its attempt: form, api, command or batch", max_length=16
            ),
            preserve_default=False,
        ),
        migrations.RunPython(take_from_audit, migrations.RunPython.noop),
    ]
