"""A list of jobs of a source that few have does not go through all of them."""

from django.db import migrations, models

from tmsdash.db.expressions import Apart


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0015_batches_that_count"),
    ]

    operations = [
        migrations.AddIndex("job", models.Index(Apart("source"), models.F("id"), name="job_listed_by_source")),
    ]
