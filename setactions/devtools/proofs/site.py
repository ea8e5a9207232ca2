"""The site under proof: settings and databases of its own, real server processes, and commands alongside them."""

import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self

import psycopg
import requests

from setactions.devtools.proofs.postgresql import ServerDatabases
from tmsdash.server.replace import replace

BASE_DIR = Path(__file__).resolve().parents[3]
HOST = "127.0.0.1"
USER = "prove"
PASSWORD = "of no use to anybody else"  # noqa: S105 (the account is gone with the proof)
DEADLINE_S = 2
# A call (deadline and a second of grace) and the recording (4 s) fit in, so a reading comes after both.
OPEN_AFTER_S = DEADLINE_S + 6
READBACK_INTERVAL_S = 1
START_S = 180.0  # longer than a server may take to start on a busy machine
POLL_S = 0.05
# What Python and its child processes need; nothing of what the product reads.
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
# Runs Python with what follows the descriptor of a socket, as systemd would start it with that socket.
AS_SYSTEMD = """
import os, sys
descriptor, *command = sys.argv[1:]
os.dup2(int(descriptor), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, *command])
"""


class ProofError(Exception):
    """The proof could not be carried out; says nothing about the promise."""


class Site:
    """Everything in `folder`, or in databases on a PostgreSQL `server`, which are dropped in the end.

    Leaving the `with` block kills every process that was started here.
    """

    def __init__(self, folder: Path, clusters: dict[str, str], server: str = "", /, **settings: object) -> None:
        """Prepare a site that knows `clusters`, their origins by name; nothing runs before `set_up`."""
        self.folder = folder
        try:
            self._databases = ServerDatabases(server) if server else None
        except psycopg.Error as error:
            raise ProofError(f"No databases could be made on the PostgreSQL server. {error}") from None
        variables = {
            "ENV_FILE": os.devnull,
            "VAR_DIR": folder,
            "TMS_CLUSTERS": ",".join(f"{name}={origin}" for name, origin in clusters.items()),
            "TMS_DEADLINE_S": DEADLINE_S,
            "TMS_OPEN_AFTER_S": OPEN_AFTER_S,
            "TMS_READBACK_INTERVAL_S": READBACK_INTERVAL_S,
            **settings,
            **(self._databases.urls if self._databases else {}),
        }
        self._environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        self._environment |= {name: str(value) for name, value in variables.items()}
        # Ctrl-C strikes the main thread, anywhere; in this one a process is always noted once it is started.
        self._starter = ThreadPoolExecutor(1, "starter")
        self._processes: list[subprocess.Popen[str]] = []
        # Where systemd would be told of the main processes of its services; Linux chooses the name.
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.bind("")
        self.ear.settimeout(START_S)
        self._hosts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all processes, and start no more."""
        self._starter.shutdown()
        for process in self._processes:
            kill(process)
        self.ear.close()
        if self._databases:
            self._databases.drop()

    def open_jobs(self) -> Any:
        """Return a new connection to the database of jobs."""
        if self._databases:
            return psycopg.connect(self._databases.urls["JOBS_DATABASE_URL"])
        return sqlite3.connect(self.folder / "jobs.db")

    def leave_files(self) -> None:
        """See to it that the databases are files in `folder`; nothing may write to them any more."""
        if self._databases:
            self._databases.copy_to(self.folder)

    def set_up(self) -> None:
        """Migrate, and make the account of all clients. Raise ProofError if that fails."""
        for command in (["migrate_all", "-v0"], ["createsuperuser", "--noinput", "--username", USER, "--email", ""]):
            process = self.spawn("set-up", *command, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
            if process.wait():
                raise ProofError(f"manage.py {command[0]} failed: {self.log('set-up')}")

    def new_host(self) -> dict[str, Any]:
        """Return what another host has in its environment: a VAR_DIR of its own, with copies of the keys.

        On SQLite, whose files are in VAR_DIR, all processes are on one host: nothing.
        """
        if not self._databases:
            return {}
        self._hosts += 1
        folder = self.folder / f"host-{self._hosts}"
        folder.mkdir(mode=0o700)
        for key in self.folder.glob("*_key"):
            shutil.copy2(key, folder)
        return {"VAR_DIR": str(folder)}

    def audit_problems(self) -> list[str]:
        """Return what is wrong with the audit, compared with every anchor that was logged: a list of one, or none."""
        logged = self.folder / "anchors"
        logged.write_text("".join(log.read_text(errors="replace") for log in sorted(self.folder.glob("*.log"))))
        process = self.spawn("audit_verify", "audit_verify", "--anchors-from", str(logged), piped=True)
        output, _ = process.communicate()
        return [output] if process.returncode else []

    def spawn(self, log: str, *command: str, piped: bool = False, **environment: str) -> subprocess.Popen[str]:
        """Start `manage.py` with `command`, in a process group of its own.

        What it logs is added to the file that `log` names, and so is its output unless it is `piped`, as its input
        then is, too.
        """
        program = [sys.executable, str(BASE_DIR / "manage.py"), *command]
        return self.spawn_program(log, *program, piped=piped, **environment)

    def spawn_on(self, held: socket.socket, log: str, *command: str, **environment: str) -> subprocess.Popen[str]:
        """The same, with a listening socket that it gets as systemd would pass it."""
        program = [sys.executable, "-c", AS_SYSTEMD, str(held.fileno()), str(BASE_DIR / "manage.py"), *command]
        return self._start(log, program, environment, passed=[held.fileno()])

    def spawn_program(self, log: str, *command: str, piped: bool = False, **environment: str) -> subprocess.Popen[str]:
        """Start any program of the site, as `spawn` does."""
        return self._start(log, command, environment, piped=piped)

    def _start(self, *arguments: Any, **options: Any) -> subprocess.Popen[str]:
        try:
            starting = self._starter.submit(self._spawn, *arguments, **options)
        except RuntimeError:  # closed
            raise ProofError("The proof is over.") from None
        return starting.result()

    def _spawn(
        self,
        log: str,
        command: Sequence[str],
        environment: dict[str, str],
        *,
        piped: bool = False,
        passed: Sequence[int] = (),
    ) -> subprocess.Popen[str]:
        with self._log_file(log).open("a") as log_file:
            process = subprocess.Popen(  # noqa: S603 (our own command)
                command,
                cwd=BASE_DIR,
                env=self._environment | environment,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else log_file,
                stderr=log_file,
                text=True,
                start_new_session=True,
                pass_fds=passed,
            )
        self._processes = [other for other in self._processes if _is_anything_left(other)] + [process]
        return process

    def log(self, name: str) -> str:
        """Return the end of what the processes logged under this name."""
        return self._log_file(name).read_text(errors="replace")[-2000:]

    def _log_file(self, name: str) -> Path:
        return self.folder / f"{name}.log"


class Server:
    """A production server of the site, main process and worker, that can die and rise again on the same port."""

    def __init__(self, site: Site, number: int, /, held: socket.socket | None = None, **environment: str) -> None:
        """Start, on a port of its own or on the listening socket that somebody has `held` for it, as systemd does."""
        self._held = held
        with nullcontext(held) if held else unused_port() as port:
            self.port = port.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self._site, self._name = site, f"server-{number}"
        self._environment: dict[str, Any] = environment
        if held:
            self._environment["NOTIFY_SOCKET"] = f"@{site.ear.getsockname()[1:].decode()}"
        self.start()

    def start(self) -> None:
        """Start the processes; they are not ready at once."""
        self._successor = 0  # its main process, once another server has taken the place of the one that is started here
        if self._held:
            self._process = self._site.spawn_on(self._held, self._name, "serve", **self._environment)
            return
        command = ["serve", "--host", HOST, "--port", str(self.port)]
        self._process = self._site.spawn(self._name, *command, **self._environment)

    @property
    def pid(self) -> int:
        """The process that started all others of this server."""
        return self._successor or self._process.pid

    def kill(self) -> None:
        """SIGKILL to main process and worker."""
        kill(self._process)

    def stop(self) -> int:
        """SIGTERM, and return the exit code once it has ended."""
        if not self._successor:
            self._process.terminate()
            return self._process.wait(START_S)
        with _end_of(self._successor) as has_ended:
            os.kill(self._successor, signal.SIGTERM)
            return 0 if has_ended() else 1  # it is not our child, so nobody tells its code

    def replace(self) -> float:
        """Have its place taken as `systemctl reload` does, and return after how many seconds that was done.

        Returns once the old one has ended. Raises ProofError if that fails.
        """
        asked, old = time.monotonic(), self.pid
        with _end_of(old) as has_ended:
            if problem := replace(old):
                raise ProofError(f"{self._name}: {problem} {self._site.log(self._name)}")
            taken_s = time.monotonic() - asked
            self._successor = int(self._site.ear.recv(100).decode().removeprefix("MAINPID="))
            if not has_ended() or (old == self._process.pid and self._process.wait()):
                raise ProofError(f"{self._name}: the old one did not end well. {self._site.log(self._name)}")
        return taken_s

    def wait_until_healthy(self) -> None:
        """Return once it answers. Raise ProofError if it does not, or has ended by itself."""
        wait_for(self._is_healthy, f"{self._name} did not become healthy")

    def _is_healthy(self) -> bool:
        if not self._successor and self._process.poll() is not None:
            raise ProofError(f"{self._name} ended by itself: {self._site.log(self._name)}")
        return is_healthy(self.url)


@contextmanager
def _end_of(pid: int) -> Iterator[Callable[[], bool]]:
    """Yield what waits for the end of a process, whose child it may be, and tells whether it has come."""
    descriptor = os.pidfd_open(pid)
    end = select.poll()
    end.register(descriptor, select.POLLIN)
    try:
        yield lambda: bool(end.poll(START_S * 1000))
    finally:
        os.close(descriptor)


def _is_anything_left(process: subprocess.Popen[str]) -> bool:
    """Tell whether it runs, or anything of its group that has outlived it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 0)
        return True
    return process.poll() is None


def is_healthy(url: str) -> bool:
    """Tell whether the server there answers and finds itself healthy."""
    try:
        with new_session() as session:
            return session.get(f"{url}/health", timeout=START_S).ok
    except requests.RequestException:
        return False


def unused_port() -> socket.socket:
    """Hold a free port of this machine: nobody listens at it, and nobody else can take it until it is closed."""
    port = socket.socket()
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port.bind((HOST, 0))
    return port


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL to a process that `spawn` started and to all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(condition: Callable[[], bool], failure: str) -> None:
    """Return once `condition` holds, which nobody tells us of. Raise ProofError if it does not in START_S seconds."""
    give_up = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > give_up:
            raise ProofError(f"{failure} within {START_S:.0f} s.")
        time.sleep(POLL_S)  # another process: there is no event to wait for


def new_session() -> requests.Session:
    """Return a session that does not ask the environment for proxies: all of this is on loopback."""
    session = requests.Session()
    session.trust_env = False
    return session
