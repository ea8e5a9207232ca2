"""What the pages of live states show, as values: templates only put them in their places."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.forms import Form
from django.urls import reverse
from django.utils.safestring import SafeString

from jobs.live.bar import Bar, part_of_state
from jobs.models import LiveReading
from setactions.live.listing import UNREAD, Chosen, Line, WholeCluster
from setactions.pages.status_forms import StatusFilters
from setactions.tms.clusters import Cluster
from tmsdash.text import shown_id
from tmsdash.web.kept_forms import Kept
from tmsdash.web.paging import Page
from tmsdash.web.parts import Column
from tmsdash.web.table_rows import table_rows
from tmsdash.web.template_filters import shown_time

_ROW = """<tr>
  <td data-label="Customer"><a class="id" href="{address}">{cid}</a></td>
  <td data-label="State" class="short">{state}</td>
  <td data-label="Read">{read_at}</td>
  <td data-label="Source">{source}</td>
</tr>"""


@dataclass(frozen=True, kw_only=True)
class ClusterLine:
    """A cluster with what was read of it last, if anything."""

    cluster: Cluster
    whole: LiveReading | None = None


@dataclass(frozen=True, kw_only=True)
class StatusView(ClusterLine):
    """The customers of a cluster that the filters ask for; `listing` is None if nothing was ever read of any.

    `failed` is the newest reading that failed since the last good one, `oldest` the oldest that any of them goes back
    to, `read_since` since when somebody has been reading the cluster. `sealed` is the token, for another reading,
    and `kept` what was typed before the user had to sign in again.
    """

    filters: StatusFilters
    clusters: list[Cluster]
    listing: WholeCluster | Chosen | None
    page: Page[Any]
    matching: int = 0
    failed: LiveReading | None = None
    read_since: datetime | None = None
    may_read: bool = False
    sealed: str = ""
    error: str = ""
    news: str = ""
    kept: Kept | None = None
    list_form: Form
    answer_form: Form

    @property
    def is_elsewhere(self) -> bool:
        """Whether the job or batch that was asked for has no customers on this cluster."""
        return self.filters.cids is not None and not self.filters.cids

    @property
    def bar(self) -> Bar:
        """How many of the selection are in each state."""
        counts = self.listing.counts if self.listing else {}
        return Bar([part_of_state(code, count, self.state_address(code)) for code, count in counts.items()])

    def state_address(self, code: int | None) -> str:
        """Return where the customers of a state are listed."""
        return self.filters.address(state=UNREAD if code is None else str(code), q="")

    @property
    def rows(self) -> SafeString:
        """The rows of the table."""
        return table_rows(_ROW, _cells(self.listing.lines(self.page.rows) if self.listing else ()))

    @property
    def columns(self) -> list[Column]:
        """The headings by which the table can be sorted: the other way round, if it is already."""
        sort = self.filters.wanted.sort
        columns = []
        for label, name in (("Customer", "cid"), ("State", "state")):
            order = {name: "ascending", f"-{name}": "descending"}.get(sort, "")
            address = self.filters.address(sort=f"-{name}" if sort == name else name)
            columns.append(Column(label, address=f"{address}#customers-title", order=order))
        return columns

    @property
    def csv_address(self) -> str:
        return self.filters.address("live_status_csv")

    @property
    def read_address(self) -> str:
        return self.filters.address("live_status_read")

    @property
    def answer_address(self) -> str:
        return self.filters.address("live_status_answer")

    @property
    def list_address(self) -> str:
        return self.filters.address("live_status_list")

    @property
    def here(self) -> str:
        """The address of this page, also if it answers a form."""
        return self.filters.address()

    @property
    def way_back(self) -> str:
        """The address of the list of clusters; "" if there is only this one."""
        return reverse("live_clusters") if len(self.clusters) > 1 else ""

    @property
    def whole_address(self) -> str:
        """Where all customers are shown."""
        return reverse("live_status", args=[self.cluster.name])


def _cells(lines: Iterable[Line]) -> Iterator[dict[str, Any]]:
    times: dict[int | None, SafeString] = {}  # most lines have the same reading
    for line in lines:
        reading = line.state.reading if line.state else None
        if reading and reading.pk not in times:
            times[reading.pk] = shown_time(reading.began_at)
        yield {
            "address": reverse("customer", args=[line.cid]),
            "cid": shown_id(line.cid),
            "state": line.state_in_words,
            "read_at": times[reading.pk] if reading else "–",
            "source": reading.source_in_words if reading else "–",
        }
