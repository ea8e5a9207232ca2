"""A list of customers as CSV, pasted, uploaded, or as a file of any length: checked whole before any of it is used."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from types import TracebackType
from typing import Any

from audit.choices import Action
from setactions.inputs.csv_columns import Asked, asked_by, may_be_misread
from setactions.inputs.csv_rows import Rows
from setactions.inputs.ids import BY_OPTION, BY_TICK, CidList, check_length, damage_of, is_allowed, problem_of, refuse
from setactions.inputs.problems import Problems
from setactions.inputs.shapes import has_damaged, is_damaged, shape_of
from setactions.inputs.spool import Spool
from setactions.tms.clusters import Cluster, all_clusters, find_cluster
from setactions.tms.spellings import find_action
from tmsdash.csv_text import csv_text, to_typed_cell

_TWIN = "The id differs only by upper and lower case from the one in line {}."
_REPEAT = "The same id as in line {}; it is left out."
_CONFLICT = "The same customer as in line {}, with another action. Give each customer of a cluster one action."
_ONLY_REPEATS = "The list holds one customer {} times, and no other. Check whether the column was filled by mistake."
_MISSING = "There is no {0}. Give --{0}, or name it in a column called {0}."
_ANOTHER = (
    "The column {0} names another {0} than is chosen here. Choose the same, or split the file. For a file that "
    "names several, use the command set_action_batch."
)
_FIND: dict[str, Callable[[str], Cluster | Action | None]] = {"cluster": find_cluster, "action": find_action}


@dataclass(frozen=True)
class Part:
    """What the file asks of one cluster, and of how many customers."""

    cluster: Cluster
    action: Action
    customer_count: int = 0


class TableError(Exception):
    """The file cannot be used. `errors` has a sentence for each cause, `error_count` is how many lines are wrong."""

    def __init__(self, problems: Problems) -> None:
        self.errors, self.error_count = tuple(problems), problems.count
        super().__init__(f"{self.error_count} errors")


class Table:
    """A checked file: what it asks for, and each customer once, in order. A context manager.

    `allow_unusual` tells that there are ids that look damaged, and that somebody gave their word for them.
    """

    def __init__(
        self, spool: Spool, parts: tuple[Part, ...], repeated: int, warnings: tuple[str, ...], *, allow_unusual: bool
    ) -> None:
        self.parts, self.repeated, self.warnings, self.allow_unusual = parts, repeated, warnings, allow_unusual
        self._spool = spool

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._spool.close()

    @property
    def customer_count(self) -> int:
        """How many customers there are; one of two clusters counts twice."""
        return sum(part.customer_count for part in self.parts)

    def leave_out(self, cluster_url: str, action_code: int, cids: Sequence[str]) -> None:
        """Leave out customers of the part for this action on this cluster."""
        for number, part in enumerate(self.parts):
            if (part.cluster.origin, part.action.value) == (cluster_url, action_code):
                self._spool.leave_out_ids(number, cids)
        counts = self._spool.counts()
        self.parts = tuple(replace(part, customer_count=counts.get(n, 0)) for n, part in enumerate(self.parts))
        self.allow_unusual = self.allow_unusual and any(has_damaged(part_cids) for _, part_cids in self.chunks(10_000))

    def chunks(self, size: int) -> Iterator[tuple[Part, tuple[str, ...]]]:
        """Return the ids in tuples of at most `size`, part after part; no tuple mixes parts."""
        for number, part in enumerate(self.parts):
            cids = self._spool.ids_of(number)
            while chunk := tuple(islice(cids, size)):
                yield part, chunk


def read_table(
    source: io.BufferedReader, *, cluster: str = "", action: str = "", strict: bool = False, allow_unusual: bool = False
) -> Table:
    """Read and check a CSV file, which may be a pipe. `cluster` and `action` are for rows that name none.

    What looks damaged is an error, unless with `allow_unusual`; with `strict`, so is what merely looks unusual. Raises
    TableError, and OSError if the file cannot be read.
    """
    problems = Problems()
    for what, name in (("cluster", cluster), ("action", action)):
        if name and _FIND[what](name) is None:
            problems.add(0, _unknown(what))
    if problems.count:
        raise TableError(problems)
    spool = Spool()
    defaults = find_cluster(cluster), find_action(action)
    reading = _Reading(spool, problems, *defaults, way=BY_OPTION, strict=strict, allow_unusual=allow_unusual)
    try:
        reading.read(source)
        if problems.count:
            raise TableError(problems)
        counts = spool.counts()
        parts = (Part(part.cluster, part.action, counts[number]) for number, part in enumerate(reading.parts))
        warnings = (*reading.notes, *reading.warnings)
        return Table(spool, tuple(parts), reading.repeated, warnings, allow_unusual=reading.has_damage)
    except BaseException:  # Ctrl-C, too: the ids must not stay on disk
        spool.close()
        raise


def read_list(
    content: bytes, *, cluster: Cluster | None = None, action: Action | None = None, allow_unusual: bool = False
) -> CidList:
    """Read and check a list that somebody pasted or uploaded, by the same rules as `read_table`.

    Columns named cluster and action must agree with what was chosen. Raises Refusal (400 naming the lines that are
    wrong, DamagedIds if `allow_unusual` would help; 413 far too long).
    """
    check_length(max(content.count(b"\n"), content.count(b"\r")))
    problems, is_chosen = Problems(), bool(cluster and action)
    with closing(Spool()) as spool:
        # What was not chosen is an error of the form; the list is checked all the same.
        anything = cluster or Cluster("", ""), action or Action.PE_ENABLE
        reading = _Reading(spool, problems, *anything, way=BY_TICK, is_chosen=is_chosen, allow_unusual=allow_unusual)
        reading.read(io.BufferedReader(io.BytesIO(content)))
        check_length(len(spool))
        refuse(problems, has_damage=reading.has_damage)
        return CidList(tuple(spool.ids_of(0)), reading.repeated, tuple(reading.notes), reading.has_damage)


def as_text(cids: Sequence[str]) -> str:
    """Return ids as somebody would paste them, so that `read_list` gives back the very same."""
    header = [["customer_id"]] if may_be_misread(cids) else []
    return csv_text([*header, *([to_typed_cell(cid)] for cid in cids)]).replace("\r\n", "\n").removesuffix("\n")


class _Reading:
    """One pass through the lines of a file, then one through its ids in their own order.

    `cluster` and `action` are for rows that name none, and if they are chosen, no row may name others. `way` is how
    somebody gives their word for ids that look damaged.
    """

    def __init__(
        self,
        spool: Spool,
        problems: Problems,
        cluster: Cluster | None,
        action: Action | None,
        *,
        way: str,
        strict: bool = False,
        allow_unusual: bool = False,
        is_chosen: bool = False,
    ) -> None:
        self.notes, self.warnings, self.parts, self.repeated = Problems(), Problems(), list[Part](), 0
        self.has_damage = False
        self._spool, self._problems, self._is_chosen = spool, problems, is_chosen
        self._way, self._strict, self._allow_unusual = way, strict, allow_unusual
        self._defaults = {"cluster": cluster, "action": action}
        self._numbers: dict[tuple[str, str], int] = {}  # of the parts, by how cells name them

    def read(self, source: io.BufferedReader) -> None:
        """Put the ids of all rows into the spool, and note what is wrong with them."""
        rows = Rows(source, self._problems)
        for row in asked_by(rows, self._problems, self.notes, takes_headers=self._allow_unusual):
            number = self._numbers.get((row.cluster, row.action))
            if number is None:
                number = self._number_of(row)
            if not is_allowed(row.cid):
                self._problems.add(row.line, *problem_of(row.cid))
            elif number is not None:
                if shape := shape_of(row.cid):
                    self._note_shape(row, shape)
                self._spool.add(number, row.cid, row.line)
        self._spool.flush()
        self._compare()

    def _note_shape(self, row: Asked, shape: str) -> None:
        self.has_damage |= is_damaged(shape)
        if is_damaged(shape) and not self._allow_unusual:
            self._problems.add(row.line, damage_of(shape, self._way))
        elif self._strict:
            self._problems.add(row.line, f"The id looks {shape}. Correct it, or leave out --strict.")
        else:
            self.warnings.add(row.line, f"The id looks {shape}: {{}}.", row.cid)

    def _number_of(self, row: Asked) -> int | None:
        """Return the number of the part to which a row belongs; None after noting an error."""
        values: dict[str, Any] = {}
        for what, cell in (("cluster", row.cluster), ("action", row.action)):
            value = _FIND[what](cell) if cell else self._defaults[what]
            if value is None:
                self._problems.add(row.line, _unknown(what) if cell else _MISSING.format(what))
            elif self._is_chosen and value != self._defaults[what]:
                self._problems.add(row.line, _ANOTHER.format(what))
            else:
                values[what] = value
        if len(values) < 2:
            return None
        part = Part(**values)
        if part not in self.parts:
            self.parts.append(part)
        number = self._numbers[row.cluster, row.action] = self.parts.index(part)
        return number

    def _compare(self) -> None:
        """Note ids that stand in the file more than once, and those that differ only by case."""
        folded, places = b"", dict[tuple[str, Cluster], tuple[int, int, int]]()
        for cid, part, line, number in self._spool.by_id():
            if cid.encode().lower() != folded:
                folded, places = cid.encode().lower(), {}
            first_part, first_line, first = places.setdefault((cid, self.parts[part].cluster), (part, line, number))
            if first == number:
                twin = next((place[1] for (other, _), place in places.items() if other != cid), None)
                if twin:
                    (self._problems if self._strict else self.warnings).add(line, _TWIN, f"{twin:,}")
            elif first_part == part:
                self.repeated += 1
                self._spool.leave_out(number)
                self.warnings.add(line, _REPEAT, f"{first_line:,}")
            else:
                self._problems.add(line, _CONFLICT, f"{first_line:,}")
        if self.repeated and len(self._spool) == self.repeated + 1 and not self._problems.count:
            self._problems.add(first_line, _ONLY_REPEATS, f"{self.repeated + 1:,}")


def _unknown(what: str) -> str:
    known = Action.labels if what == "action" else [cluster.name for cluster in all_clusters()]
    return f"This {what} is not known. Choose from: {', '.join(known) or 'none, set TMS_CLUSTERS'}."
