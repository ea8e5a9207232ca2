"""A batch says whether its user let ids pass that look damaged."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0008_cluster_backoff"),
    ]

    operations = [
        migrations.AddField(
            model_name="batch",
            name="allow_unusual",
            field=models.BooleanField(default=False, help_text="its user let ids pass that look damaged"),
        ),
    ]
