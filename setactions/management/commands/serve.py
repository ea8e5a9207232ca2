import io
import logging
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

from audit.accounts.throttling import remove_turns
from setactions.operations.notifications.watcher import Watcher
from tmsdash.checks import check_postgresql_servers
from tmsdash.commands import require_own_site
from tmsdash.db import host_turns
from tmsdash.db.migration import LATER, MIGRATE_FIRST, are_migrations_due
from tmsdash.db.transactions import file_identity
from tmsdash.db.way_back import later_migrations
from tmsdash.env import is_loopback
from tmsdash.processes import end_with_parent, handle, heeded, is_ending, notice_end
from tmsdash.server import given_socket, open_files, replace, watchdog
from tmsdash.server.shared import VARIABLE, SharedMemory
from tmsdash.server.successor import Succession
from tmsdash.text import one_line
from tmsdash.web.static_files import collect

logger = logging.getLogger(__name__)

# Seconds beyond a call's deadline that a stopping server gives running requests to record the outcome.
GRACE_AFTER_DEADLINE_S = 20
# A server that ends within QUICK_END_S seconds has failed to start. After QUICK_ENDS such failures we give up.
QUICK_END_S = 2
QUICK_ENDS = 5
PAUSE_S = 1  # before it is started again
HEADER_S = 5  # for the head of a request to arrive, and between two requests on a connection
IDLE_S = 60  # before a thread without requests ends, and gives back its connections with their memory
BACKLOG = 4096  # connections waiting to be accepted
# How often, in seconds, Jobs are recorded for accepted actions whose worker died before it could do so.
RECONCILE_EVERY_S = 30
# What keeps allocators from holding on to the memory of long lists and answers, for the threads that had them: the C
# library's, and granian's own, jemalloc.
ALLOCATORS = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(128 << 10),  # else it grows with what is freed
    "_RJEM_MALLOC_CONF": "narenas:1,dirty_decay_ms:0,muzzy_decay_ms:0",
}
END_S = 20  # that the server may take to end, beyond what its workers may take
POLL_S = 0.2  # how often we look whether the server has ended


class Command(BaseCommand):
    help = "Serve the site with the production server, granian, until SIGTERM or SIGINT."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if given := _given_socket():
            # The succession looks for it; that it is handled tells `replace` that it ends nobody.
            signal.pthread_sigmask(signal.SIG_BLOCK, {replace.SIGNAL})
            handle(lambda *_: None, replace.SIGNAL)
            host, port = given.getsockname()[:2]
            say = logger.info if settings.LOG_FORMAT == "json" else self.stdout.write
            say(f"Listening on {host}, port {port}: the socket that systemd passes.")
        succession = Succession(given)
        _warn_of_plain_http(host)
        if not given:
            _assert_free(host, port)
        require_own_site()
        if are_migrations_due():
            raise CommandError(f"Nothing was started.{MIGRATE_FIRST}")
        if later := later_migrations():
            raise CommandError(LATER.format(later[-1]))
        for message in check_postgresql_servers(databases=list(connections)):
            _tell(" ".join(filter(None, (message.msg, message.hint))))
        collect()  # before the server starts: it looks once which files there are
        sys.stdout.flush()
        for name, value in ALLOCATORS.items():
            os.environ.setdefault(name, value)
        sys.exit(_keep_running(server_arguments(host, port, given), given, succession))


def _given_socket() -> socket.socket | None:
    try:
        return given_socket.take()
    except given_socket.SocketError as error:
        raise CommandError(f"Nothing was started. {error}") from None


def _keep_running(arguments: list[str], given: socket.socket | None, succession: Succession) -> int:
    """Run the workers until this process is told to stop, and return the exit code."""
    notice_end()  # first: a signal that comes between the two must not be lost
    handle(lambda *_: None, signal.SIGTERM, signal.SIGINT)  # is_ending tells of them
    # granian handles these even if they are ignored, as under nohup; what is blocked here never reaches it.
    of_terminals = {signal.SIGHUP, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, of_terminals.difference(heeded(*of_terminals)))
    with Watcher(), _shared_memory() as memory:
        workers = [_Worker(arguments, memory, number, given) for number in range(settings.WEB_WORKERS)]
        code = _run(workers, memory, succession)
    for alias in connections:
        if file := file_identity(connections[alias]):
            host_turns.remove(file)
    remove_turns()
    return code if code >= 0 else 128 - code  # as a shell tells of a signal


@contextmanager
def _shared_memory() -> Iterator[SharedMemory | None]:
    """Share memory with the workers and watch them during the block, if this system can."""
    if not watchdog.is_possible():
        _tell("A frozen worker will go unnoticed: watching workers needs Linux 5.3 or later.")
        yield None
        return
    memory = SharedMemory(settings.WEB_WORKERS)
    with watchdog.Watchdog(memory, threads=settings.WEB_THREADS, call_s=_call_s()):
        yield memory


