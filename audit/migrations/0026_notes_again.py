"""Notes come back into the rows of attempts from the entries that opened these, where 0024 was undone meanwhile."""

import json

from django.db import migrations

ENTRIES = """SELECT attempt_id, body FROM audit_auditentry WHERE kind IN ('INTENT', 'REFUSED') AND body LIKE '%"note"%'"""
ROWS_AT_ONCE = 1000


def fill_notes(apps, schema_editor):
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM audit_attempt WHERE note > '' LIMIT 1")
        if cursor.fetchone():
            return  # they were never lost: 0024 makes the column anew, for all of them
        cursor.execute(ENTRIES)
        with connection.cursor() as writer:
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                notes = ((note_in(body), stored) for stored, body in rows)
                writer.executemany(
                    "UPDATE audit_attempt SET note = %s WHERE attempt_id = %s", [each for each in notes if each[0]]
                )


def note_in(body):
    try:
        note = json.loads(body).get("note")
    except (ValueError, TypeError, AttributeError, RecursionError):  # somebody wrote what is none: audit_verify says so
        return ""
    return note if isinstance(note, str) else ""


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0025_words"),
    ]

    operations = [migrations.RunPython(fill_notes, migrations.RunPython.noop)]
