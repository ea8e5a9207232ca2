"""One request over HTTP to an address that an administrator named, and its answer.

No redirect is followed, nothing is taken from the environment, and the other side may neither take its time nor send
much.
"""

import socket
import ssl
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from typing import NamedTuple
from urllib.parse import urlsplit

from django.views.decorators.debug import sensitive_variables


class Answer(NamedTuple):
    """A status, and at most as many bytes of the body as were asked for."""

    status: int
    body: bytes


class TooLongError(HTTPException):
    """The answer has more bytes than were asked for."""


@sensitive_variables()
def exchange(
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes | None = None,
    *,
    context: ssl.SSLContext,
    connect_s: float,
    deadline_s: float,
    max_bytes: int = 0,
) -> Answer:
    """Send one request and return the answer, whose body is not read if `max_bytes` is 0.

    `connect_s` is for each address of the host and each step of the handshake, `deadline_s` for request and answer.
    Raises TimeoutError, OSError, HTTPException and TooLongError, which is one.
    """
    parts = urlsplit(url)
    if parts.scheme == "https":
        connection: HTTPConnection = HTTPSConnection(
            parts.hostname or "", parts.port, timeout=connect_s, context=context
        )
    else:
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=connect_s)
    is_over = threading.Event()
    try:
        connection.connect()
        connection.sock.settimeout(deadline_s)
        deadline = threading.Timer(deadline_s, _shut_down, (connection.sock, is_over))  # ends slow drips, too
        deadline.daemon = True
        deadline.start()
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read(max_bytes + 1) if max_bytes else b""
        finally:
            deadline.cancel()
            if is_over.is_set():  # whatever it looks like: half an answer may look like a whole one
                raise TimeoutError
    finally:
        connection.close()
    if len(content) > max_bytes:
        raise TooLongError(f"more than {max_bytes} bytes")
    if max_bytes and response.length:
        raise IncompleteRead(b"", response.length)
    return Answer(response.status, content)


def _shut_down(connection: socket.socket, is_over: threading.Event) -> None:
    is_over.set()
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
