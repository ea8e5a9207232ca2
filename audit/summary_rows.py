"""The chart of a summary and the same as a table, as HTML: a template takes a third of the whole page's time for it."""

from collections.abc import Iterator, Sequence

from django.utils.safestring import SafeString, mark_safe

from audit.summary import AttemptSummary, Period
from tmsdash.web.parts import Column
from tmsdash.web.table_rows import table_rows
from tmsdash.web.template_filters import number

_COLUMN = "<g><title>{name}: {total}</title>{bars}</g>"
_BAR = '<rect class="{}" x="{}" y="{}" width="{}" height="{}"></rect>'
_ROW = '<tr><th scope="row">{name}</th>{counts}</tr>'
_COUNT = '<td data-label="{}" class="number">{}</td>'
_ALL = "All"


def columns_of(summary: AttemptSummary) -> SafeString:
    """Return the columns of the chart, each with its name and number as a tooltip."""
    return table_rows(
        _COLUMN,
        ({"name": period.name, "total": number(period.total), "bars": _bars(period)} for period in _with_any(summary)),
    )


def heads_of(summary: AttemptSummary) -> list[Column]:
    """Return the heads of the table's columns, but for the first one."""
    return [Column(words, "number") for words in _words_of(summary)]


def rows_of(summary: AttemptSummary) -> SafeString:
    """Return the rows of the table."""
    words = _words_of(summary)
    return table_rows(_ROW, ({"name": period.name, "counts": _counts(period, words)} for period in _with_any(summary)))


def _with_any(summary: AttemptSummary) -> Iterator[Period]:
    return (period for period in summary.periods if period.total)


def _bars(period: Period) -> SafeString:
    bars = (_BAR.format(bar.group, bar.x, bar.y, bar.width, bar.height) for bar in period.bars)
    return mark_safe("".join(bars))  # noqa: S308 (numbers, and names of ours)


def _words_of(summary: AttemptSummary) -> list[str]:
    return [*(str(group.label) for group in summary.groups), _ALL]


def _counts(period: Period, words: Sequence[str]) -> SafeString:
    counts = (
        _COUNT.format(word, number(count)) for word, count in zip(words, [*period.counts, period.total], strict=True)
    )
    return mark_safe("".join(counts))  # noqa: S308 (numbers, and words of ours)
