"""Installations that were migrated before 0005 lost an index of its have that index still, and their database does
not look like what the migrations make."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0007_imported'),
    ]

    operations = [
        migrations.RunSQL('DROP INDEX IF EXISTS attempt_by_cluster', migrations.RunSQL.noop),
    ]
