"""Kills the process at a kill point, as far as a test can: by an exception that nothing catches.

Transactions that are open roll back, as they do when a process is gone; nothing else runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections


class KilledError(BaseException):
    """The process is dead."""


_fatal = ""
reached: set[str] = set()  # every point that any test came by


def kill_point(name: str) -> None:
    """Die here if the test wants it so; settings.KILL_POINT names this function."""
    reached.add(name)
    if name == _fatal:
        raise KilledError(name)


@contextmanager
def dying_at(name: str) -> Iterator[list[str]]:
    """Run the block until it dies at `name`; the list holds that name then, and stays empty if it was not reached."""
    global _fatal
    _fatal = name
    deaths: list[str] = []
    try:
        yield deaths
    except KilledError as death:
        deaths.append(str(death))
    finally:
        _fatal = ""
        connections.close_all()  # what the dead process held
