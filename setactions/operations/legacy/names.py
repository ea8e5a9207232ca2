"""Users and clusters of the old dashboard, and what they are called here."""

import re
from collections import Counter
from dataclasses import dataclass, field

DEFAULT_PORTS = {"https": ":443", "http": ":80"}


@dataclass
class Names:
    """What old names become; one that is not in `given` nor in `known` stays as it is. Counts what it is asked for."""

    given: dict[str, str]
    """What the operator asked for: old names and new ones."""
    known: dict[str, str] = field(default_factory=dict)
    """What goes without saying."""
    counts: Counter[str] = field(default_factory=Counter)
    """How many rows have an old name."""

    def new_name(self, old: str) -> str:
        """Return what an old name becomes, and count it."""
        self.counts[old] += 1
        return self.given.get(old, self.known.get(old, old))

    @property
    def unmatched(self) -> list[str]:
        """The old names that were given and stand in no row."""
        return [old for old in self.given if old not in self.counts]

    def in_words(self) -> list[str]:
        """Return each old name with what it becomes and its number of rows, the most frequent ones first."""
        new = self.known | self.given
        return [
            (f"{old} → {new[old]}" if new.get(old, old) != old else old or "none") + f" ({count:,})"
            for old, count in self.counts.most_common()
        ]


def origin_of(address: str) -> str:
    """Return scheme, host and port of an address as TMS_CLUSTERS has them, whatever path the old code put behind them.

    Neither a password nor a query comes along.
    """
    scheme, mark, rest = address.strip().partition("://")
    if not mark:
        scheme, rest = "", address.strip()
    host = re.split(r"[/?#\\]", rest.lstrip("/"), maxsplit=1)[0].rpartition("@")[2].lower()
    scheme = scheme.lower()
    return scheme + mark + host.removesuffix(DEFAULT_PORTS.get(scheme, ":")).removesuffix(":")


def address_without_secrets(address: str) -> str:
    """Return an address as it is written, but for its query and anything before an @."""
    scheme, mark, rest = re.split("[?#]", address, maxsplit=1)[0].partition("//")
    if not mark:
        scheme, rest = "", scheme
    authority, slash, path = rest.lstrip("/").partition("/")
    return scheme + mark + authority.rpartition("@")[2] + slash + path
