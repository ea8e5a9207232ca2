"""`python -m tmsdash.server.replace PID`, in the folder of a version: have that one take the place of a server.

PID is the main process of a `serve` that runs on a socket which systemd passed, and has this process' user. Returns
once the new server is there. Exit code 1 if it did not come to that: the old one goes on, and says why, here and in its
log.
"""

import os
import select
import signal
import socket
import sys
from pathlib import Path

SIGNAL = signal.SIGUSR2
SILENCE = "The server was asked to let another one take its place, and has not answered. Look at its log."
DEAF = (
    "Nothing can take the place of this server without a pause: it is still starting, of a version that knows nothing "
    "of it, or does not run on a socket that systemd passes. Nothing was done. Restart it."
)
WAIT_S = 220.0  # longer than a server gives its successor


def address_of(pid: int) -> str:
    """Return where the process that asked is told what came of it: a name of Linux's, which is no file."""
    return f"\0tms-dashboard-replace-{pid}"


def replace(pid: int) -> str:
    """Ask the server, wait, and return what went wrong, empty if nothing did. Raises OSError if it cannot be asked."""
    server = os.pidfd_open(pid)
    try:
        if not _listens(pid):  # the signal would end it
            return DEAF
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
            ear.bind(address_of(os.getpid()))
            os.kill(pid, SIGNAL)
            ready, _, _ = select.select([ear.fileno(), server], [], [], WAIT_S)
            if ear.fileno() in ready:
                return ear.recv(10_000).decode(errors="replace")
            return "The server has ended." if ready else SILENCE
    finally:
        os.close(server)


def _listens(pid: int) -> bool:
    """Tell whether a process handles SIGNAL, as a server does that looks for it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [handled] = [line.split()[1] for line in lines if line.startswith("SigCgt:")]
    return bool(int(handled, 16) >> (SIGNAL - 1) & 1)


def main() -> None:
    """Run the command line."""
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit(__doc__)
    try:
        sys.exit(replace(int(sys.argv[1])) or 0)
    except OSError as error:
        sys.exit(f"Process {sys.argv[1]} could not be asked: {error}")


if __name__ == "__main__":
    main()
