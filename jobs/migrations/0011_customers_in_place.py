"""The key of a job's customer says its job and its place, so that the table needs no index beside it."""

import django.db.models.deletion
from django.db import migrations, models

from jobs.signatures import sign_recorded_jobs
from tmsdash.db.tables import Copy, RemakeTable

MAX_CUSTOMERS = 1 << 20


def sign_jobs_again(apps, schema_editor):
    """Sign the jobs that lost their signatures when 0007 was migrated back: it finds no customers before this one."""
    sign_recorded_jobs()


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0010_ascending_indexes"),
    ]

    operations = [
        RemakeTable(
            migrations.CreateModel(
                name="JobCustomer",
                fields=[
                    ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                    ("cid", models.CharField(max_length=128, verbose_name="customer id")),
                    ("position", models.PositiveIntegerField()),
                    ("job", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="jobs.job")),
                ],
                options={
                    "ordering": ["id"],
                    "constraints": [
                        models.CheckConstraint(
                            condition=models.Q(id=models.F("job") * MAX_CUSTOMERS + models.F("position")),
                            name="job_customer_in_place",
                        )
                    ],
                },
            ),
            forwards=Copy(
                {
                    "id": f"job_id * {MAX_CUSTOMERS} + position",
                    "job_id": "job_id",
                    "cid": "cid",
                    "position": "position",
                },
                by="id",
                step=1_000_000,
                order="1",
            ),
            backwards=Copy(
                {"job_id": "job_id", "cid": "cid", "position": "position"},
                by="id",
                step=100_000 * MAX_CUSTOMERS,
                order="id",
            ),
        ),
        migrations.RunPython(sign_jobs_again, migrations.RunPython.noop),
    ]
