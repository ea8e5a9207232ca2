"""The summary of a period reads the sums of its days, and of its failed attempts alone."""

from typing import Any

from django.db import migrations, models

from audit.tallies import sum_up_days
from tmsdash.db.tables import CoveringIndex


def tally_days(apps: Any, schema_editor: Any) -> None:
    database = schema_editor.connection.alias
    attempt, day_tally, tallied_month = (
        apps.get_model("audit", name) for name in ("Attempt", "DayTally", "TalliedMonth")
    )
    for month in tallied_month.objects.using(database).order_by("month").values_list("month", flat=True):
        sum_up_days(month, attempt, day_tally, database)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0019_covering_indexes"),
    ]

    operations = [
        migrations.CreateModel(
            name="DayTally",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.CharField(max_length=10)),
                ("outcome", models.CharField(max_length=24)),
                ("attempts", models.PositiveIntegerField()),
                ("customers", models.PositiveBigIntegerField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("day", "outcome"), name="tally_once_per_day")],
            },
        ),
        migrations.RemoveIndex("attempt", "attempt_by_error"),
        migrations.RemoveIndex("monthtally", "tally_by_month"),
        migrations.AddIndex(
            "attempt",
            CoveringIndex(
                fields=["created_at"],
                covered=["error_message", "source", "action_code", "cluster_url", "user_id"],
                name="attempt_by_error",
                condition=~models.Q(error_message=""),
            ),
        ),
        migrations.AddIndex("monthtally", models.Index(fields=["month"], name="tally_by_month")),
        migrations.RunPython(tally_days, migrations.RunPython.noop),
    ]
