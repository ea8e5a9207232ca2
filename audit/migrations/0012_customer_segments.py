"""The customer index becomes one table in segments, see AttemptCustomer: half the space, and new rows stand together."""

import django.db.models.deletion
from django.db import migrations, models

from tmsdash.db.tables import Copy, RemakeTable

SEGMENT_ATTEMPTS = 1 << 14


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0011_open_by_user'),
    ]

    operations = [
        RemakeTable(
            migrations.CreateModel(
                name="AttemptCustomer",
                fields=[
                    ("pk", models.CompositePrimaryKey("segment", "cid", "attempt_id", blank=True, editable=False, primary_key=True, serialize=False)),
                    ("segment", models.PositiveIntegerField()),
                    ("cid", models.CharField(max_length=128)),
                    ("attempt", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="audit.attempt")),
                ],
            ),
            forwards=Copy(
                {"segment": f"attempt_id / {SEGMENT_ATTEMPTS}", "cid": "cid", "attempt_id": "attempt_id"},
                by="id",
                step=1_000_000,
                order="1, 2, 3",
            ),
            backwards=Copy(
                {"cid": "cid", "attempt_id": "attempt_id"}, by="segment", step=8, order="attempt_id, cid"
            ),
            without_rowid=True,
        ),
    ]
