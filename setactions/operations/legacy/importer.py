"""The import: each old row becomes a fact in the audit and each old job a Job, all marked as the old dashboard's."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TypeVar
from uuid import UUID

from audit.legacy import Imported, imported_body, record_imported
from jobs.legacy import LegacyJob, create_legacy_jobs
from setactions.operations.legacy.old_files import OldFile
from setactions.operations.legacy.rows import Entry, fact_of_job, fact_of_log_row, job_of
from setactions.operations.legacy.survey import Survey, cids_of_job

ROWS_AT_ONCE = 200
AnyRow = TypeVar("AnyRow")


def import_jobs(survey: Survey, file: OldFile, imported_by: str) -> int:
    """Import the jobs of a file that its survey took, those with customers; return how many are new.

    Raises BadFileError or DatabaseError. What is imported by then stays, and the next run continues from there.
    """
    imported = 0
    for part in _parts(_jobs(survey, file)):
        record_imported([fact for fact, _ in part], imported_by)
        imported += create_legacy_jobs([job for _, job in part])
    return imported


def import_log(survey: Survey, file: OldFile, imported_by: str) -> int:
    """Import the rows of the audit log in the same way."""
    rows = ((survey.log.entries.get(number), row) for number, row in file.rows("audit_log"))
    facts = (fact_of_log_row(entry, row) for entry, row in rows if entry and entry.attempt_id not in survey.stored)
    return sum(record_imported(part, imported_by) for part in _parts(facts))


def _jobs(survey: Survey, file: OldFile) -> Iterator[tuple[Imported, LegacyJob]]:
    for number, row in file.rows("jobs"):
        entry = survey.jobs.entries.get(number)
        if entry is None:
            continue
        is_stored = entry.attempt_id in survey.stored
        if not (is_stored and entry.has_job):
            cids = tuple(cids_of_job(file, row["job_id"], say=lambda problem: None))  # the survey said it
            entry = _as_stored(survey, entry) if is_stored else entry
            job = job_of(entry, row, cids)
            yield fact_of_job(entry, row, job), job


def _as_stored(survey: Survey, entry: Entry) -> Entry:
    """Return an entry as the audit has it: the Job that is missing has to say the same as the fact that is there."""
    stored, body = survey.stored[entry.attempt_id], imported_body(entry.attempt_id)
    doubles = UUID(body["doubles"]) if body.get("doubles") else None
    return replace(entry, at=stored.at, user_id=stored.user_id, cluster_url=stored.cluster_url, doubles=doubles)


def _parts(rows: Iterable[AnyRow]) -> Iterator[list[AnyRow]]:
    iterator = iter(rows)
    while part := list(islice(iterator, ROWS_AT_ONCE)):
        yield part
