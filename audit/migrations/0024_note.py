"""Attempts say what their users noted, and are found by a part of it."""

from django.db import migrations, models

from tmsdash.db.tables import AddTextColumn


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0023_tallies"),
    ]

    operations = [
        AddTextColumn(
            model_name="attempt",
            name="note",
            field=models.CharField(blank=True, db_default="", default="", max_length=200),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(condition=models.Q(("note__gt", "")), fields=["id", "note"], name="attempt_by_note"),
        ),
    ]
