"""How many customers wait in a batch is told by an index: chunks hold their ids, and of a long batch that is a lot."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0022_app_runs_in_turns"),
    ]

    operations = [
        migrations.AddIndex(
            "batchchunk",
            models.Index(
                fields=["batch", "state", "number", "customer_count", "set_aside_count"], name="chunk_figures"
            ),
        ),
        migrations.RemoveIndex("batchchunk", "chunk_by_state"),
    ]
