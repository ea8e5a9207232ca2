from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.core.management.base import CommandParser
from django.db import Error as AnyDatabaseError

from audit.management.commands.audit_verify import Command as AuditVerifyCommand
from audit.proof.archives import ArchiveError
from audit.proof.findings import Finding, Verification
from audit.proof.lists import STEP
from jobs.selectors import day_problems
from setactions.proof.database_check import database_problems
from setactions.proof.job_comparison import JobComparison
from setactions.proof.ledger_comparison import LedgerComparison
from tmsdash.db.damage import damage
from tmsdash.db.schema import index_problems


class Command(AuditVerifyCommand):
    # The audit knows nothing about jobs, so the command that looks at both is here, and replaces the audit's own.
    help = (
        f"{AuditVerifyCommand.help} With --jobs it also compares each Job and each batch with the audit, and names "
        "tables, indexes and triggers of the other two databases that are missing, altered or do not belong there."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--jobs", action="store_true", help="also compare all jobs, batches and tables")

    def verify_further(self, verification: Verification, options: dict[str, Any]) -> None:
        """Compare jobs, batches and tables, if the options say so."""
        if not options["jobs"]:
            return
        try:
            self._compare(verification, options)
        except AnyDatabaseError as error:
            # The audit was read to its end before.
            problems = ((alias, damage(alias, error)) for alias in ("jobs", "default"))
            findings = [Finding(f"database {alias}", problem) for alias, problem in problems if problem]
            if not findings:
                raise
            verification.add(findings[:1])
            with suppress(AnyDatabaseError):  # it is as damaged as before
                verification.add(_schema_findings())

    def _compare(self, verification: Verification, options: dict[str, Any]) -> None:
        jobs, ledger = JobComparison(archive_folder=self.archive_folder(options)), LedgerComparison()
        try:
            verification.add(Finding(f"job {job_id}", problem) for job_id, problem in jobs.problems())
        except ArchiveError as error:
            verification.add([Finding("archive", str(error))])
        verification.add(Finding(f"batch {batch_id}", problem) for batch_id, problem in ledger.problems())
        verification.add(Finding("days of jobs", f"{problem} {STEP}") for problem in day_problems())
        verification.add(Finding("indexes", problem) for problem in index_problems("jobs"))
        verification.add(_schema_findings())
        verification.further |= {
            "jobs": jobs.jobs,
            "job_customers": jobs.customers,
            "unsigned_jobs": jobs.unsigned,
            "batches": ledger.batches,
            "chunks": ledger.chunks,
        }


def _schema_findings() -> Iterator[Finding]:
    """Yield what is missing, altered or foreign in the other databases; the audit's is looked at in any case."""
    return (Finding("schema", problem) for problem in database_problems(full=True, without="audit"))
