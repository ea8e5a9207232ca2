"""The macs of entries are stored as bytes, not as hex digits, which take twice the room. What they say stays the same.

The table is made anew within a transaction. The triggers, which refuse changes, go with the old one.
"""

from django.db import migrations

from audit.proof import append_only
from tmsdash.db.fields import HexField, bytes_of, digits_sql
from tmsdash.db.tables import ConvertColumns

MACS = ("previous_mac", "mac")
VENDORS = ("sqlite", "postgresql")


def bytes_sql(column):
    # What somebody wrote there that is no hex digits stays what it is, letter by letter, as `bytes_of` does it.
    digits = f"CASE WHEN {column} ~ '^([0-9a-f][0-9a-f])*$' THEN decode({column}, 'hex')"
    return {
        "sqlite": f"bytes_of({column})",
        "postgresql": f"{digits} ELSE convert_to({column}, 'UTF8') END",
    }


def unlock(apps, schema_editor):
    connection = schema_editor.connection
    append_only.remove(connection)
    if connection.vendor == "sqlite":  # which has no unhex() before 3.41
        connection.connection.create_function("bytes_of", 1, bytes_of, deterministic=True)


def lock(apps, schema_editor):
    append_only.install(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0020_day_tallies"),
    ]

    operations = [
        migrations.RunPython(unlock, lock),
        ConvertColumns(
            "auditentry",
            fields={name: HexField() for name in MACS},
            forwards={name: bytes_sql(name) for name in MACS},
            backwards={name: {vendor: digits_sql(name, vendor) for vendor in VENDORS} for name in MACS},
        ),
        migrations.RunPython(lock, unlock),
    ]
