"""For lists of jobs: the keys of each day's jobs, and indexes by cluster and of exceptions in place of one by status."""

from typing import Any

from django.db import migrations, models
from django.db.models import Q

from tmsdash.db.day_ranges import fill

EXCEPTIONS = (
    Q(evidence="read_back")
    | Q(evidence="decided")
    | Q(evidence="legacy")
    | Q(source="legacy")
    | Q(legacy=True)
    | Q(status="failed")
    | Q(status="unknown")
)


def fill_ranges(apps: Any, schema_editor: Any) -> None:
    fill(apps.get_model("jobs", "JobDay"), apps.get_model("jobs", "Job"), schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0011_customers_in_place"),
    ]

    operations = [
        migrations.RemoveIndex("job", "job_by_status"),
        migrations.AddIndex("job", models.Index(fields=["cluster_url", "id"], name="job_by_cluster")),
        migrations.AddIndex("job", models.Index(condition=EXCEPTIONS, fields=["id"], name="job_exception")),
        migrations.CreateModel(
            name="JobDay",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False)),
                ("first", models.BigIntegerField()),
                ("last", models.BigIntegerField()),
            ],
            options={"abstract": False},
        ),
        migrations.RunPython(fill_ranges, migrations.RunPython.noop),
    ]
