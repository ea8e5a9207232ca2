"""What the processes of one host owe to each other."""

import ctypes
import errno
import fcntl
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from tmsdash import startup

POLL_S = 0.05  # how soon the end of a lock is noticed
INTERRUPTED = 130  # the exit code of what a signal ended, as of Ctrl-C in a shell
_PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: not between fork and exec


def end_with_parent() -> None:
    """Let this process get SIGTERM when its parent dies, however it dies. Does nothing where there is no Linux."""
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    parent = (
        multiprocessing.parent_process()
    )  # None unless multiprocessing started this process, as granian its workers
    if parent is not None and parent.pid != os.getppid():
        sys.exit("The main process is dead already.")  # and nobody would tell this one


@contextmanager
def alone(name: str, on_wait: Callable[[], None], wait_s: float = math.inf) -> Iterator[None]:
    """Be the only one on this host, process or thread, that runs a block of this `name`.

    While another one runs it this one waits, and calls `on_wait` once before. The lock is of the file
    VAR_DIR/<name>.lock, which stays; the lock ends with its process, however that ends. Raises OSError
    if the file cannot be made, TimeoutError, which is one, if the other one has not ended after `wait_s` seconds.
    """
    folder = Path(settings.VAR_DIR)
    if startup.makes_installation():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = open_lock(folder / f"{name}.lock")
    try:
        until = time.monotonic() + wait_s
        if not _lock(descriptor):
            on_wait()
            while not _lock(descriptor):
                if time.monotonic() >= until:
                    held = f"another process has held it for {wait_s:.0f} s"
                    raise TimeoutError(errno.ETIMEDOUT, held, str(folder / f"{name}.lock"))
                time.sleep(POLL_S)  # flock has no wait that ends
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_lock(path: Path) -> int:
    """Return a descriptor of a lock file, made if need be. Reading is enough, so that a group may share its files."""
    return os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let signals end the block as Ctrl-C does, even where Ctrl-C is ignored, and with it all that it started."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ending = threading.Event()


def notice_end() -> None:
    """Let `is_ending` tell at once when this process gets SIGTERM or SIGINT, whoever handles them.

    Works in the main thread only. A server's own handler lets running requests end first, and would not
    tell other threads before.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # as under runserver, which ends at once anyway
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_await_end, args=(reader, writer), name="await-end", daemon=True).start()


def _await_end(reader: socket.socket, _writer: socket.socket) -> None:
    while number := reader.recv(1):  # the writer is kept open as long as this thread is there
        if number[0] in (signal.SIGTERM, signal.SIGINT):
            _ending.set()


def is_ending() -> bool:
    """Tell whether this process was asked to end, or its main thread has ended and waits for the others."""
    return _ending.is_set() or not threading.main_thread().is_alive()
