"""How the processes of one host end: with each other, by signals, and without leaving work behind."""

import ctypes
import gc
import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130  # exit code after a signal, as a shell reports Ctrl-C
_PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: not between fork and exec


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_interpreter() -> None:
    """Let threads of this process wait for Python's interpreter for 1 ms at most, not for 5, while others compute.

    Whoever writes gives the interpreter up at each statement, and others wait for the turn meanwhile: with 32 operators
    at once a tenth of a second came together, and between two calls of a batch some 15 ms.
    """
    sys.setswitchinterval(0.001)


def give_memory_back() -> None:
    """Give the system the memory that this process no longer uses.

    Connections of threads that have ended are in cycles, which are looked for only while new objects are made.
    """
    gc.collect()
    trim()


def trim() -> None:
    """Give the system the memory that lies unused between used parts, which the C library keeps."""
    if _libc is not None and hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


def end_with_parent() -> None:
    """Make this process get SIGTERM when its parent dies, however it dies. Does nothing outside Linux."""
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # None unless multiprocessing started this process, as granian its workers.
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():
        sys.exit("The main process is dead already.")  # too early for its death to be signalled


def heeded(*numbers: signal.Signals) -> list[signal.Signals]:
    """Return those of these signals that this process does not ignore.

    `nohup` makes it ignore SIGHUP, and a shell without job control SIGINT for what it runs in the background. A
    handler would undo that, and end what was meant to go on.
    """
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def handle(handler: Callable[..., object] | signal.Handlers, *numbers: signal.Signals) -> dict[signal.Signals, Any]:
    """Let `handler` handle these signals, and return what did before; those that are ignored stay ignored."""
    return {number: signal.signal(number, handler) for number in heeded(*numbers)}


def ignore(*numbers: signal.Signals) -> None:
    """Leave these signals to the main process, which waits for what this one does and then ends it."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def handling(handler: Callable[..., object], *numbers: signal.Signals) -> Iterator[None]:
    """Let `handler` handle these signals during the block."""
    before = handle(handler, *numbers)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Make signals end the block, and everything that it started, as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with handling(interrupt, *END_SIGNALS):
        yield


@contextmanager
def asked_to_end() -> Iterator[Callable[[float], bool]]:
    """Let the block end in good order: yields a function that waits so many seconds, and tells whether to end.

    It tells so as soon as one of the signals has come, without waiting any longer. A second one ends the block as
    Ctrl-C does, wherever it is.
    """
    reader, writer = os.pipe()
    was_asked = False

    def note(*_: object) -> None:
        nonlocal was_asked
        if was_asked:
            raise KeyboardInterrupt
        was_asked = True
        os.write(writer, b".")

    try:
        with handling(note, *END_SIGNALS):
            yield lambda seconds: bool(select.select([reader], [], [], seconds)[0])
    finally:
        os.close(reader)
        os.close(writer)


_ending = threading.Event()


def notice_end() -> None:
    """Make `is_ending` true as soon as this process gets SIGTERM or SIGINT, whoever handles them.

    Works in the main thread only. A server's own handler lets running requests end first, and would not
    tell other threads before.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # as under runserver, which ends immediately anyway
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_await_end, args=(reader, writer), name="await-end", daemon=True).start()


def _await_end(reader: socket.socket, _writer: socket.socket) -> None:
    while number := reader.recv(1):  # the argument keeps the writer open as long as this thread runs
        if number[0] in (signal.SIGTERM, signal.SIGINT):
            _ending.set()


def is_ending() -> bool:
    """Tell whether this process was asked to end, or its main thread has ended and is waiting for the others."""
    return _ending.is_set() or not threading.main_thread().is_alive()
