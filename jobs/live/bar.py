"""How many customers are in each state: a bar, and the table of its numbers, each of which leads to its customers."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.live.codes import UNREAD_IN_WORDS, state_name
from tmsdash.text import counted

LENGTH = 1000  # of the bar, in units of its own
LEAST = 4  # that a part takes, so that one customer of a fleet is seen


@dataclass(frozen=True)
class BarPart:
    """A number of customers with what they have in common; `css` is a class for its colour, `address` their list."""

    label: str
    count: int
    css: str
    address: str = ""


@dataclass(frozen=True)
class Bar:
    """The parts of all customers of something; `templates/live/_bar.html` shows it."""

    parts: Sequence[BarPart]

    @property
    def total(self) -> int:
        return sum(part.count for part in self.parts)

    @property
    def in_words(self) -> str:
        """The same as one sentence, for those who do not see the bar."""
        numbers = ", ".join(f"{part.label} {part.count:,}" for part in self.parts)
        return f"{counted(self.total, 'customer')}: {numbers}." if numbers else "No customers."

    @property
    def drawn(self) -> list[tuple[BarPart, int, int]]:
        """Each part that is not empty, with where it begins and how long it is."""
        parts = [part for part in self.parts if part.count]
        weights = [max(part.count * LENGTH / self.total, LEAST) for part in parts]
        scale, begin, drawn = LENGTH / sum(weights, start=0.0) if weights else 0, 0.0, []
        for part, weight in zip(parts, weights, strict=True):
            end = begin + weight * scale
            drawn.append((part, round(begin), round(end) - round(begin)))
            begin = end
        return drawn


def part_of_state(code: int | None, count: int, address: str = "") -> BarPart:
    """Return the part for the customers of a state, see jobs.live.codes; None for those who were never read."""
    if code is None:
        return BarPart(UNREAD_IN_WORDS, count, "state-none", address)
    return BarPart(state_name(code), count, f"state-{code}" if 1 <= code <= 5 else "state-other", address)
