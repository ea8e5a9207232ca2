"""granian, as `python -m granian` runs it, but on a listening socket that it inherits and that outlives it.

`python -m tmsdash.server.on_given_socket DESCRIPTOR ARGUMENTS...`: the arguments are granian's. The socket has its
address already; the one among the arguments is for logs only.
"""

import fcntl
import os
import signal
import socket
import stat
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

from granian import _signals, cli
from granian._granian import SocketHolder
from granian.server import MPServer

from tmsdash.processes import handle

# A worker that ends closes connections of whose request it has read nothing yet. So it waits for what was accepted last
# to arrive, and then, if it is busy, for what has arrived to be read.
LAST_WORDS_S = 1.0
READ_WITHIN_S = 15.0
LOOK_S = 0.1


class _Server(MPServer):
    """All workers accept from one socket, which stays open when they end."""

    descriptor = -1

    def _init_shared_socket(self) -> None:
        inherited: Any = SocketHolder(self.descriptor, False, self.backlog)  # type: ignore[call-arg]
        self._ssp, self._shd = None, inherited
        self._sso = socket.socket(fileno=self.descriptor)


def _in_worker(end: Callable[..., object], _reload: object = None) -> None:
    """Let `end` handle the signals that ask a worker to end, once it has read what it has accepted.

    Connections that come meanwhile wait in the socket for the next server.
    """

    def stop_accepting(number: int, frame: object) -> None:
        with socket.socket(socket.AF_UNIX) as silent:  # nobody connects to it, so there is nothing to accept
            silent.bind("")
            silent.listen()
            silent.setblocking(False)
            os.dup2(silent.fileno(), _Server.descriptor, inheritable=False)
        time.sleep(LAST_WORDS_S)
        give_up = time.monotonic() + READ_WITHIN_S
        while _has_unread() and time.monotonic() < give_up:
            time.sleep(LOOK_S)
        end(number, frame)

    handle(stop_accepting, signal.SIGINT, signal.SIGTERM)


def _has_unread() -> bool:
    """Tell whether something has arrived on a connection of this process that nobody has read yet."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (thousands, at intervals)
        try:
            is_socket = stat.S_ISSOCK(os.fstat(int(name)).st_mode)
            if is_socket and any(fcntl.ioctl(int(name), termios.FIONREAD, bytes(4))):
                return True
        except OSError:  # it was closed meanwhile, or only listens
            continue
    return False


def _end_starting_workers_at_once() -> None:
    """Let SIGTERM end a worker that is still starting: it has accepted nothing.

    It would inherit the handler of the main process, which does nothing there, and be waited for in vain.
    """

    def in_worker() -> None:
        handle(signal.SIG_DFL, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}),
        after_in_child=in_worker,
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM}),
    )


def main() -> None:
    """Run granian's command line."""
    _end_starting_workers_at_once()
    _Server.descriptor = int(sys.argv.pop(1))
    vars(cli)["Server"] = _Server
    vars(_signals)["set_main_signals"] = _in_worker  # the main process has it by another name
    cli.entrypoint()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
