"""Attempts that a reading or a person confirmed lately are found at once, however many there are."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', "0015_month_tallies"),
    ]

    operations = [
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(condition=models.Q(('outcome__in', ['applied', 'decided_applied'])), fields=['outcome', 'decided_at'], name='attempt_confirmed'),
        ),
    ]
