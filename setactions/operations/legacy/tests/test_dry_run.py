"""`import_legacy --dry-run`: shows what would be imported, and leaves no trace."""

import tempfile
from pathlib import Path

import pytest
from django.conf import settings as site_settings
from django.core.management import CommandError

from audit.models import Attempt, AuditEntry, ChainHead
from jobs.models import Job
from setactions.operations.legacy.tests.old_dashboard import facts

pytestmark = [pytest.mark.usefixtures("databases", "tms"), pytest.mark.pages]


@pytest.fixture
def filled(old):
    old.job("a1", created_at="2025-06-01T12:00:00.25", user_id="jdoe", cluster_url="https://evian3.example//tms/v1/")
    old.job("a2", "a3", created_at="2025-06-01T12:00:30")
    old.job("a4", created_at="yesterday")
    old.job("a5", created_at="2025-05-01T12:00:00+00:00")
    old.job("a6", created_at="2025-06-02T00:00:00", cluster_url="https://gone.example/")
    old.log(timestamp="2025-06-01 10:00:00", customer_ids="a1", user_id="jdoe")
    old.log(timestamp="2025-06-01 10:00:30", customer_ids="{")
    return old


def test_a_dry_run_shows_rows_times_samples_names_and_links(filled, settings):
    mapped = ["--user-map", "jdoe=john", "--cluster-map", "https://evian3.example=evian3"]
    printed, reported = filled.run("--dry-run", *mapped)
    ours = settings.TMS_CLUSTERS["evian3"]
    assert printed.splitlines() == [
        f"Jobs in {filled.jobs}: 5 rows with 5 customers, 4 to import, 0 there already, 1 bad and skipped.",
        "  Times read as: Europe/Paris (3), as written, with an offset (1).",
        "  Earliest: 2025-05-01T12:00:00+00:00 → 2025-05-01 12:00:00 UTC",
        "  Latest: 2025-06-02T00:00:00 → 2025-06-01 22:00:00 UTC",
        "  Row 1: 2025-06-01T12:00:00.25 → 2025-06-01 10:00:00 UTC · john · PE-Enable · 1 customer · " + ours,
        "  Row 4: 2025-05-01T12:00:00+00:00 → 2025-05-01 12:00:00 UTC · olivia · PE-Enable · 1 customer · " + ours,
        "  Row 5: 2025-06-02T00:00:00 → 2025-06-01 22:00:00 UTC · olivia · PE-Enable · 1 customer · "
        "https://gone.example",
        "  Doubled: 0.",
        f"Audit log in {filled.audit}: 2 rows with 1 customer, 1 to import, 0 there already, 1 bad and skipped.",
        "  Times read as: UTC (1).",
        "  Earliest: 2025-06-01 10:00:00 → 2025-06-01 10:00:00 UTC",
        "  Latest: 2025-06-01 10:00:00 → 2025-06-01 10:00:00 UTC",
        "  Row 1: 2025-06-01 10:00:00 → 2025-06-01 10:00:00 UTC · john · PE-Enable · 1 customer",
        *("Users, with their rows:", "  olivia (3)", "  jdoe → john (2)"),
        "Clusters, with their jobs:",
        f"  https://evian3.example → {ours} (3)",
        "  https://gone.example (1)",
        "Jobs with their row of the audit log: 1 of 4.",
        "Dry run: nothing was written.",
    ]
    assert reported == [
        "jobs row 3: 'yesterday' is no time; skipped",
        "audit_log row 2: customer_ids is not JSON: '{'; skipped",
    ]


def test_a_dry_run_writes_nothing(filled, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lock = Path(site_settings.VAR_DIR) / "import_legacy.lock"
    lock.unlink(missing_ok=True)
    kept = (Job, Attempt, AuditEntry, ChainHead)
    before = [facts(model) for model in kept]
    filled.run("--dry-run")
    assert [facts(model) for model in kept] == before
    assert not lock.exists()
    assert sorted(tmp_path.iterdir()) == [filled.audit, filled.jobs]


def test_a_dry_run_after_an_import_shows_what_is_new(filled):
    filled.run()
    filled.job("a7")
    printed, _ = filled.run("--dry-run")
    assert "6 rows with 6 customers, 1 to import, 4 there already, 1 bad" in printed


def test_a_dry_run_of_empty_files_shows_that_they_are_empty(old):
    printed, reported = old.run("--dry-run")
    assert "Jobs in" in printed
    assert "Users, with their rows:\n  none\n" in printed
    assert reported == []


def test_a_dry_run_with_bad_input_fails(filled):
    with pytest.raises(CommandError, match="no row has nobody"):
        filled.run("--dry-run", "--user-map", "nobody=john")
    filled.audit.write_bytes(b"no database")
    with pytest.raises(CommandError, match=r"audit.db cannot be read"):
        filled.run("--dry-run")
