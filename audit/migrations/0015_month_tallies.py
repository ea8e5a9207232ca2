from typing import Any

from django.db import migrations, models
from django.utils import timezone

from audit.tallies import DELAY, end_of, sum_up


def tally_months(apps: Any, schema_editor: Any) -> None:
    database = schema_editor.connection.alias
    attempt_day, *rest = (apps.get_model("audit", name) for name in ("AttemptDay", "Attempt", "MonthTally", "TalliedMonth"))
    months = {f"{day:%Y-%m}" for day in attempt_day.objects.using(database).values_list("day", flat=True)}
    over = timezone.now() - DELAY
    for month in sorted(months):
        if month < f"{over:%Y-%m}" and end_of(month) <= over:
            sum_up(month, *rest, database)


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0014_list_indexes'),
    ]

    operations = [
        migrations.CreateModel(
            name='TalliedMonth',
            fields=[
                ('month', models.CharField(max_length=7, primary_key=True, serialize=False)),
                ('last_key', models.BigIntegerField()),
                ('in_doubt', models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='MonthTally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('month', models.CharField(max_length=7)),
                ('user_id', models.CharField(max_length=150)),
                ('action_code', models.PositiveSmallIntegerField(null=True)),
                ('cluster_url', models.CharField(max_length=300)),
                ('source', models.CharField(max_length=16)),
                ('outcome', models.CharField(max_length=24)),
                ('attempts', models.PositiveIntegerField()),
                ('customers', models.PositiveBigIntegerField()),
            ],
            options={
                'indexes': [models.Index(fields=['month'], name='tally_by_month')],
            },
        ),
        migrations.RunPython(tally_months, migrations.RunPython.noop),
    ]
