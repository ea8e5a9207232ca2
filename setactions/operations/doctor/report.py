"""What was found out, as text and as JSON."""

import json
from collections.abc import Iterator, Sequence

from setactions.operations.doctor.findings import Level, Result


def is_well(results: Sequence[Result]) -> bool:
    """Tell whether nothing is to be mended."""
    return not any(result.is_wrong for result in results)


def as_json(results: Sequence[Result]) -> str:
    """Return one JSON object."""
    return json.dumps({"well": is_well(results), "topics": [result.as_json() for result in results]}, indent=2)


def lines(results: Sequence[Result]) -> Iterator[str]:
    """Yield the report: a line for each topic, and two for each finding."""
    for result in results:
        title = result.topic.capitalize()
        if not result.looked:
            yield f"  ----   {title}: not looked at until the settings are right"
            continue
        if not result.findings:
            yield (
                f"  well   {title}: {'; '.join(result.well)}"
                if result.well
                else f"  ----   {title}: nothing to look at"
            )
        for finding in result.findings:
            yield f"  {'WRONG' if finding.level == Level.WRONG else 'note '}  {title}: {finding.sentence}"
            yield f"           -> {finding.mend}"
    wrong = sum(finding.level == Level.WRONG for result in results for finding in result.findings)
    notes = sum(len(result.findings) for result in results) - wrong
    known = f"; {notes} worth knowing" if notes else ""
    yield f"{wrong} to be mended{known}." if wrong else f"All is well{known}."
