from typing import Any

from django.db import migrations, models

from tmsdash.db.day_ranges import fill


def fill_ranges(apps: Any, schema_editor: Any) -> None:
    for ranges, rows in (("AttemptDay", "Attempt"), ("EntryDay", "AuditEntry")):
        fill(apps.get_model("audit", ranges), apps.get_model("audit", rows), schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0012_customer_segments"),
    ]

    operations = [
        migrations.CreateModel(
            name="AttemptDay",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False)),
                ("first", models.BigIntegerField()),
                ("last", models.BigIntegerField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="EntryDay",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False)),
                ("first", models.BigIntegerField()),
                ("last", models.BigIntegerField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.RunPython(fill_ranges, migrations.RunPython.noop),
    ]
