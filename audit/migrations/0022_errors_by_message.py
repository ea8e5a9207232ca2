"""The summary of a long period counts the messages of failed attempts without sorting them."""

from django.db import migrations, models

from tmsdash.db.tables import CoveringIndex


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0021_macs_as_bytes"),
    ]

    operations = [
        migrations.AddIndex(
            "attempt",
            CoveringIndex(
                fields=["error_message", "source", "created_at"],
                covered=["action_code", "cluster_url", "user_id"],
                name="attempt_by_message",
                condition=~models.Q(error_message=""),
            ),
        ),
    ]
