"""A way of tampering, and what has to be said of it."""

from collections.abc import Callable
from dataclasses import dataclass

from setactions.devtools.tampering.forger import Forger

BROKEN = 3


@dataclass(frozen=True)
class Way:
    """One thing that somebody does, and how `audit_verify --jobs`, with `options`, has to end after it."""

    name: str
    act: Callable[[Forger], object]
    says: str = ""
    """A part of what has to be said."""
    why_not: str = ""
    """Why nobody can tell by these means; if it is found, nothing."""
    options: tuple[str, ...] = ()
    code: int = BROKEN

    @property
    def expected_code(self) -> int:
        return 0 if self.why_not else self.code


def sql(*statements: str, database: str = "audit") -> Callable[[Forger], object]:
    """Return what carries out statements, with the audit's triggers away meanwhile."""
    return lambda stranger: stranger.sql(*statements, database=database)


def bare_sql(*statements: str, database: str = "audit") -> Callable[[Forger], object]:
    """Return what carries out statements while the triggers are there, or that are about these."""
    return lambda stranger: stranger.bare_sql(*statements, database=database)
