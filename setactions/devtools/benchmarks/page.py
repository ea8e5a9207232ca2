"""The part of docs/speed.md that `manage.py bench all --write docs/speed.md` writes: a table and a chart."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

from django.core.management.base import CommandError

from setactions.devtools.benchmarks.measurement import PER_S, Row, machine
from setactions.devtools.benchmarks.servers import CALL_THEN_RECORD

BEGIN, END = "<!-- written by manage.py bench -->", "<!-- end of what is written by manage.py bench -->"
WIDTH, BAR_X, BAR_WIDTH, BAR_HEIGHT, GAP = 900, 400, 380, 13, 12  # px
OURS, FLOOR = "#0b6e4f", "#9aa5b1"


def assert_has_markers(page: Path) -> None:
    """Raise CommandError unless the page says where the table belongs."""
    _parts(page)


def write_page(page: Path, rows: Sequence[Row], command: str) -> None:
    """Replace what is between the markers of the page by what `command` gave, and the chart beside it."""
    before, after = _parts(page)
    chart = page.with_suffix(".svg")
    chart.write_text(_chart(_charted(rows)), encoding="utf-8")
    parts = [
        before,
        BEGIN,
        "\n\n",
        _table(rows, command),
        f"\n![The product beside the stand-in]({chart.name})\n\n",
        END,
        after,
    ]
    page.write_text("".join(parts), encoding="utf-8")


def _parts(page: Path) -> tuple[str, str]:
    """Return what stands before and after the markers."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise CommandError(f"{page} has no lines '{BEGIN}' and '{END}'. Add them where the table belongs.")
    return before, after


def _table(rows: Sequence[Row], command: str) -> str:
    day = datetime.now(UTC).date().isoformat()
    lines = [
        f"Measured on {day} by `{command}`: {machine()}. Medians; in brackets the least and the most of all rounds.",
        "",
    ]
    lines += ["| benchmark | measured | | floor | | ratio | limit |", "| --- | --- | ---: | --- | ---: | ---: | --- |"]
    for row in rows:
        ratio = f"{row.ratio:.2f} ({row.least:.2f} to {row.most:.2f})"
        ours, floor = (f"{value:,.1f} {row.unit}" for value in (row.ours, row.floor_value))
        limit = row.allowed if row.is_within_limits else f"**{row.allowed}**"
        lines.append(f"| `{row.name}` | {row.what} | {ours} | {row.floor} | {floor} | {ratio} | {limit} |")
    return "\n".join(lines) + "\n"


def _charted(rows: Sequence[Row]) -> list[Row]:
    """Return what is compared with calling before recording, sorted by what is measured: CPU, time, rate."""
    charted = [row for row in rows if row.floor == CALL_THEN_RECORD]
    kinds = [row.what.split()[0] for row in charted]
    return sorted(charted, key=lambda row: kinds.index(row.what.split()[0]))


def _chart(rows: Sequence[Row]) -> str:
    """Return an SVG of two bars for each row, whose longer one fills the width."""
    step = 2 * BAR_HEIGHT + GAP
    height = 40 + step * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="20"><tspan fill="{OURS}">■</tspan> the product <tspan fill="{FLOOR}">■</tspan> '
        f"{CALL_THEN_RECORD} (of rates more is better, of ms less)</text>",
    ]
    for number, row in enumerate(rows):
        top = 36 + number * step
        parts.append(f'<text x="10" y="{top + 16}">{escape(row.what)}</text>')
        longest = max(row.ours, row.floor_value)
        for line, (value, colour) in enumerate(((row.ours, OURS), (row.floor_value, FLOOR))):
            y, width = top + line * BAR_HEIGHT, BAR_WIDTH * value / longest
            figure = f"{value:,.{0 if row.unit == PER_S else 1}f} {row.unit}"
            parts.append(f'<rect x="{BAR_X}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT - 1}" fill="{colour}"/>')
            parts.append(f'<text x="{BAR_X + width + 4:.1f}" y="{y + 11}">{figure}</text>')
    return "\n".join([*parts, "</svg>\n"])
