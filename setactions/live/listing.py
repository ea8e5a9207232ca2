"""Customers of a cluster with their newest states: counted, searched, sorted, and cut into pages.

Those of a whole cluster are as many as a reading listed: the database does the work, and reads one page. Those of a
job, a batch or a list are known one by one, whatever was read of them, and are sorted in memory.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import QuerySet

from jobs.live.codes import UNREAD_IN_WORDS, state_name
from jobs.live.states import KnownState, KnownStates, checked_code, count_codes
from jobs.models import LiveCluster, LiveReading, LiveState
from tmsdash.csv_text import csv_text, id_field, to_cell

CSV_COLUMNS = ("customer_id", "state", "action_code", "read_at", "source", "user")
UNREAD = "unread"  # in addresses: the state of customers of whom nothing was ever read
SORTS = {
    "cid": ("cid",),
    "-cid": ("-cid",),
    "state": ("code", "cid"),
    "-state": ("-code", "-cid"),
}


class Line(NamedTuple):
    """A customer, and what is known of it, if anything was ever read."""

    cid: str
    state: KnownState | None

    @property
    def state_in_words(self) -> str:
        return state_name(self.state.code) if self.state else UNREAD_IN_WORDS


@dataclass(frozen=True)
class Wanted:
    """Which customers are looked for: of one `state` ("" any, UNREAD, or a code), whose ids contain `search`."""

    state: str = ""
    search: str = ""
    sort: str = ""

    @classmethod
    def parse(cls, state: str, search: str = "", sort: str = "") -> "Wanted | None":
        """Return the same, with a state as it stands in an address; None if that is none."""
        digits = state.removeprefix("-")
        is_state = state in ("", UNREAD) or (digits.isascii() and digits.isdigit() and len(digits) <= 5)
        return cls(state, search, sort) if is_state else None

    @property
    def code(self) -> int | None:
        """The code of the state; None for UNREAD. Only if there is a state."""
        return None if self.state == UNREAD else int(self.state)


class WholeCluster:
    """All customers of a cluster of whom something was read, in the order of their ids if nothing else is asked."""

    def __init__(self, row: LiveCluster) -> None:
        self._row = row
        self.counts: Mapping[int | None, int] = dict[int | None, int](count_codes(row).items())

    def matching(self, wanted: Wanted) -> QuerySet[LiveState]:
        """Return the rows that match, sorted; `lines` makes lines of some of them."""
        rows = self._row.states.order_by(*SORTS[wanted.sort or "cid"])
        if wanted.state:
            rows = rows.filter(code=wanted.code) if wanted.code is not None else rows.none()
        return rows.filter(cid__icontains=wanted.search) if wanted.search else rows

    def count(self, wanted: Wanted) -> int | None:
        """Return how many match, if that is known without asking the database."""
        if wanted.search:
            return None
        return self.counts.get(wanted.code, 0) if wanted.state else sum(self.counts.values())

    def lines(self, rows: QuerySet[LiveState] | Sequence[Any]) -> Iterator[Line]:
        """Yield the lines of rows, however many."""
        if isinstance(rows, QuerySet):
            rows = list(rows.values_list("cid", "code", "reading_id"))
        else:
            rows = [(row.cid, row.code, row.reading_id) for row in rows]
        readings = LiveReading.objects.in_bulk({reading_id for *_, reading_id in rows if reading_id})
        known: dict[tuple[int, int | None], KnownState | None] = {}
        for cid, code, reading_id in rows:
            if (code, reading_id) not in known:
                reading = readings[reading_id] if reading_id else self._row.whole
                known[code, reading_id] = KnownState(checked_code(code), reading) if reading else None
            yield Line(cid, known[code, reading_id])


class Chosen:
    """Some customers of a cluster, in the order given if nothing else is asked."""

    def __init__(self, known: KnownStates, cids: Sequence[str]) -> None:
        self._by_cid, self._cids = known.by_cid, cids
        counts: Counter[int | None] = Counter()
        states = {id(state): state for state in known.by_cid.values()}  # which customers share
        for key, count in Counter(map(id, known.by_cid.values())).items():
            counts[states[key].code] += count
        if known.unread:
            counts[None] = len(known.unread)
        self.counts: Mapping[int | None, int] = dict(sorted(counts.items(), key=lambda item: _place(item[0])))

    def matching(self, wanted: Wanted) -> Sequence[str]:
        """Return the ids that match, sorted; `lines` makes lines of some of them."""
        cids, search = self._cids, wanted.search.casefold()
        if wanted.state:
            cids = [cid for cid in cids if self._code(cid) == wanted.code]
        if search:
            cids = [cid for cid in cids if search in cid.casefold()]
        if not wanted.sort:
            return cids
        cids = sorted(cids, reverse=wanted.sort.startswith("-"))
        if wanted.sort.endswith("state"):  # which keeps the order of the ids within a state
            cids.sort(key=lambda cid: _place(self._code(cid)), reverse=wanted.sort.startswith("-"))
        return cids

    def count(self, wanted: Wanted) -> int | None:
        return None

    def lines(self, rows: Sequence[str]) -> Iterator[Line]:
        """Yield the lines of ids."""
        return (Line(cid, self._by_cid.get(cid)) for cid in rows)

    def _code(self, cid: str) -> int | None:
        state = self._by_cid.get(cid)
        return state.code if state else None


def csv_lines(lines: Iterable[Line]) -> Iterator[str]:
    """Yield a CSV file: a row for each customer with its state, when that was read, and who says so."""
    yield csv_text([CSV_COLUMNS])
    shown: dict[int, str] = {}  # what customers of one state and reading have in common
    for cid, state in lines:
        if id(state) not in shown:
            reading = state.reading if state else None
            facts = (reading.began_at.isoformat(), reading.source, to_cell(reading.user_id)) if reading else ("",) * 3
            code = state.code if state else ""
            shown[id(state)] = csv_text([(Line(cid, state).state_in_words, code, *facts)])
        yield f"{id_field(cid)},{shown[id(state)]}"


def _place(code: int | None) -> tuple[bool, int]:
    """Return what a state is sorted by: those who were never read come last."""
    return code is None, code or 0
