import uuid

from django.conf import settings
from django.db import migrations, models

from audit.proof import append_only
from audit import chain

FACTS = "sequence, attempt_id, kind, created_at, user_id, action_type, ip_address, body"
ROWS_AT_ONCE = 1000


def chain_entries(apps, schema_editor):
    """Number the entries that are there without gaps, in the order of their ids, chain them, and lock the table."""
    connection = schema_editor.connection
    key = settings.AUDIT_KEY
    sequence, mac = 0, "0" * 64
    with connection.cursor() as cursor:
        rows = _next_rows(cursor, 0)
        while rows:
            for old, attempt_id, kind, created_at, *facts in rows:
                sequence, previous = sequence + 1, mac
                attempt_hex = attempt_id.hex if isinstance(attempt_id, uuid.UUID) else attempt_id or ""
                place = (previous, sequence, _stored_time(created_at), attempt_hex, kind)
                mac = chain.mac_of_stored(key, place, facts)
                cursor.execute(
                    "UPDATE audit_auditentry SET sequence = %s, previous_mac = %s, mac = %s, key_id = %s "
                    "WHERE sequence = %s",
                    [sequence, previous, mac, chain.id_of_key(key), old],
                )
            rows = _next_rows(cursor, rows[-1][0])
        # The row sums up the events, so that it begins when the first of them says.
        cursor.execute(
            "UPDATE audit_attempt SET created_at = (SELECT e.created_at FROM audit_auditentry e "
            "WHERE e.attempt_id = audit_attempt.attempt_id AND e.kind IN ('INTENT', 'REFUSED')) "
            "WHERE EXISTS (SELECT 1 FROM audit_auditentry e "
            "WHERE e.attempt_id = audit_attempt.attempt_id AND e.kind IN ('INTENT', 'REFUSED'))"
        )
        cursor.execute(
            "INSERT INTO audit_chainhead (id, sequence, mac, key_id, signature) VALUES (1, %s, %s, %s, %s)",
            [sequence, mac, chain.id_of_key(key), chain.sign_head(key, sequence, mac)],
        )
    append_only.install(connection)


def _next_rows(cursor, after):
    cursor.execute(
        f"SELECT {FACTS} FROM audit_auditentry WHERE sequence > %s ORDER BY sequence LIMIT {ROWS_AT_ONCE}", [after]
    )
    return cursor.fetchall()


def _stored_time(value):
    """SQLite holds text, PostgreSQL a time."""
    return chain.stored_text(value) if isinstance(value, str) else chain.stored_time(value)


def unlock(apps, schema_editor):
    append_only.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_facts_without_attempt")]

    operations = [
        *(migrations.RemoveIndex("auditentry", f"entry_by_{name}") for name in ("user", "action", "kind")),
        migrations.AlterModelOptions(
            name="auditentry",
            options={
                "base_manager_name": "objects",
                "ordering": ["-sequence"],
                "verbose_name_plural": "audit entries",
            },
        ),
        migrations.RenameField("auditentry", "id", "sequence"),
        migrations.AlterField(
            "auditentry",
            "sequence",
            models.BigAutoField(
                help_text="gapless, from 1, and always given: see audit.chain", primary_key=True, serialize=False
            ),
        ),
        migrations.AddIndex("auditentry", models.Index(fields=["user_id", "-sequence"], name="entry_by_user")),
        migrations.AddIndex("auditentry", models.Index(fields=["action_type", "-sequence"], name="entry_by_action")),
        migrations.AddIndex("auditentry", models.Index(fields=["kind", "-sequence"], name="entry_by_kind")),
        migrations.AddField(
            "auditentry", "previous_mac", models.CharField(max_length=64, default=""), preserve_default=False
        ),
        migrations.AddField("auditentry", "mac", models.CharField(max_length=64, default=""), preserve_default=False),
        migrations.AddField(
            "auditentry",
            "key_id",
            models.CharField("key", max_length=16, help_text="of the key that signed it", default=""),
            preserve_default=False,
        ),
        migrations.CreateModel(
            "ChainHead",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sequence", models.BigIntegerField(help_text="of the last entry; 0 before the first")),
                ("mac", models.CharField(max_length=64)),
                ("key_id", models.CharField(max_length=16)),
                ("signature", models.CharField(max_length=64)),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(pk=1), name="chain_has_one_head")],
            },
        ),
        migrations.RunPython(chain_entries, unlock),
    ]
