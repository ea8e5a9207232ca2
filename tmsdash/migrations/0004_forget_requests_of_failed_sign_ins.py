from django.db import migrations


def forget(apps, schema_editor):
    """Delete what django-axes kept of requests, queries included. What is forgotten with it is at most 15 minutes old."""
    connection = schema_editor.connection
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON")  # or the file would still hold it, in pages that are free
    apps.get_model("axes", "AccessAttempt").objects.using(connection.alias).all().delete()


class Migration(migrations.Migration):

    dependencies = [
        ("tmsdash", "0003_sessions"),
        ("axes", "0010_accessattemptexpiration"),
    ]

    operations = [migrations.RunPython(forget, migrations.RunPython.noop)]
