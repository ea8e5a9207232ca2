"""Locks between the processes of one host. All of them are flock's, and end with their process, however it ends.

- `alone` lets one process or thread at a time carry out a block.
- `share` and `held_alone` tell who has a SQLite file in use: SQLite's own locks say nothing of a site that is idle.
- `hold` and `is_held` show whether the process that holds a file of its own still lives.

A lock's file may belong to another member of the group, who lets us read it only; that is enough on the disks of this
host. NFS gives an exclusive lock to nobody who may not write, so whoever may opens it for writing, too.
"""

import errno
import fcntl
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from tmsdash import startup

POLL_S = 0.05  # how often we look whether a lock has ended
# What flock answers on a file system that locks no files, or not to whoever may only read.
NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

_descriptors: dict[Path, int] = {}  # of this process' locks on databases, which it holds until it ends
_guard = threading.Lock()


@contextmanager
def alone(name: str, on_wait: Callable[[], None], wait_s: float = math.inf) -> Iterator[None]:
    """Be the only one on this host, process or thread, that runs a block of this `name`.

    While another one runs it this one waits, and calls `on_wait` once before. The lock is of the file
    VAR_DIR/<name>.lock, which stays. Raises OSError if the file cannot be made or locked, TimeoutError, which is one,
    if the other one has not ended after `wait_s` seconds.
    """
    folder = Path(settings.VAR_DIR)
    if startup.makes_installation():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{name}.lock"
    descriptor = _open(path)
    try:
        until = time.monotonic() + wait_s
        if not _lock(descriptor, path, fcntl.LOCK_EX):
            on_wait()
            while not _lock(descriptor, path, fcntl.LOCK_EX):
                if time.monotonic() >= until:
                    raise TimeoutError(errno.ETIMEDOUT, f"another process has held it for {wait_s:.0f} s", str(path))
                time.sleep(POLL_S)  # flock cannot wait with a time-out
        yield
    finally:
        os.close(descriptor)


def share(file: Path) -> bool:
    """Mark a database's file as in use by this process until it ends; False if another process has it to itself.

    Raises OSError where files cannot be locked: neither could SQLite.
    """
    path = _lock_file(file)
    with _guard:
        if file in _descriptors:
            return True
        try:
            descriptor = _open(path)
        except OSError:  # a full disk or somebody else's folder: the site must still run, and SQLite has its own locks
            return True
        with _closed_on_error(descriptor):
            is_shared = _lock(descriptor, path, fcntl.LOCK_SH)
        if not is_shared:
            os.close(descriptor)
            return False
        _descriptors[file] = descriptor
        return True


@contextmanager
def held_alone(file: Path) -> Iterator[bool]:
    """Keep other processes from starting to use a database's file; yields False if one already does.

    Raises OSError if the lock's file cannot be made or locked.
    """
    path = _lock_file(file)
    with _guard:
        descriptor = _descriptors.pop(file, None) or _open(path)
        with _closed_on_error(descriptor):
            is_alone = _lock(descriptor, path, fcntl.LOCK_EX)
        if is_alone:
            _descriptors[file] = descriptor
        else:
            os.close(descriptor)  # nothing is connected here: whoever connects next shares anew
    try:
        yield is_alone
    finally:
        if is_alone:
            _lock(descriptor, path, fcntl.LOCK_SH)


def hold(path: Path) -> int:
    """Lock a file that no other process holds; return the descriptor whose closing ends the lock. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = _open(path)
    with _closed_on_error(descriptor):
        _lock(descriptor, path, fcntl.LOCK_EX, waits=True)  # for a process that is just looking whether it is held
    return descriptor


def is_held(path: Path) -> bool:
    """Tell whether the process that locked a file with `hold` is alive. Raises OSError if the file cannot be opened."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return not _lock(descriptor, path, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def place() -> str:
    """Return what processes have in common that see each other's locks in VAR_DIR."""
    # Two sites on one host, or one host name in two containers, do not see each other's files.
    folder = Path(settings.VAR_DIR).stat()
    return f"{socket.gethostname()[:40]}:{folder.st_dev:x}.{folder.st_ino:x}"


def _lock_file(database: Path) -> Path:
    return database.with_name(f"{database.name}.lock")


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # the second attempt fails, too, unless it was only for the writing
        return os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)


@contextmanager
def _closed_on_error(descriptor: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(descriptor)
        raise


def _lock(descriptor: int, path: Path, kind: int, *, waits: bool = False) -> bool:
    """Lock a file; False if another process holds it, unless this one `waits`. Raises OSError if there are no locks."""
    try:
        fcntl.flock(descriptor, kind if waits else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        sentence = (
            f"its file system locks no files for this process ({error.strerror}). Put VAR_DIR on a disk of this host, "
            "or let its file server lock files"
        )
        raise OSError(error.errno, sentence, str(path)) from error
    return True
