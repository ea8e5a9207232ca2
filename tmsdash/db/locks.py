"""Who on this host has a SQLite file in use: what SQLite's own locks do not tell of an idle site."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tmsdash.processes import open_lock

_descriptors: dict[Path, int] = {}  # of the locks of this process, which end with it
_guard = threading.Lock()


def share(file: Path) -> bool:
    """Note that this process uses a database's file, from now to its end; False if another process has it alone."""
    with _guard:
        if file in _descriptors:
            return True
        try:
            descriptor = open_lock(_lock_of(file))
        except OSError:  # a full disk, or a folder of somebody else: the site must run, and SQLite's locks remain
            return True
        if not _lock(descriptor, fcntl.LOCK_SH):
            os.close(descriptor)
            return False
        _descriptors[file] = descriptor
        return True


@contextmanager
def held_alone(file: Path) -> Iterator[bool]:
    """Let no other process begin to use a database's file; False if another one does already.

    Raises OSError if the lock's file cannot be made.
    """
    with _guard:
        descriptor = _descriptors.pop(file, None) or open_lock(_lock_of(file))
        is_alone = _lock(descriptor, fcntl.LOCK_EX)
        if is_alone:
            _descriptors[file] = descriptor
        else:
            os.close(descriptor)  # nothing is connected here: whoever connects next shares anew
    try:
        yield is_alone
    finally:
        if is_alone:
            _lock(descriptor, fcntl.LOCK_SH)


def _lock_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.lock")


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
