"""The jobs of a batch are found through an index of jobs that belong to one, which most do not."""

from django.db import migrations, models

from tmsdash.db.tables import DropIndexOfColumn


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0012_lists"),
    ]

    operations = [
        DropIndexOfColumn("job", "batch_id", models.UUIDField(editable=False, null=True)),
        migrations.AddIndex(
            "job", models.Index(fields=["batch_id"], name="job_by_batch", condition=models.Q(batch_id__isnull=False))
        ),
    ]
