"""ClusterBackoff had another name once: nobody loses a permission, and no table is touched."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command

from jobs.models import ClusterBackoff

pytestmark = pytest.mark.usefixtures("databases")


def migrate(*name):
    for alias in ("default", "jobs"):
        call_command("migrate", "jobs", *name, database=alias, verbosity=0)


def test_permissions_follow_the_model_to_its_new_name_and_back():
    ClusterBackoff.objects.create(cluster_url="https://evian3.example", failures=2)
    group = Group.objects.create(name="Watchers")
    group.permissions.add(Permission.objects.get(codename="view_clusterbackoff"))
    try:
        migrate("0007_signatures")
        assert [permission.codename for permission in group.permissions.all()] == ["view_clusterpace"]
        assert not ContentType.objects.filter(model="clusterbackoff").exists()
    finally:
        migrate()
    [permission] = group.permissions.all()
    assert (permission.codename, permission.name) == ("view_clusterbackoff", "Can view cluster backoff")
    assert not ContentType.objects.filter(model="clusterpace").exists()
    assert ClusterBackoff.objects.get().failures == 2


def test_the_rename_runs_no_sql_in_the_jobs_database(capsys):
    for direction in ([], ["--backwards"]):
        call_command("sqlmigrate", "jobs", "0008_cluster_backoff", *direction, database="jobs")
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if line and not line.startswith("--")] == ["BEGIN;", "COMMIT;"]
