"""What the rows of attempts do not repeat any more comes back if the migrations are undone."""

import json

import pytest
from django.core.management import call_command
from django.db import connections

from audit.choices import Kind
from audit.models import AuditEntry
from audit.proof import append_only
from audit.proof.verification import verify
from audit.tests.making import make_attempt, refuse
from tmsdash.db.schema import schema_problems

pytestmark = pytest.mark.usefixtures("databases")

PROGRAMS = {*append_only.SQLITE, *append_only.POSTGRESQL}


def test_digests_of_lists_come_back_from_the_entries_and_go_again():
    make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    make_attempt()
    refuse()
    opening = AuditEntry.objects.filter(kind__in=["INTENT", "REFUSED"]).order_by("sequence")
    digests = [json.loads(body)["list_digest"] for body in opening.values_list("body", flat=True)]
    assert len(digests[0]) == 64
    try:
        call_command("migrate", "audit", "0016", database="audit", verbosity=0)
        with connections["audit"].cursor() as cursor:
            cursor.execute("SELECT list_digest FROM audit_attempt ORDER BY id")
            assert [digest for (digest,) in cursor.fetchall()] == digests
    finally:
        call_command("migrate", "audit", database="audit", verbosity=0)
    assert verify().findings == []
    assert append_only.problems(connections["audit"]) == schema_problems("audit", PROGRAMS) == []
