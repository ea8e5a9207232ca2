"""The rows of the list of batches as HTML."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.safestring import SafeString
from django.utils.text import Truncator

from jobs.batches.selectors import on_production
from setactions.pages.batch_view import BatchLine
from tmsdash.web.clusters import ON_PRODUCTION, several, shown_cluster
from tmsdash.web.page_addresses import address_maker
from tmsdash.web.parts import badge
from tmsdash.web.table_rows import rows_by_day
from tmsdash.web.template_filters import number

_ROW = """<tr class="{mark}">
  <td data-label="Time">{time}</td>
  <td data-label="Batch"><a href="{address}">{action}{file_name}</a></td>
  <td data-label="Cluster">{cluster}</td>
  <td data-label="Customers" class="number">{customers}</td>
  <td data-label="Accepted" class="number">{accepted}</td>
  <td data-label="State"><span>{state}{unknown}</span></td>{user}
</tr>"""
_USER = """
  <td data-label="User"><span class="limited" title="{user}">{user}</span></td>"""
FILE_NAME_SHOWN = 60


def rows_of(lines: Sequence[BatchLine], *, with_user: bool) -> SafeString:
    """Return the bodies of a table of batches by days, whose last column is the user `with_user`."""
    return rows_by_day(_ROW.replace("{user}", _USER if with_user else ""), _cells(lines))


def _cells(lines: Sequence[BatchLine]) -> Iterator[dict[str, Any]]:
    address_of = address_maker("batch")
    marked = on_production([line.batch for line in lines])
    for line in lines:
        batch, unknown = line.batch, line.progress.unknown
        yield {
            "at": batch.created_at,
            "address": address_of(batch.batch_id),
            "action": line.action,
            "file_name": f", {Truncator(batch.file_name).chars(FILE_NAME_SHOWN)}" if batch.file_name else "",
            "mark": ON_PRODUCTION if batch.pk in marked else "",
            "cluster": shown_cluster(batch.cluster_url) or several(is_production=batch.pk in marked),
            "customers": number(batch.customer_count),
            "accepted": number(line.progress.accepted),
            "state": badge(line.css, line.state),
            "unknown": SafeString(" ") + badge("unknown", f"outcome of {number(unknown)} unknown") if unknown else "",
            "user": batch.user_id,
        }
