"""Audit entries are added and read, and nothing else."""

import pytest
from django.db import DatabaseError, IntegrityError
from django.db.models import QuerySet

from audit.choices import Kind
from audit.models import AppendOnlyError, AuditEntry
from audit.selectors import find_attempt
from audit.tests.making import make_attempt

pytestmark = pytest.mark.usefixtures("databases")


def first():
    return AuditEntry.objects.get(kind="INTENT")


@pytest.mark.parametrize(
    "tamper",
    [
        lambda: first().save(),
        lambda: first().save(update_fields=["user_id"]),
        lambda: first().save(force_update=True),
        lambda: first().save_base(),
        lambda: first().delete(),
        lambda: AuditEntry.objects.all().delete(),
        lambda: AuditEntry.objects.filter(user_id="olivia").delete(),
        lambda: AuditEntry.objects.none().delete(),
        lambda: AuditEntry.objects.update(user_id="eve"),
        lambda: AuditEntry.objects.filter(kind="INTENT").update(body="{}"),
        lambda: AuditEntry.objects.bulk_update([first()], ["user_id"]),
        lambda: AuditEntry.objects.update_or_create(kind="INTENT", defaults={"user_id": "eve"}),
        lambda: AuditEntry.objects.bulk_create(
            [first()], update_conflicts=True, update_fields=["user_id"], unique_fields=["sequence"]
        ),
        lambda: AuditEntry._base_manager.update(user_id="eve"),
        lambda: AuditEntry._default_manager.all()._raw_delete("audit"),
    ],
)
def test_an_entry_is_never_changed_or_deleted(tamper):
    make_attempt()
    before = AuditEntry.objects.values().get()
    with pytest.raises(AppendOnlyError):
        tamper()
    assert AuditEntry.objects.values().get() == before


@pytest.mark.parametrize("name", ["save", "delete"])
def test_a_new_entry_with_an_old_key_does_not_replace_the_old_one(name):
    make_attempt()
    before = AuditEntry.objects.values().get()
    forged = AuditEntry(**before | {"user_id": "eve"})
    with pytest.raises((IntegrityError, AppendOnlyError)):
        getattr(forged, name)()
    assert AuditEntry.objects.values().get() == before


def test_reading_and_adding_stay_possible():
    make_attempt(Kind.ACCEPTED)
    assert isinstance(AuditEntry.objects.order_by("sequence"), QuerySet)
    assert AuditEntry.objects.filter(kind="ACCEPTED").count() == 1


def test_an_attempt_whose_customers_are_there_is_not_deleted():
    attempt = make_attempt()
    with pytest.raises(DatabaseError):
        attempt.delete()
    assert find_attempt(attempt.attempt_id) == attempt
