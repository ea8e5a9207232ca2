"""The rows of User Jobs as HTML."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from jobs.live.confirmations import confirmations_of
from jobs.statuses import shown_status
from tmsdash.web.clusters import production_class, shown_cluster
from tmsdash.web.page_addresses import address_maker
from tmsdash.web.parts import badge
from tmsdash.web.table_rows import rows_by_day
from tmsdash.web.template_filters import number

COLUMNS = ("pk", "created_at", "job_id", "action_name", "cluster_url", "customer_count", "status", "legacy", "user_id")
_ROW = """<tr class="{mark}">
  <td data-label="Time">{time}</td>
  <td data-label="Job"><a class="id" href="{address}">{job_id}</a></td>
  <td data-label="Action" class="short">{action}</td>
  <td data-label="Cluster">{cluster}</td>
  <td data-label="Customers" class="number">{customers}</td>
  <td data-label="Status"><div>{status}{legacy}{detail}</div></td>{user}
</tr>"""
_USER = """
  <td data-label="User"><span class="limited" title="{user}">{user}</span></td>"""
_LEGACY = mark_safe(' <span class="hint">old dashboard</span>')
_DETAIL = ' <span class="hint">{}</span>'


def rows_of(jobs: Sequence[Any], *, with_user: bool) -> SafeString:
    """Return the bodies of a table, by days, of jobs that have these COLUMNS; the last is the user `with_user`."""
    row = _ROW.replace("{user}", _USER if with_user else "")
    return rows_by_day(row, _cells(jobs))


def _cells(jobs: Sequence[Any]) -> Iterator[dict[str, Any]]:
    address_of = address_maker("job_detail")
    confirmations = confirmations_of([job.job_id for job in jobs])
    mark_of, cluster_of = cache(production_class), cache(shown_cluster)
    for job in jobs:
        job_id = str(job.job_id)
        shown = shown_status(job.status, legacy=job.legacy, confirmation=confirmations.get(job.job_id))
        yield {
            "at": job.created_at,
            "address": address_of(job_id),
            "job_id": job_id,
            "action": job.action_name,
            "mark": mark_of(job.cluster_url),
            "cluster": cluster_of(job.cluster_url),
            "customers": number(job.customer_count),
            "status": badge(shown.css, shown.label),
            "detail": format_html(_DETAIL, shown.detail) if shown.detail else "",
            "legacy": _LEGACY if job.legacy else "",
            "user": job.user_id,
        }
