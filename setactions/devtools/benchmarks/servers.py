"""The real servers of a measurement: the product's, the stand-in's and TMS's, each in processes of its own."""

import http.client
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.test import Client

from setactions.devtools.proofs.site import BASE_DIR, HOST, Server, Site, kill, unused_port, wait_for
from tmsdash.accounts import OPERATORS

CSRF = "b" * 32
# What a measurement may be given in the environment, beside what this product makes up.
GIVEN = ("DATABASE_URL", "JOBS_DATABASE_URL", "AUDIT_DATABASE_URL", "WEB_WORKERS", "WEB_THREADS")
STUB = "setactions.devtools.stub_tms"
STAND_IN = "setactions.devtools.call_then_record"
CALL_THEN_RECORD = "call, then record"  # the name of that floor
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SETTLED_S = 0.03  # without any use of the CPU, after which a server has nothing left to do


def _parents_and_ticks() -> dict[int, tuple[int, int]]:
    """Return the parent of each process, and the CPU that it and children that it waited for have used."""
    processes = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:  # it has just ended
            continue
        processes[int(folder.name)] = int(fields[1]), sum(map(int, fields[11:15]))  # utime, stime, and of children
    return processes


def _tree(pid: int, processes: dict[int, tuple[int, int]]) -> list[int]:
    tree = [pid]
    for known in tree:  # which grows
        tree += [child for child, (parent, _) in processes.items() if parent == known]
    return tree


def process_tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    return _tree(pid, _parents_and_ticks())


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process and all below it have used, children that ended included."""
    processes = _parents_and_ticks()
    return sum(processes[known][1] for known in _tree(pid, processes) if known in processes) / TICKS_PER_S


def settled_cpu_s(pid: int) -> float:
    """Return the same once the processes rest, so that what they do after an answer counts, too."""
    used = cpu_s(pid)
    for _ in range(30):
        time.sleep(SETTLED_S)  # other processes: there is no event to wait for
        if (now := cpu_s(pid)) == used:
            break
        used = now
    return used


def spent_cpu_s(pid: int, before: float) -> float:
    """Return the seconds of CPU that were used since `settled_cpu_s` said `before`: at least the least that is seen."""
    return max(settled_cpu_s(pid) - before, 1 / TICKS_PER_S)


@dataclass(frozen=True)
class Target:
    """A server under measurement."""

    port: int
    pid: int
    sessions: list[str]
    """Cookies, one for each operator."""

    def request(self, operator: int = 0, headers: Mapping[str, str] | None = None) -> "Connection":
        """Open a connection that stays open, on which each request has these `headers`, too."""
        return Connection(self.port, self.sessions[operator], headers)


class Connection:
    """One operator's connection, kept alive."""

    def __init__(self, port: int, session: str, headers: Mapping[str, str] | None = None) -> None:
        """Connect at the first request."""
        self._connection = http.client.HTTPConnection(HOST, port, timeout=120)
        self._headers = {"Cookie": f"sessionid={session}; csrftoken={CSRF}", "X-CSRFToken": CSRF}
        self._headers |= {"Content-Type": "application/json"} | dict(headers or {})

    def get(self, path: str) -> bytes:
        """Return the body; raise RuntimeError unless the answer is 200."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: bytes) -> bytes:
        """The same with a body."""
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: HTTP {answer.status}: {content[:500]!r}")
        return content

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def new_cids(count: int) -> list[str]:
    """Return ids that nobody has used yet, in no order."""
    digits = os.urandom(16 * count).hex()
    return [digits[start : start + 32] for start in range(0, len(digits), 32)]


def action_body(origin: str, cids: list[str], *, send_again: bool = False) -> bytes:
    """Return what `POST /proxy_fetch` takes."""
    payload = {"action": "PE-Enable", "cids": cids}
    body = {"url": f"{origin}/tms/v1/set/action", "token": "bench", "isPost": True, "postData": payload}
    return json.dumps(body | {"confirm": len(cids), "sendAgain": send_again}).encode()


@contextmanager
def stub_tms(latency_s: float) -> Iterator[str]:
    """Run a TMS that accepts everything after so many seconds; yield its origin."""
    command = [sys.executable, "-m", STUB, str(latency_s)]
    with subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield f"http://{HOST}:{process.stdout.readline().strip()}"  # type: ignore[union-attr]
        finally:
            process.kill()


@contextmanager
def product(clusters: dict[str, str], operators: int, **more: object) -> Iterator[Target]:
    """Run `manage.py serve` on the databases of this process, with sessions of so many operators."""
    sessions = [session_of(f"operator-{number}") for number in range(operators)]
    given = {name: os.environ[name] for name in GIVEN if name in os.environ}
    variables: dict[str, Any] = {"TMS_MAX_CIDS_PER_CALL": 30_000, "TMS_DEADLINE_S": 30, "TMS_OPEN_AFTER_S": 90}
    variables |= given | more
    with ExitStack() as stack:
        site = stack.enter_context(Site(Path(settings.VAR_DIR), clusters, **variables))
        server = Server(site, 0)
        server.wait_until_healthy()
        yield Target(server.port, server.pid, sessions)


def session_of(name: str) -> str:
    """Sign an operator in, past the password."""
    user, is_new = User.objects.get_or_create(username=name)
    if is_new:
        user.groups.add(Group.objects.get(name=OPERATORS))
    client = Client()
    client.force_login(user)
    return str(client.cookies[settings.SESSION_COOKIE_NAME].value)


@contextmanager
def stand_in(operators: int, threads: int) -> Iterator[Target]:
    """Run what calls first and records then, with as many processes as the machine has cores."""
    with unused_port() as port:
        number = port.getsockname()[1]
    workers = os.environ.get("WEB_WORKERS") or os.cpu_count()
    command = [sys.executable, "-m", STAND_IN, *map(str, (number, operators, workers, threads))]
    folder = Path(settings.VAR_DIR) / f"stand-in-{uuid.uuid4().hex}"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    environment |= {"VAR_DIR": str(folder), "NO_PROXY": "*"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=BASE_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # as the product's: Linux shares the CPU out by sessions
        )
    with process:
        try:
            line = process.stdout.readline()  # type: ignore[union-attr]
            if not line:
                raise RuntimeError(f"the stand-in did not start: {(folder / 'log').read_text()}")
            target = Target(number, process.pid, json.loads(line))
            wait_for(lambda: _answers(target), "the stand-in did not answer")
            yield target
        finally:
            kill(process)


def _answers(target: Target) -> bool:
    try:
        with target.request() as connection:
            return bool(connection.get("/api/jobs/mine"))
    except OSError:
        return False
