"""ClusterPace becomes ClusterBackoff. Its table keeps its name, so that no SQL runs in the jobs database."""

from django.db import migrations

OLD, NEW = "clusterpace", "clusterbackoff"
VERBOSE = {OLD: "cluster pace", NEW: "cluster backoff"}


def rename_permissions(apps, old, new):
    """Give the model's content type and permissions their new names; whoever holds a permission keeps it."""
    content_types = apps.get_model("contenttypes", "ContentType").objects.filter(app_label="jobs")
    permissions = apps.get_model("auth", "Permission").objects
    if content_types.filter(model=new).exists():
        return
    for content_type in content_types.filter(model=old):
        for action in ("add", "change", "delete", "view"):
            permissions.filter(content_type=content_type, codename=f"{action}_{old}").update(
                codename=f"{action}_{new}", name=f"Can {action} {VERBOSE[new]}"
            )
        content_types.filter(pk=content_type.pk).update(model=new)


class RunWithUsers(migrations.RunPython):
    """RunPython in the database of users. What belongs to `jobs` otherwise runs in the jobs database alone,
    which is also why the content type is not renamed by RenameModel."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        super().database_forwards("auth", schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        super().database_backwards("auth", schema_editor, from_state, to_state)


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0007_signatures"),
        ("auth", "0001_initial"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.AlterModelTable("ClusterPace", "jobs_clusterpace"),
        migrations.RenameModel("ClusterPace", "ClusterBackoff"),
        RunWithUsers(
            lambda apps, schema_editor: rename_permissions(apps, OLD, NEW),
            lambda apps, schema_editor: rename_permissions(apps, NEW, OLD),
        ),
    ]
