"""What an import would do, for somebody who decides whether it may."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

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
    yield f"{title}: {survey.in_words(len(entries) - survey.known, 'to import')}."
    if not entries:
        return
    zones = Counter(entry.moment.zone or "as written, with an offset" for entry in entries)
    yield f"  Times read as: {', '.join(f'{zone} ({count:,})' for zone, count in zones.most_common())}."
    by_time = sorted(entries, key=lambda entry: entry.instant)
    yield f"  Earliest: {by_time[0].time_in_words}"
    yield f"  Latest: {by_time[-1].time_in_words}"
    for entry in (entries[place] for place in sorted({0, len(entries) // 2, len(entries) - 1})):
        customers = counted(entry.customers, "customer")
        facts = [entry.time_in_words, entry.user_id, entry.action_name, customers, entry.cluster_url]
        yield f"  Row {entry.number}: {' · '.join(fact for fact in facts if fact)}"
