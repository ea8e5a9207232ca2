"""Batches say what their users noted."""

from django.db import migrations, models

from tmsdash.db.tables import AddTextColumn


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0018_live"),
    ]

    operations = [
        AddTextColumn(
            model_name="batch",
            name="note",
            field=models.CharField(blank=True, db_default="", default="", max_length=200),
        ),
    ]
