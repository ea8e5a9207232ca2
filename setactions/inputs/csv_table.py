"""The file of a batch: a CSV of any length, checked whole before anything of it is used."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import TracebackType

from audit.choices import Action
from setactions.inputs.csv_columns import Asked, asked_by
from setactions.inputs.csv_rows import NotText, rows_of
from setactions.inputs.ids import is_allowed, problem_of, shape_of
from setactions.inputs.spool import Sentences, Spool
from setactions.tms.actions import find_action
from setactions.tms.clusters import Cluster, all_clusters, cluster_named
from tmsdash.csv_text import from_cell

SAID_OF_A_SORT = 20  # warnings of one sort that are said one by one
REPEATED, TWINS = "are repeated", "differ from others only by upper and lower case"


@dataclass(frozen=True)
class Part:
    """What the file asks of one cluster, and of how many customers."""

    cluster: Cluster
    action: Action
    customer_count: int = 0


class TableError(Exception):
    """The file cannot be used. `errors` are the first sentences, `error_count` is how many there are in all."""

    def __init__(self, errors: Sentences) -> None:
        self.errors, self.error_count = tuple(errors), errors.count
        super().__init__(f"{self.error_count} errors")


class Table:
    """A checked file: what it asks for, and each customer once, in order. A context manager."""

    def __init__(self, spool: Spool, parts: tuple[Part, ...], repeated: int, warnings: tuple[str, ...]) -> None:
        self.parts, self.repeated, self.warnings = parts, repeated, warnings
        self._spool = spool

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._spool.close()

    @property
    def customer_count(self) -> int:
        """How many customers there are; one of two clusters counts twice."""
        return sum(part.customer_count for part in self.parts)

    def chunks(self, size: int) -> Iterator[tuple[Part, tuple[str, ...]]]:
        """Return the ids in tuples of at most `size`, part after part; no tuple mixes parts."""
        for number, part in enumerate(self.parts):
            cids = self._spool.ids_of(number)
            while chunk := tuple(islice(cids, size)):
                yield part, chunk


def read_table(source: io.BufferedReader, *, cluster: str = "", action: str = "", strict: bool = False) -> Table:
    """Read and check a CSV file, which may be a pipe. `cluster` and `action` are for rows that name none.

    With `strict`, what looks unusual is an error. Raises TableError, and OSError if the file cannot be read.
    """
    errors = Sentences()
    for sentence in check_names(cluster, action):
        errors.add(0, str, sentence)
    if errors.count:
        raise TableError(errors)
    spool = Spool()
    reading = _Reading(spool, cluster, action, strict=strict)
    try:
        reading.read(source)
        reading.compare()
        if reading.errors.count:
            raise TableError(reading.errors)
        counts = spool.counts()
        parts = (Part(part.cluster, part.action, counts[number]) for number, part in enumerate(reading.parts))
        return Table(spool, tuple(parts), reading.repeated, tuple(reading.all_warnings()))
    except BaseException:  # Ctrl-C, too: the ids must not stay on disk
        spool.close()
        raise


class _Reading:
    """One pass through the lines of a file, then one through its ids in their own order."""

    def __init__(self, spool: Spool, cluster: str, action: str, *, strict: bool) -> None:
        self.errors, self.parts, self.repeated = Sentences(), list[Part](), 0
        self._spool, self._cluster, self._action, self._strict = spool, cluster, action, strict
        self._warnings, self._sorts = Sentences(), dict[str, Sentences]()
        self._numbers: dict[tuple[str, str], int] = {}  # of the parts, by how cells name them

    def read(self, source: io.BufferedReader) -> None:
        """Put the ids of all rows into the spool, and note what is wrong with rows."""
        try:
            for asked in asked_by(rows_of(source, self.errors), self.errors, self._warnings):
                self._take(asked)
        except NotText as error:
            self.errors.add(error.line, str, error.sentence)
        self._spool.flush()

    def _take(self, asked: Asked) -> None:
        line, cid = asked.line, from_cell(asked.cid.strip())
        part = self._part_of(line, asked.cluster.strip() or self._cluster, asked.action.strip() or self._action)
        if not is_allowed(cid):
            self.errors.add(line, _problem, cid)
        elif part is not None:
            if shape := shape_of(cid):
                self._warn(line, f"look {shape}", _shape, cid, shape)
            self._spool.add(part, cid, line)

    def _part_of(self, line: int, cluster_name: str, action_name: str) -> int | None:
        """Return the number of the part with this cluster and action; None after noting an error."""
        number = self._numbers.get((cluster_name, action_name))
        if number is not None:
            return number
        cluster, action = cluster_named(cluster_name), find_action(action_name)
        if cluster is None:
            self.errors.add(line, _unknown_cluster) if cluster_name else self.errors.add(line, _missing, "cluster")
        if action is None:
            self.errors.add(line, _unknown_action) if action_name else self.errors.add(line, _missing, "action")
        if cluster is None or action is None:
            return None
        part = Part(cluster, action)
        if part not in self.parts:
            self.parts.append(part)
        number = self._numbers[cluster_name, action_name] = self.parts.index(part)
        return number

    def compare(self) -> None:
        """Note ids that stand in the file more than once, and those that differ only by case."""
        folded, places = b"", dict[tuple[str, Cluster], tuple[int, int, int]]()
        for cid, part, line, number in self._spool.by_id():
            if cid.encode().lower() != folded:
                folded, places = cid.encode().lower(), {}
            first_part, first_line, first = places.setdefault((cid, self.parts[part].cluster), (part, line, number))
            if first == number:
                twin = next((place[1] for (other, _), place in places.items() if other != cid), None)
                if twin:
                    self._warn(line, TWINS, _twin, cid, twin)
            elif first_part == part:
                self.repeated += 1
                self._spool.leave_out(number)
                self._warn(line, REPEATED, _repeat, first_line)
            else:
                self.errors.add(line, _conflict, first_line)
        if self.repeated and len(self._spool) == self.repeated + 1:
            self.errors.add(first_line, _only_repeats, self.repeated + 1)

    def _warn(self, line: int, sort: str, say: Callable[..., str], *args: object) -> None:
        if self._strict and sort != REPEATED:
            self.errors.add(line, say, *args)
        else:
            self._sorts.setdefault(sort, Sentences(SAID_OF_A_SORT)).add(line, say, *args)

    def all_warnings(self) -> Iterator[str]:
        """Return what looks unusual: of each sort the first ones by themselves, and how many more there are."""
        yield from self._warnings
        for sort, sentences in self._sorts.items():
            yield from sentences
            if sentences.count > SAID_OF_A_SORT:
                yield f"{sentences.count - SAID_OF_A_SORT:,} more ids {sort}."


def check_names(cluster: str, action: str) -> Iterator[str]:
    """Return a sentence for each of the two that is given and not known."""
    if cluster and cluster_named(cluster) is None:
        yield _unknown_cluster()
    if action and find_action(action) is None:
        yield _unknown_action()


def _unknown_cluster() -> str:
    known = ", ".join(cluster.name for cluster in all_clusters()) or "none: set TMS_CLUSTERS"
    return f"This cluster is not known. Known are {known}."


def _unknown_action() -> str:
    return f"This action is not known. Known are {', '.join(Action.labels)}."


def _missing(what: str) -> str:
    return f"There is no {what}. Give --{what}, or name it in a column called {what}."


def _problem(cid: str) -> str:
    return f"The customer id {problem_of(cid)}." if cid else "The customer id is missing."


def _shape(cid: str, shape: str) -> str:
    return f"The id {cid} looks {shape}."


def _twin(cid: str, line: int) -> str:
    return f"The id {cid} differs from the one in line {line:,} only by upper and lower case."


def _repeat(line: int) -> str:
    return f"The same id as in line {line:,}; it is left out."


def _conflict(line: int) -> str:
    return f"The same customer as in line {line:,}, with another action. Give each customer of a cluster one action."


def _only_repeats(count: int) -> str:
    return f"The file holds one customer {count:,} times, and no other. Look whether the column was filled by mistake."
