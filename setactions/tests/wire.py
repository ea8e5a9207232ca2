"""Raw HTTP to the simulator: what a test sends and what comes back, byte by byte."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from setactions.devtools.simulator import Simulator

SET_ACTION = "/tms/v1/set/action"
ACCEPTED = {"message": "Sending action to migration services", "success": True}
ACCEPTED_BYTES = json.dumps(ACCEPTED).encode()
HANG_S = 30.0  # long enough to tell that something hangs; a test that passes never waits so long


@pytest.fixture(name="tms")
def own_simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture(name="background")
def worker_pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(100) as executor:
        yield executor


def connect(tms: Simulator) -> socket.socket:
    parts = urlsplit(tms.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=HANG_S)


def request(method: str, target: str, token: str = "secret", body: bytes = b"") -> bytes:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"{method} {target} HTTP/1.1\r\nConnection: close\r\n{authorization}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def set_action(token: str = "secret", cids: tuple[str, ...] = ("a", "b"), action: str = "T-Enable") -> bytes:
    return request("POST", SET_ACTION, token, json.dumps({"action": action, "cids": cids}).encode())


def wire(tms: Simulator, sent: bytes) -> bytes:
    """All bytes that come back before the connection ends; ConnectionResetError when a RST ends it."""
    with connect(tms) as connection:
        connection.sendall(sent)
        return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def outcome(tms: Simulator, sent: bytes) -> str:
    """How the connection ends: "FIN" or "RST". What comes before is not kept, because it may be huge."""
    with connect(tms) as connection:
        connection.sendall(sent)
        try:
            while connection.recv(1 << 20):
                pass
        except ConnectionResetError:
            return "RST"
        return "FIN"


def simulator_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "TMS simulator"}


def ask(tms: Simulator, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """The complete answer's status, headers and body."""
    head, _, body = wire(tms, sent).partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    return int(status_line.split()[1]), dict(line.split(": ", 1) for line in lines), body


def ask_json(tms: Simulator, sent: bytes) -> Any:
    status, headers, body = ask(tms, sent)
    assert (status, headers["Content-Type"], int(headers["Content-Length"])) == (200, "application/json", len(body))
    return json.loads(body)


def read(tms: Simulator, target: str) -> Any:
    return ask_json(tms, request("GET", target))
