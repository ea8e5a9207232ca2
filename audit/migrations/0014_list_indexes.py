import tmsdash.db.expressions
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0013_day_ranges'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(condition=models.Q(('error_message', ''), _negated=True), fields=['error_message', 'source', 'created_at'], name='attempt_by_error'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(tmsdash.db.expressions.Apart('cluster_url'), models.F('id'), name='attempt_listed_by_cluster'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(tmsdash.db.expressions.Apart('source'), models.F('id'), name='attempt_listed_by_source'),
        ),
    ]
