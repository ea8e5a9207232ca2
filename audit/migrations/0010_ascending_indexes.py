"""Indexes that grow at their ends take half the space of those that grew downwards; both read either way."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0009_without_list_index'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='attempt',
            name='attempt_by_user',
        ),
        migrations.RemoveIndex(
            model_name='attempt',
            name='attempt_by_action',
        ),
        migrations.RemoveIndex(
            model_name='attempt',
            name='attempt_by_outcome',
        ),
        migrations.RemoveIndex(
            model_name='auditentry',
            name='entry_by_user',
        ),
        migrations.RemoveIndex(
            model_name='auditentry',
            name='entry_by_action',
        ),
        migrations.RemoveIndex(
            model_name='auditentry',
            name='entry_by_kind',
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(fields=['user_id', 'id'], name='attempt_by_user'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(fields=['action_code', 'id'], name='attempt_by_action'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(fields=['outcome', 'id'], name='attempt_by_outcome'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['user_id', 'sequence'], name='entry_by_user'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['action_type', 'sequence'], name='entry_by_action'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['kind', 'sequence'], name='entry_by_kind'),
        ),
    ]
