"""A load of requests at a steady rate that waits for nobody, as many clients make it: each on a connection of its own,
and some on connections that are kept.
"""

import asyncio
import json
import ssl
import sys
import threading
import time
import uuid
from collections import Counter
from itertools import count, cycle
from typing import Self
from urllib.parse import urlsplit

from setactions.devtools.proofs.evidence import Shown
from setactions.devtools.proofs.site import HOST, PASSWORD, USER, ProofError, new_session

TIMEOUT_S = 90.0
PER_S = {"/health": 170, "/jobs/": 20, "/proxy_fetch": 10}
"""Requests on connections of their own, by path."""
RATE = sum(PER_S.values())
CLIENTS = 1000
KEPT = 8  # connections that are kept, each asking for /health again as soon as it has an answer
KEPT_PAUSE_S = 0.02
ACTION, TOKEN = "PE-Enable", "a-token-that-works"  # the simulator takes any


class _Broken(Exception):
    """A connection that ended before the whole answer was there; `argument` says whether nothing of it was."""


class SteadyLoad:
    """The load, for as long as the `with` block lasts; all its requests are answered, or have failed, after that.

    A request that failed is one of the `surprises`, unless its connection had answered another one before: between two
    requests a server may close a connection at any time, and only clients that send again know how to live with that.
    """

    def __init__(self, url: str, tms_url: str, certificate: str = "", share: float = 1.0) -> None:
        """Sign in at `url`; Set Actions go to the cluster at `tms_url`. `certificate`: the file to trust, for HTTPS.

        `share` of the rate is made, for machines that are busy.
        """
        parts = urlsplit(url)
        self._host, self._port, self._tms_url = parts.hostname or "", parts.port or 80, tms_url
        self._tls = ssl.create_default_context(cafile=certificate) if certificate else None
        self._name, self._origin, self._share = parts.netloc, f"{parts.scheme}://{parts.netloc}", share
        # Many clients, of whom each may only be refused for what it does itself.
        self._addresses = cycle(f"127.0.{number // 200}.{1 + number % 200}" for number in range(CLIENTS))
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._make()), name="load", daemon=True)
        self.facts: Counter[str] = Counter({f"answered {path}": 0 for path in PER_S})
        self.surprises: list[str] = []
        self.shown: list[Shown] = []
        """What was answered to Set Actions."""
        self._cookies, self._csrf = self._sign_in(certificate)

    def _sign_in(self, certificate: str) -> tuple[str, str]:
        with new_session() as session:
            session.verify = certificate or True
            session.get(f"{self._origin}/login/")
            [csrf] = [cookie.value for cookie in session.cookies if cookie.name.endswith("csrftoken")]
            form = {"username": USER, "password": PASSWORD, "csrfmiddlewaretoken": csrf}
            answer = session.post(f"{self._origin}/login/", form, headers={"Referer": f"{self._origin}/"})
            if not answer.ok or answer.url.endswith("/login/"):
                raise ProofError(f"The load could not sign in: HTTP {answer.status_code}")
            cookies = {cookie.name: cookie.value for cookie in session.cookies}
        csrf = next(value or "" for name, value in cookies.items() if name.endswith("csrftoken"))
        return "; ".join(f"{name}={value}" for name, value in cookies.items()), csrf

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.facts["seconds of load"] = round(time.monotonic() - self._begun)
        self._over.set()
        self._thread.join()

    async def _make(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for path, per_s in PER_S.items():
                tasks.create_task(self._make_at(path, per_s * self._share, tasks))
            for _ in range(KEPT):
                tasks.create_task(self._keep_asking())

    async def _make_at(self, path: str, per_s: float, tasks: asyncio.TaskGroup) -> None:
        started = time.monotonic()
        for number in count():
            if self._over.is_set():
                return
            await asyncio.sleep(max(0, started + number / per_s - time.monotonic()))
            tasks.create_task(self._ask_anew(path))

    async def _ask_anew(self, path: str) -> None:
        """Ask on a connection of its own."""
        asked, key = time.monotonic(), str(uuid.uuid4())
        try:
            async with asyncio.timeout(TIMEOUT_S):
                connection = await self._connect()
                try:
                    status, body = await _exchange(connection, self._request(path, key))
                finally:
                    connection[1].close()
        except (OSError, TimeoutError, _Broken) as error:
            self.surprises.append(f"{path}: {type(error).__name__}: {error}")
            return
        waited = round((time.monotonic() - asked) * 1000)
        self.facts["longest wait, ms"] = max(self.facts["longest wait, ms"], waited)
        if status != 200:
            self.surprises.append(f"{path}: HTTP {status}: {body[:500]!r}")
        else:
            self.facts[f"answered {path}"] += 1
        if path == "/proxy_fetch" and status == 200:
            answer = json.loads(body)
            self.shown.append(Shown(key, answer["outcome"], answer["job_id"], recorded=True))
            if answer["outcome"] != "accepted":
                self.surprises.append(f"{path}: {answer}")

    async def _keep_asking(self) -> None:
        """Ask for /health on a connection that is kept for as long as the server keeps it."""
        while not self._over.is_set():
            answers = 0
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    connection = await self._connect()
                while not self._over.is_set():
                    async with asyncio.timeout(TIMEOUT_S):
                        status, body = await _exchange(connection, self._request("/health", "", kept=True))
                    if status != 200:
                        self.surprises.append(f"kept connection: HTTP {status}: {body[:500]!r}")
                    answers += 1
                    self.facts["answered on kept connections"] += 1
                    await asyncio.sleep(KEPT_PAUSE_S)
                    if connection[0].at_eof():
                        self.facts["kept connections closed in time"] += 1
                        break
            except (OSError, TimeoutError, _Broken) as error:
                if answers and not isinstance(error, TimeoutError):
                    self.facts["kept connections closed on a request"] += 1
                else:
                    self.surprises.append(f"kept connection: {type(error).__name__}: {error}")
            finally:
                connection[1].close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = self._host if self._tls else None
        own = next(self._addresses) if sys.platform == "linux" else HOST
        return await asyncio.open_connection(HOST, self._port, ssl=self._tls, server_hostname=name, local_addr=(own, 0))

    def _request(self, path: str, key: str, *, kept: bool = False) -> bytes:
        lines = {"Host": self._name, "Connection": "keep-alive" if kept else "close"}
        body = b""
        if path != "/health":
            lines["Cookie"] = self._cookies
        if path == "/proxy_fetch":
            payload = {"action": ACTION, "cids": [uuid.uuid4().hex]}
            url = f"{self._tms_url}/tms/v1/set/action"
            body = json.dumps({"url": url, "token": TOKEN, "isPost": True, "postData": payload, "confirm": 1}).encode()
            lines |= {"Content-Type": "application/json", "Content-Length": str(len(body)), "Idempotency-Key": key}
            lines |= {"X-CSRFToken": self._csrf, "Referer": f"{self._origin}/"}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


async def _exchange(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes) -> tuple[int, bytes]:
    """Send a request and return status and body of the answer. Raise OSError or _Broken if it does not come whole."""
    reader, writer = connection
    writer.write(request)
    await writer.drain()
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        if "chunked" in fields.get("transfer-encoding", ""):
            return int(head.split()[1]), await _chunks(reader)
        return int(head.split()[1]), await reader.readexactly(int(fields.get("content-length", "0")))
    except asyncio.IncompleteReadError as error:
        raise _Broken("closed in the middle of an answer" if error.partial else "closed without an answer") from None


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body
