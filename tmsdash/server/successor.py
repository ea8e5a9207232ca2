"""A server that takes the place of one that is running, on the socket that both have: nobody waits for it to start.

1. SIGUSR2 asks the main process of a server for it, as `python -m tmsdash.server.replace PID` sends it.
2. The old one starts the version in the folder of whoever asked, with the same socket, by the protocol of
   sd_listen_fds(3), and goes on serving.
3. The next one says through a pipe that all its workers have loaded the site. Only then systemd is told of the new main
   process, and the old server ends as it does on SIGTERM: whoever comes reaches the new one, what runs is finished.
4. If the next one ends, or is not ready in time, the old server goes on as if nobody had asked.

Later versions are started by this one: what is passed to them must keep its names.
"""

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tmsdash import startup
from tmsdash.server.given_socket import FIRST
from tmsdash.server.given_socket import VARIABLES as LISTEN_VARIABLES
from tmsdash.server.replace import SIGNAL, address_of

VARIABLE = "TMSDASH_READY"  # in the environment of a successor: the descriptor of the pipe, and who listens there
READY_WITHIN_S = 180.0  # that a successor may take to start on a busy machine
END_S = 10.0  # that one may take to end that has not become ready

# The shell that is started first ends at once. So the server is a child of systemd, which would kill it without waiting
# for its end otherwise. The second one becomes Python: its number is the one that the socket is meant for.
_AS_ORPHAN = """sh -c 'LISTEN_PID=$$ exec "$0" "$@"' "$@" >&2 & echo $!"""

logger = logging.getLogger(__name__)


class Succession:
    """Whose place this server takes, and which one takes its own; its main process asks at intervals."""

    def __init__(self, given: socket.socket | None) -> None:
        """`given`: the socket of this server that systemd passed; without one nothing takes its place."""
        self._given = given
        self._successor: Successor | None = None
        self._predecessor = Predecessor.find()

    def is_complete_within(self, seconds: float) -> bool:
        """Wait so long, or until somebody asks; tell whether a successor has taken the place, so that this one ends."""
        if self._given and not self._successor:
            if request := signal.sigtimedwait([SIGNAL], seconds):  # it is blocked
                self._start(self._given, request.si_pid)
            return False
        time.sleep(seconds)
        if self._successor and self._successor.is_ready():
            self._successor.take_over()
            self._successor = None
            return True
        if self._successor and (why := self._successor.failure()):
            self._give_up(why)
        return False

    def tell_ready(self) -> None:
        """Tell the server whose place this one takes, if any, that this one answers."""
        if self._predecessor:
            self._predecessor.relieve()

    def end(self, seconds: float) -> None:
        """Let no successor outlive this server that has not taken its place; wait so long for the predecessor."""
        if self._successor:
            self._give_up("it was asked to end before the next one was ready.")
        if self._predecessor:
            self._predecessor.wait_for_end(seconds)

    def _start(self, given: socket.socket, asked_by: int) -> None:
        try:
            site = Path(f"/proc/{asked_by}/cwd").readlink()
            self._successor = Successor(given, site, asked_by)
        except OSError as error:
            _refuse(asked_by, f"the next one could not be started. {error}")
        else:
            logger.info("[PROCESS] Process %d is to take the place of this server.", self._successor.pid)

    def _give_up(self, why: str) -> None:
        if self._successor:
            self._successor.end()
            _refuse(self._successor.asked_by, why)
        self._successor = None


