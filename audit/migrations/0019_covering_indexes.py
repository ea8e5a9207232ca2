"""The summary of failed attempts, with any of its filters, and that of months that are over read no rows."""

from django.db import migrations, models

from tmsdash.db.tables import CoveringIndex


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0018_without_list_digest"),
    ]

    operations = [
        migrations.RemoveIndex("attempt", "attempt_by_error"),
        migrations.RemoveIndex("monthtally", "tally_by_month"),
        migrations.AddIndex(
            "attempt",
            CoveringIndex(
                fields=["error_message", "source", "created_at"],
                covered=["action_code", "cluster_url", "user_id"],
                name="attempt_by_error",
                condition=~models.Q(error_message=""),
            ),
        ),
        migrations.AddIndex(
            "monthtally",
            models.Index(fields=["month", "outcome", "attempts", "customers"], name="tally_by_month"),
        ),
    ]
