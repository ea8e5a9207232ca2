"""The chart of a summary and the same as a table, as HTML: a template takes a third of the whole page's time for it."""

from collections.abc import Iterator

from django.utils.safestring import SafeString, mark_safe

from audit.summary import AttemptSummary, Period
from tmsdash.web.table_rows import table_rows
from tmsdash.web.template_filters import number

_COLUMN = "<g><title>{name}: {total}</title>{bars}</g>"
_BAR = '<rect class="{}" x="{}" y="{}" width="{}" height="{}"></rect>'
_ROW = '<tr><th scope="row">{name}</th>{counts}<td>{total}</td></tr>'


def columns_of(summary: AttemptSummary) -> SafeString:
    """Return the columns of the chart, each with its name and number as a tooltip."""
    return table_rows(
        _COLUMN,
        ({"name": period.name, "total": number(period.total), "bars": _bars(period)} for period in _with_any(summary)),
    )


def rows_of(summary: AttemptSummary) -> SafeString:
    """Return the rows of the table."""
    return table_rows(
        _ROW,
        (
            {"name": period.name, "total": number(period.total), "counts": _counts(period)}
            for period in _with_any(summary)
        ),
    )


def _with_any(summary: AttemptSummary) -> Iterator[Period]:
    return (period for period in summary.periods if period.total)


def _bars(period: Period) -> SafeString:
    bars = (_BAR.format(bar.group, bar.x, bar.y, bar.width, bar.height) for bar in period.bars)
    return mark_safe("".join(bars))  # noqa: S308 (numbers, and names of ours)


def _counts(period: Period) -> SafeString:
    return mark_safe("".join(f"<td>{number(count)}</td>" for count in period.counts))  # noqa: S308 (numbers)
