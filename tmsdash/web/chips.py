"""The filters that are set above a list, as templates/partials/_chips.html shows them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """A filter that is set, and the address of the list without it."""

    text: str
    without: str
