from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0027_checkpoints'),
    ]

    operations = [
        migrations.CreateModel(
            name='CheckpointTimestamp',
            fields=[
                ('size', models.BigIntegerField(primary_key=True, serialize=False)),
                ('answer', models.BinaryField(help_text="the authority's, as RFC 3161 writes it (DER)")),
                ('stamped_at', models.DateTimeField(help_text="the authority's time, which the answer holds, too")),
            ],
        ),
    ]
