"""What the server's processes owe to each other."""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1  # from Linux's prctl.h


def end_with_parent() -> None:
    """Let this process get SIGTERM when its parent dies, however it dies. Does nothing where there is no Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
