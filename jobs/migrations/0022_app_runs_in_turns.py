"""What a runner of an app status run must know to go on is in the ledger, so that any worker can."""

from django.db import migrations, models

FROM_ZERO = {"db_default": 0, "default": 0}


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0021_reviews"),
    ]

    operations = [
        migrations.AddField(
            "apprun", "due_at", models.DateTimeField(help_text="before when nobody is read", null=True)
        ),
        migrations.AddField(
            "apprun",
            "failures",
            models.PositiveIntegerField(help_text="reads in a row that said nothing", **FROM_ZERO),
        ),
        migrations.AddField("apprun", "paused_at", models.DateTimeField(null=True)),
        migrations.AddField(
            "apprun",
            "turn",
            models.PositiveIntegerField(help_text="that is next, of those that tasks take", **FROM_ZERO),
        ),
        migrations.AddField(
            "appruncustomer",
            "due_at",
            models.DateTimeField(help_text="when the next one may be, after one that failed", null=True),
        ),
        migrations.AddField(
            "appruncustomer", "tries", models.PositiveSmallIntegerField(help_text="reads that failed", **FROM_ZERO)
        ),
    ]
