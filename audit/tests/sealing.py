"""What tests of verification, seals and archives share."""

from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from unittest import mock

import pytest
from django.core.management import call_command
from django.utils import timezone

from audit.actors import Actor
from audit.choices import Kind
from audit.models import Attempt, AttemptCustomer, AuditEntry, ChainHead, MerkleTile, StoredCheckpoint
from audit.services import record_fact
from audit.tests.making import make_attempt, refuse, tampering

CHANGED = "It was changed: its mac does not match what it says."


@pytest.fixture
def empty_seal_dir(settings, tmp_path):
    """A folder for seals of this test's own; it is not there yet."""
    settings.AUDIT_SEAL_DIR = tmp_path / "seals"
    return settings.AUDIT_SEAL_DIR


def run(command, *arguments):
    """Run a command of the audit; return its exit code, and what it printed."""
    output = StringIO()
    try:
        call_command(command, *arguments, stdout=output, stderr=output)
    except SystemExit as ended:
        return ended.code, output.getvalue()
    return 0, output.getvalue()


@pytest.fixture
def audited(databases):
    """Entries 1 to 9: two attempts, a refusal, a fact without an attempt, and another attempt."""
    make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=("a1", "b2"))
    make_attempt(Kind.REJECTED, cids=("c3",), message="no", http_status=400)
    refuse(cids=("d4",))
    record_fact(Kind.SIGNED_OUT, {"b": 1}, actor=Actor(user_id="olivia", ip_address="203.0.113.7"), wait_s=5)
    make_attempt(Kind.UNKNOWN, cids=("e5",), message="lost", http_status=None)


def ago(days):
    return mock.patch("django.utils.timezone.now", return_value=timezone.now() - timedelta(days=days))


@pytest.fixture
def old():
    """Entries 1 to 5 of long ago: an accepted attempt, a rejected one; and 6, 7 of today."""
    with ago(100):
        accepted = make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=("a1", "b2"))
        rejected = make_attempt(Kind.REJECTED, cids=("c3",), message="no", http_status=400)
    make_attempt(Kind.ACCEPTED, cids=("d4",))
    return accepted, rejected


def day(days_ago):
    return f"{timezone.now() - timedelta(days=days_ago):%Y-%m-%d}"


def head():
    return ChainHead.objects.get()


@contextmanager
def back_to_yesterday():
    """What happens in the block is undone afterwards, as if the database's file had been put back."""
    tables = (AuditEntry, Attempt, AttemptCustomer, ChainHead, StoredCheckpoint, MerkleTile)
    before = {model: list(model.objects.order_by("pk")) for model in tables}
    yield
    with tampering() as cursor:
        for model in (AttemptCustomer, Attempt, AuditEntry, ChainHead, StoredCheckpoint, MerkleTile):
            cursor.execute(f"DELETE FROM {model._meta.db_table}")
        for model in tables:
            for instance in before[model]:
                instance.save_base(raw=True, force_insert=True)
