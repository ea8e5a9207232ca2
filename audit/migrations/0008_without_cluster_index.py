from django.db import migrations


class Migration(migrations.Migration):
    """An earlier form of 0005 made an index that is in no model any more; the check of the tables would name it."""

    dependencies = [
        ('audit', '0007_imported'),
    ]

    operations = [
        migrations.RunSQL("DROP INDEX IF EXISTS attempt_by_cluster", migrations.RunSQL.noop),
    ]
