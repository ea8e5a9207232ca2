"""Days are tallied as months are, by user, action, cluster, source and outcome; months by source and outcome, too."""

from typing import Any

from django.db import migrations, models
from django.utils import timezone

from audit.models import Unit
from audit.tallies import DELAY, end_of, write_tallies
from tmsdash.db.tables import CreateWithoutRowid


def tally(apps: Any, schema_editor: Any) -> None:
    database, over = schema_editor.connection.alias, timezone.now() - DELAY
    attempt_day, *models_ = (apps.get_model("audit", name) for name in ("AttemptDay", "Attempt", "Tally", "TalliedPeriod"))
    days = [f"{day}" for day in attempt_day.objects.using(database).order_by("day").values_list("day", flat=True)]
    for month in sorted({day[:7] for day in days}):
        of_month = [day for day in days if day[:7] == month and end_of(day) <= over]
        for unit in Unit:
            names = of_month if unit == Unit.DAY else [month] * (end_of(month) <= over)
            if names:
                write_tallies(unit, names, *models_, database)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0022_errors_by_message"),
    ]

    operations = [
        CreateWithoutRowid(
            name="Tally",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        *("unit", "period", "outcome", "user_id", "action_code", "cluster_url", "source"),
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("unit", models.CharField(max_length=5)),
                ("period", models.CharField(max_length=10)),
                ("outcome", models.CharField(max_length=24)),
                ("user_id", models.CharField(max_length=150)),
                ("action_code", models.PositiveSmallIntegerField(help_text="0 if the attempt has none")),
                ("cluster_url", models.CharField(max_length=300)),
                ("source", models.CharField(max_length=16)),
                ("attempts", models.PositiveIntegerField()),
                ("customers", models.PositiveBigIntegerField()),
            ],
        ),
        CreateWithoutRowid(
            name="TalliedPeriod",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "unit", "period", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("unit", models.CharField(max_length=5)),
                ("period", models.CharField(max_length=10)),
                ("last_key", models.BigIntegerField()),
                ("in_doubt", models.PositiveIntegerField()),
            ],
        ),
        migrations.RunPython(tally, migrations.RunPython.noop),
        migrations.DeleteModel("MonthTally"),
        migrations.DeleteModel("DayTally"),
        migrations.DeleteModel("TalliedMonth"),
    ]
