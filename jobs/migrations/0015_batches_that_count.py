"""Each Set Action finds the batches that may be sending, or that ended lately, among those of years."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0014_ids_once"),
    ]

    operations = [
        migrations.AddIndex(
            "batch",
            models.Index(
                fields=["state"],
                name="batch_unfinished",
                condition=models.Q(state="running") | models.Q(state="paused"),
            ),
        ),
        migrations.AddIndex("batch", models.Index(fields=["ended_at"], name="batch_by_end")),
    ]
