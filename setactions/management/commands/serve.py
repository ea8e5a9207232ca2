import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from tmsdash.commands import require_site_keys
from tmsdash.db.migration import MIGRATE_FIRST, are_migrations_due
from tmsdash.env import is_loopback
from tmsdash.processes import end_with_parent, handle, heeded, is_ending, notice_end
from tmsdash.server import open_files, watchdog
from tmsdash.server.heartbeat import DESCRIPTOR, SharedVitals
from tmsdash.text import one_line
from tmsdash.web.static_files import collect

# Seconds beyond a call's deadline that a stopping server gives running requests to record the outcome.
GRACE_AFTER_DEADLINE_S = 20
# A server that ends within QUICK_END_S seconds has failed to start. After QUICK_ENDS such failures we give up.
QUICK_END_S = 2
QUICK_ENDS = 5
PAUSE_S = 1  # before it is started again
HEADER_S = 5  # for the head of a request to arrive, and between two requests on a connection
BACKLOG = 4096  # connections waiting to be accepted
# How often, in seconds, Jobs are recorded for accepted actions whose worker died before it could do so.
RECONCILE_EVERY_S = 30
END_S = 20  # that the server may take to end, beyond what its workers may take
POLL_S = 0.2  # how often we look whether the server has ended


class Command(BaseCommand):
    help = "Serve the site with the production server, granian, until SIGTERM or SIGINT."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        _warn_of_plain_http(options["host"])
        _assert_free(options["host"], options["port"])
        require_site_keys()
        if are_migrations_due():
            raise CommandError(f"Nothing was started.{MIGRATE_FIRST}")
        collect()  # before the server starts: it looks once which files there are
        sys.stdout.flush()
        # With an arena per thread the C library would hold on to the memory of long answers.
        os.environ.setdefault("MALLOC_ARENA_MAX", "2")
        sys.exit(_keep_running(options["host"], options["port"]))


def _keep_running(host: str, port: int) -> int:
    """Run the server until this process is told to stop, and return its exit code.

    granian replaces a worker that died, but gives up when workers die in quick succession. Then granian itself is
    started again here, unless it has failed to start every time.
    """
    notice_end()  # first: a signal that comes between the two must not be lost
    handle(lambda *_: None, signal.SIGTERM, signal.SIGINT)  # is_ending tells of them
    # granian handles these even if they are ignored, as under nohup; what is blocked here never reaches it.
    of_terminals = {signal.SIGHUP, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, of_terminals.difference(heeded(*of_terminals)))
    code, has_run, starts = 0, False, 0
    while not is_ending() and (has_run or starts < QUICK_ENDS):  # once, as a rule
        _finish_what_was_left_open()
        started = time.monotonic()
        with _watched_server(host, port) as server:
            code = _wait_for(server)
        starts, has_run = starts + 1, has_run or time.monotonic() - started >= QUICK_END_S
        if not is_ending():
            goes_on = has_run or starts < QUICK_ENDS
            sys.stderr.write(f"The server ended by itself{'; it is started again' if goes_on else ', repeatedly'}.\n")
            time.sleep(PAUSE_S if goes_on else 0)  # not in a rush
    return code if code >= 0 else 128 - code  # as a shell tells of a signal


@contextmanager
def _watched_server(host: str, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the server, and watch its workers until the block or the server ends."""
    vitals = SharedVitals() if watchdog.is_possible() else None
    environment = os.environ | ({DESCRIPTOR: str(vitals.descriptor)} if vitals else {})
    # If this process is killed, the server must not live on and keep its port from the next one.
    server = subprocess.Popen(  # noqa: S603
        server_arguments(host, port),
        cwd=settings.BASE_DIR,
        env=environment,
        pass_fds=[vitals.descriptor] if vitals else [],
        preexec_fn=end_with_parent,
    )
    if vitals is None:
        sys.stderr.write("A frozen worker will go unnoticed: watching workers needs Linux 5.3 or later.\n")
        yield server
        return
    with vitals, watchdog.Watchdog(host, port, vitals, threads=settings.WEB_THREADS, call_s=_call_s()):
        yield server


def _call_s() -> int:
    """Return how many seconds a call to TMS and the recording of its outcome may take."""
    return int(settings.TMS_DEADLINE_S) + GRACE_AFTER_DEADLINE_S


def _wait_for(server: "subprocess.Popen[bytes]") -> int:
    """Wait for `server`, ask it to end when we are told to stop, and return its exit code; reconcile meanwhile."""
    reconciled = time.monotonic()
    while not is_ending():
        time.sleep(POLL_S)  # three things may happen: the server ends, a signal comes, it is time to reconcile
        code = server.poll()
        if code is not None:
            return code
        if time.monotonic() - reconciled > RECONCILE_EVERY_S:
            _finish_what_was_left_open(quietly=True)
            reconciled = time.monotonic()
    server.terminate()
    try:
        return server.wait(END_S + _call_s())
    except subprocess.TimeoutExpired:  # it is frozen, or it would have killed its workers by now
        server.kill()
        return server.wait()


def _finish_what_was_left_open(*, quietly: bool = False) -> None:
    """Run `reconcile` without a token; its failure must not keep the site down. A stand-by writes nothing."""
    if settings.TMS_PASSIVE:
        return
    try:
        call_command("reconcile", stdout=io.StringIO() if quietly else sys.stdout)
    except SystemExit:
        return  # it has printed what needs a token or a person
    except Exception as error:  # noqa: BLE001 (a problem with yesterday's attempts must not stop today's)
        sys.stderr.write(
            one_line(f"What was left open stays open for now. {type(error).__name__}: {error}", 2_000) + "\n"
        )
    finally:
        connections.close_all()


def _warn_of_plain_http(host: str) -> None:
    """Warn if the site is meant for HTTPS, but passwords and tokens could cross a network unencrypted."""
    if settings.HTTPS_ONLY and not is_loopback(host):
        sys.stderr.write(
            f"Listening on {host} in plain HTTP: let only the HTTPS proxy reach this port, on this machine or through "
            "an encrypted tunnel. If the proxy runs on this machine, use HOST 127.0.0.1.\n"
        )


def _assert_free(host: str, port: int) -> None:
    """Raise CommandError if the address is taken: granian would share it with whoever listens there."""
    if not 1 <= port <= 65_535:
        raise CommandError(f"Cannot listen on {host}, port {port}. Choose a PORT from 1 to 65535.")
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(address[0]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address[4])
    except OSError as error:
        raise CommandError(f"Cannot listen on {host}, port {port}: {error}. Choose another HOST or PORT.") from None


def server_arguments(host: str, port: int) -> list[str]:
    """Return the command line of the server.

    One worker: SQLite has a single writer, and threads of one process queue for it fairly. A stopping server waits
    longer than a call can take, so that no call is cut off after TMS has applied it.
    """
    return [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "tmsdash.wsgi:application"),
        *("--host", host, "--port", str(port), "--workers", "1"),
        *("--blocking-threads", str(settings.WEB_THREADS)),
        *("--workers-kill-timeout", str(_call_s())),
        *("--blocking-threads-idle-timeout", "600", "--respawn-failed-workers", "--no-ws", "--http", "1"),
        # A client that sends nothing, or half a head, keeps its place until then; there are enough places.
        *("--http1-header-read-timeout", str(HEADER_S * 1000)),
        *("--backpressure", str(open_files.connections_at_once(settings.WEB_THREADS)), "--backlog", str(BACKLOG)),
    ]
