"""HTTP/1.1 answers, written to the socket itself so that faults can break them at any byte."""

import json
import socket
import struct
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

JSON: Final = "application/json"
HTML: Final = "text/html"
TEXT: Final = "text/plain; charset=utf-8"

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_LINGER_0: Final = struct.pack("ii", 1, 0)


class Reply:
    """The answer to one request; every method may raise OSError when the caller is gone."""

    def __init__(self, connection: socket.socket, *, head_only: bool = False) -> None:
        """Prepare an answer; `head_only`: the request was a HEAD, whose answer has no body."""
        self._connection = connection
        self._head_only = head_only
        self.keeps_connection = True
        """Whether the connection stays open for a next request."""

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._connection.sendall(data)

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send a status line and headers; the body is the caller's business."""
        self.send(_head(status, headers))

    def respond(
        self, status: int, body: bytes, content_type: str = JSON, headers: Mapping[str, str] = _NO_HEADERS
    ) -> None:
        """Send a whole answer; statuses that HTTP allows no body (1xx, 204, 304) go without it."""
        if status < 200 or status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            self.start(status, headers)
            # A 1xx only announces an answer, and none will follow.
            self.keeps_connection = status >= 200
            return
        head = _head(status, {"Content-Type": content_type, "Content-Length": str(len(body)), **headers})
        self.send(head if self._head_only else head + body)

    def json(self, status: int, value: object) -> None:
        """Send a value as JSON; everything beyond ASCII goes as escapes, even lone surrogates."""
        self.respond(status, json.dumps(value).encode())

    def text(self, status: int, message: str) -> None:
        """Send a plain text."""
        self.respond(status, message.encode(), TEXT)

    def page(self, status: int, headers: Mapping[str, str] = _NO_HEADERS) -> None:
        """Send the HTML page that the gateway in front of TMS shows for a status."""
        self.respond(status, gateway_page(status), HTML, headers)

    def hang_up(self) -> None:
        """End the connection with a FIN, after whatever has been sent."""
        self.keeps_connection = False

    def reset(self) -> None:
        """End the connection with a RST."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        self.keeps_connection = False


def gateway_page(status: int) -> bytes:
    """Return the gateway's HTML page for a status."""
    title = f"{status} {_phrase(status)}"
    return f"<html>\n<head><title>{title}</title></head>\n<body><h1>{title}</h1></body>\n</html>\n".encode()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unassigned"
