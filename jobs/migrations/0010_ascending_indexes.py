"""Indexes that grow at their ends take half the space of those that grew downwards; both read either way."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0009_allow_unusual'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='batch',
            name='batch_by_time',
        ),
        migrations.RemoveIndex(
            model_name='batch',
            name='batch_by_user_time',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_by_user',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_by_status',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_by_action',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_by_time',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_by_user_time',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_by_action_time',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_by_cluster_time',
        ),
        migrations.AddIndex(
            model_name='batch',
            index=models.Index(fields=['created_at', 'id'], name='batch_by_time'),
        ),
        migrations.AddIndex(
            model_name='batch',
            index=models.Index(fields=['user_id', 'created_at', 'id'], name='batch_by_user_time'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['user_id', 'id'], name='job_by_user'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['status', 'id'], name='job_by_status'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['action_code', 'id'], name='job_by_action'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['created_at', 'id'], name='job_by_time'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['user_id', 'created_at', 'id'], name='job_by_user_time'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['action_code', 'created_at', 'id'], name='job_by_action_time'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['cluster_url', 'created_at', 'id'], name='job_by_cluster_time'),
        ),
    ]
