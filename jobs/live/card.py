"""The card *Live state* of a job's page and of a batch's: its numbers, its bar, and where each number leads."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse
from django.utils.http import urlencode

from jobs.live.bar import Bar, BarPart
from jobs.live.codes import state_name
from jobs.live.confirmations import ShownStates, StatePart
from jobs.models import LiveReading


@dataclass(frozen=True)
class CardRow:
    """A number of customers: its words, and the addresses of their list, if there is one."""

    part: StatePart
    address: str
    csv: str


@dataclass(frozen=True)
class LiveCard:
    """What is shown of the customers that `query` stands for in addresses of the status page."""

    states: ShownStates
    query: Mapping[str, str]

    @property
    def cluster_name(self) -> str:
        """The name of the cluster; "" if the settings lack it, so that nothing can be read."""
        names = (name for name, origin in settings.TMS_CLUSTERS.items() if origin == self.states.cluster_url)
        return next(names, "")

    @property
    def action(self) -> str:
        return state_name(self.states.action_code)

    @property
    def rows(self) -> list[CardRow]:
        name, rows = self.cluster_name, []
        alike = Counter(part.state for part in self.states.parts)
        for part in self.states.parts:
            place = {**self.query, "state": part.state}
            if alike[part.state] > 1:  # the same state, but known in another way
                place["basis"] = part.basis.name.lower()
            # The customers of a batch are not told apart by how their states are known.
            has_list = name and ("job" in place or "basis" not in place)
            query = urlencode(place)
            page, csv = (reverse(url, args=[name]) if has_list else "" for url in ("live_status", "live_status_csv"))
            rows.append(CardRow(part, page and f"{page}?{query}", csv and f"{csv}?{query}"))
        return rows

    @property
    def bar(self) -> Bar:
        return Bar([BarPart(part.words, part.count, part.css) for part in self.states.parts])

    @property
    def readings(self) -> Sequence[LiveReading]:
        """The first and the last of the readings that show them, or the only one."""
        ends = (self.states.oldest, self.states.newest)
        return [reading for number, reading in enumerate(ends) if reading and reading not in ends[:number]]