class Successor:
    """The server that is to take the place of this one, as this one sees it."""

    def __init__(self, given: socket.socket, site: Path, asked_by: int) -> None:
        """Start the version in the folder `site`. Raises OSError if that is not possible.

        Its environment is the one that this process was started with: settings are read anew. The process `asked_by`
        is told what comes of it.
        """
        if not (site / "manage.py").exists():
            raise OSError(f"there is none in {site}")
        if given.fileno() != FIRST:
            raise OSError(f"the socket is not descriptor {FIRST}")
        self.asked_by, self._begun = asked_by, time.monotonic()
        self._ready, writer = os.pipe()
        try:
            started = subprocess.run(  # noqa: S603
                ["/bin/sh", "-c", _AS_ORPHAN, "sh", _python(site), "manage.py", "serve"],
                cwd=site,
                env=_first_environment() | {"LISTEN_FDS": "1", VARIABLE: f"{writer} {os.getpid()}"},
                pass_fds=[FIRST, writer],
                stdout=subprocess.PIPE,
                check=True,
            )
            self.pid = int(started.stdout)
            self._process = os.pidfd_open(self.pid)
        except (OSError, subprocess.CalledProcessError) as error:
            os.close(self._ready)
            raise OSError(str(error)) from error
        finally:
            os.close(writer)

    def is_ready(self) -> bool:
        """Tell whether it can take this server's place."""
        return bool(select.select([self._ready], [], [], 0)[0]) and os.read(self._ready, 1) != b""

    def failure(self) -> str:
        """Return why it cannot be waited for any longer; empty as long as it can."""
        if _ends_within(self._process, 0):
            return "the next one has ended, see what it logged."
        if time.monotonic() - self._begun > READY_WITHIN_S:
            return f"the next one was not ready within {READY_WITHIN_S:.0f} s."
        return ""

    def take_over(self) -> None:
        """Tell systemd that it is the main process from now on, and whoever asked for it that it is there."""
        _notify(f"MAINPID={self.pid}")
        logger.info("[PROCESS] Process %d has taken the place of this server, which ends.", self.pid)
        _send(address_of(self.asked_by), "")
        os.close(self._process)
        os.close(self._ready)

    def end(self) -> None:
        """See to it that it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGTERM)
            if not _ends_within(self._process, END_S):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
        os.close(self._process)
        os.close(self._ready)


class Predecessor:
    """The server whose place this one was started to take."""

    def __init__(self, pipe: int, pid: int) -> None:
        """`pipe`: where its main process listens, whose number is `pid`. Raises ProcessLookupError if it has ended."""
        os.set_inheritable(pipe, False)
        self._pipe: int | None = pipe
        self._process = os.pidfd_open(pid)

    @staticmethod
    def find() -> "Predecessor | None":
        """Return it, None if there is none, or no longer. No child is told of it."""
        pipe, _, pid = os.environ.pop(VARIABLE, "").partition(" ")
        with suppress(ProcessLookupError):
            return Predecessor(int(pipe), int(pid)) if pid else None
        return None

    def relieve(self) -> None:
        """Tell it, once, that it may end."""
        if self._pipe is not None:
            with suppress(BrokenPipeError):  # it has ended by itself
                os.write(self._pipe, b"1")
            os.close(self._pipe)
            self._pipe = None

    def wait_for_end(self, seconds: float) -> None:
        """Wait so long for it to finish its requests: systemd kills what is left when this process ends."""
        _ends_within(self._process, seconds)


def _ends_within(process: int, seconds: float) -> bool:
    """Wait so long for the end of the process of a descriptor, and tell whether it has come."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(max(0, seconds * 1000)))


def _python(site: Path) -> str:
    own = site / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _first_environment() -> dict[str, str]:
    """Return what this process was started with, but for what was meant for it alone."""
    lines = Path("/proc/self/environ").read_bytes().decode(errors="surrogateescape").split("\0")
    environment = dict(line.partition("=")[::2] for line in lines if line)
    return {name: value for name, value in environment.items() if name not in (*LISTEN_VARIABLES, startup.TOKEN_PIPE)}


def _refuse(asked_by: int, why: str) -> None:
    """Say, in the log and to whoever asked, that nothing takes the place of this server."""
    sentence = f"The server goes on as it is: {why}"
    logger.error("[PROCESS] %s", sentence)
    _send(address_of(asked_by), sentence)  # which may be anybody, and need not listen


def _notify(sentence: str) -> None:
    """Tell systemd something, if it listens, by the protocol of sd_notify(3)."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        _send(address.replace("@", "\0", 1) if address.startswith("@") else address, sentence)


def _send(address: str, sentence: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(sentence.encode(), address)
        except OSError as error:
            logger.debug("[PROCESS] nobody listens at %r: %s", address, error)
