"""What an import would do, for somebody who decides whether it may."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from setactions.operations.legacy.rows import Entry
from setactions.operations.legacy.survey import FileSurvey, Survey
from tmsdash.text import counted


def preview(survey: Survey, jobs: Path, log: Path) -> Iterator[str]:
    """Yield the lines: for each file its rows, times and samples; then users, clusters and links."""
    yield from _file_lines(f"Jobs in {jobs}", survey.jobs)
    yield f"  Doubled: {survey.doubled:,}."
    yield from _file_lines(f"Audit log in {log}", survey.log)
    for title, names in (("Users, with their rows", survey.users), ("Clusters, with their jobs", survey.clusters)):
        yield f"{title}:"
        yield from (f"  {name}" for name in names.in_words() or ["none"])
    yield f"Jobs with their row of the audit log: {survey.linked:,} of {len(survey.jobs.entries):,}.{unlinked(survey)}"
    yield "Dry run: nothing was written."


def unlinked(survey: Survey) -> str:
    """Return a sentence, with a blank before it, on links that cannot be made any more; "" if there are none."""
    if not survey.unlinked:
        return ""
    return f" Imported earlier without a link, which cannot be added: {survey.unlinked:,}."


def _file_lines(title: str, survey: FileSurvey) -> Iterator[str]:
    entries = [*survey.entries.values()]
    yield (
        f"{title}: {counted(survey.rows, 'row')} with {counted(survey.customers, 'customer')}, "
        f"{len(entries) - survey.known:,} to import, {survey.known:,} there already, {survey.bad:,} bad and skipped."
    )
    if not entries:
        return
    zones = Counter(entry.moment.zone or "as written, with an offset" for entry in entries)
    yield f"  Times read as: {', '.join(f'{zone} ({count:,})' for zone, count in zones.most_common())}."
    by_time = sorted(entries, key=lambda entry: entry.instant)
    yield f"  Earliest: {_time(by_time[0])}"
    yield f"  Latest: {_time(by_time[-1])}"
    for entry in _samples(entries):
        customers = counted(entry.customers, "customer")
        facts = [_time(entry), entry.user_id, entry.action_name, customers, entry.cluster_url]
        yield f"  Row {entry.number}: {' · '.join(fact for fact in facts if fact)}"


def _time(entry: Entry) -> str:
    return f"{entry.moment.written} → {entry.instant:%Y-%m-%d %H:%M:%S} UTC"


def _samples(entries: Sequence[Entry]) -> list[Entry]:
    """Return the first, the middle and the last one."""
    return [entries[place] for place in sorted({0, len(entries) // 2, len(entries) - 1})]
