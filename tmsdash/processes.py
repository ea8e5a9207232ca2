"""What the server's processes owe to each other."""

import ctypes
import multiprocessing
import os
import signal
import sys

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
