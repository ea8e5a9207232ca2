"""What an earlier form of a migration left in a database."""

import pytest
from django.core.management import call_command
from django.db import connections

from setactions.proof.database_check import database_problems

pytestmark = pytest.mark.usefixtures("databases")


def test_an_index_of_an_earlier_migration_is_taken_away():
    call_command("migrate", "audit", "0007_imported", database="audit", verbosity=0)
    with connections["audit"].cursor() as cursor:
        cursor.execute("CREATE INDEX attempt_by_cluster ON audit_attempt (cluster_url, id DESC)")
    assert database_problems(full=True)
    call_command("migrate", "audit", database="audit", verbosity=0)
    assert database_problems(full=True) == []
