"""The digest of an attempt's list is in the event that opened it; nobody ever asked its row for it."""

from django.db import migrations, models

FILL = """
    UPDATE audit_attempt SET list_digest = coalesce(
        (SELECT {digest} FROM audit_auditentry e
        WHERE e.attempt_id = audit_attempt.attempt_id AND e.kind IN ('INTENT', 'REFUSED', 'IMPORTED')),
        ''
    )"""
DIGEST = {"sqlite": "json_extract(e.body, '$.list_digest')", "postgresql": "e.body::json ->> 'list_digest'"}


def fill_digests(apps, schema_editor):
    schema_editor.execute(FILL.format(digest=DIGEST[schema_editor.connection.vendor]))


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0017_lean_indexes"),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, fill_digests),
        migrations.RemoveField("attempt", "list_digest"),
    ]