class _Worker:
    """A worker and the main process of granian above it, which replaces a worker that died.

    Each has a main process of its own, because granian ends all of its workers when one of them dies in quick
    succession. Then that main process is started again here.
    """

    def __init__(
        self, arguments: list[str], memory: SharedMemory | None, number: int, given: socket.socket | None
    ) -> None:
        self._arguments, self._memory, self._number, self._given = arguments, memory, number, given
        self.quick_ends = 0

    def start(self) -> None:
        """Start it; if this process is killed, it must not live on and keep its port from the next one."""
        environment, descriptors = dict(os.environ), [self._given.fileno()] if self._given else []
        if self._memory:
            self._memory.clear(self._number)  # of what a worker had counted that was killed
            environment[VARIABLE] = self._memory.variable(self._number)
            descriptors.append(self._memory.descriptor)
        self._started = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603
            self._arguments,
            cwd=settings.BASE_DIR,
            env=environment,
            pass_fds=descriptors,
            preexec_fn=end_with_parent,
        )

    def has_ended(self) -> bool:
        """Tell whether it has ended by itself, and count it if that was soon after its start."""
        if self._process.poll() is None:
            return False
        self.quick_ends += not self.has_run()
        return True

    def has_run(self) -> bool:
        """Tell whether it was started long enough ago to have failed by now if it cannot start."""
        return time.monotonic() - self._started >= QUICK_END_S

    def ask_to_end(self) -> None:
        """Ask it to finish the requests that are running, and end."""
        self._process.terminate()

    def end(self, until: float) -> int:
        """Return the exit code once it has ended as asked, by `until` on the monotonic clock at the latest."""
        try:
            return self._process.wait(max(0, until - time.monotonic()))
        except subprocess.TimeoutExpired:  # it is frozen, or it would have killed its worker by now
            self._process.kill()
            return self._process.wait()


def _run(workers: list[_Worker], memory: SharedMemory | None, succession: Succession) -> int:
    """Start the workers, and again whenever one has ended, until this process is told to stop; return the exit code.

    It ends as well once another server has taken its place, and gives up if no worker can be started. What was left
    open is finished before each start, and at intervals.
    """
    _finish_what_was_left_open()
    has_run, gives_up, is_replaced, reconciled = False, False, False, time.monotonic()
    for worker in workers:
        worker.start()
    while not (is_ending() or gives_up or is_replaced):
        # Four things may happen: a worker ends, a signal comes, the next server is ready, it is time to reconcile.
        is_replaced = succession.is_complete_within(POLL_S)
        if memory and memory.has_all_workers():
            succession.tell_ready()
        ended = [worker for worker in workers if worker.has_ended()]
        has_run = has_run or any(worker.has_run() for worker in workers if worker not in ended)
        if ended:
            gives_up = not has_run and max(worker.quick_ends for worker in ended) >= QUICK_ENDS
            _start_again(ended, gives_up=gives_up)
        elif time.monotonic() - reconciled > RECONCILE_EVERY_S:
            _finish_what_was_left_open(quietly=True)
            reconciled = time.monotonic()
    for worker in workers:
        worker.ask_to_end()
    until = time.monotonic() + END_S + _call_s()
    code = max((worker.end(until) for worker in workers), key=abs)
    succession.end(until - time.monotonic())
    return code


def _start_again(workers: list[_Worker], *, gives_up: bool) -> None:
    _tell(f"The server ended by itself{', repeatedly' if gives_up else '; it is started again'}.")
    if gives_up:
        return
    time.sleep(PAUSE_S)  # not in a rush
    _finish_what_was_left_open()
    for worker in workers if not is_ending() else ():
        worker.start()


def _call_s() -> int:
    """Return how many seconds a call to TMS and the recording of its outcome may take."""
    return int(settings.TMS_DEADLINE_S) + GRACE_AFTER_DEADLINE_S


def _finish_what_was_left_open(*, quietly: bool = False) -> None:
    """Run `reconcile` without a token; its failure must not keep the site down. A stand-by writes nothing."""
    if settings.TMS_PASSIVE:
        return
    try:
        # The log has its counts anyway, and where that is JSON nothing else should be among it.
        is_quiet = quietly or settings.LOG_FORMAT == "json"
        call_command("reconcile", stdout=io.StringIO() if is_quiet else sys.stdout)
    except SystemExit:
        return  # it has printed what needs a token or a person
    except Exception as error:  # noqa: BLE001 (a problem with yesterday's attempts must not stop today's)
        _tell(one_line(f"What was left open stays open for now. {type(error).__name__}: {error}", 2_000))
    finally:
        connections.close_all()


def _warn_of_plain_http(host: str) -> None:
    """Warn if the site is meant for HTTPS, but passwords and tokens could cross a network unencrypted."""
    if settings.HTTPS_ONLY and not is_loopback(host):
        _tell(
            f"Listening on {host} in plain HTTP: let only the HTTPS proxy reach this port, on this machine or through "
            "an encrypted tunnel. If the proxy runs on this machine, use HOST 127.0.0.1."
        )


def _tell(sentence: str) -> None:
    """Say something on standard error: as it is, or as a record if the log is JSON."""
    if settings.LOG_FORMAT == "json":
        logger.warning("%s", sentence)
    else:
        sys.stderr.write(f"{sentence}\n")


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


def server_arguments(host: str, port: int, given: socket.socket | None = None) -> list[str]:
    """Return the command line of granian with one worker.

    All listen at the same port, and the system spreads clients; if a socket is `given`, all accept from that one, and
    the address is for logs only. A stopping worker waits longer than a call can take, so that no call is cut off after
    TMS has applied it.
    """
    program = ["tmsdash.server.on_given_socket", str(given.fileno())] if given else ["granian"]
    return [
        *(sys.executable, "-m", *program, "--interface", "wsgi", "tmsdash.wsgi:application"),
        *("--host", host, "--port", str(port), "--workers", "1"),
        *("--blocking-threads", str(settings.WEB_THREADS)),
        *("--workers-kill-timeout", str(_call_s())),
        *("--blocking-threads-idle-timeout", str(IDLE_S), "--respawn-failed-workers", "--no-ws", "--http", "1"),
        # A client that sends nothing, or half a head, keeps its place until then; there are enough places.
        *("--http1-header-read-timeout", str(HEADER_S * 1000)),
        *(("--log-config", "tmsdash/server/json_logs.json") if settings.LOG_FORMAT == "json" else ()),
        *("--backpressure", str(open_files.connections_at_once(settings.WEB_THREADS)), "--backlog", str(BACKLOG)),
    ]
