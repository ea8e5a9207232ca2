"""What each fault does to a call and to its connection. The table of faults is in `faults`."""

import json
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar
from uuid import uuid4

from .calls import Call
from .fleet import ACCEPTED, unknown_ids_refusal
from .reply import JSON, Reply
from .state import WaitingRoom


@dataclass(frozen=True, slots=True)
class Exchange:
    """A call that was understood and recorded, but is neither applied nor answered yet."""

    call: Call
    token: str
    reply: Reply
    waiting_room: WaitingRoom
    carry_out: Callable[[], object]
    """Does what the call asks for, and returns TMS's answer as a JSON value. A set/action that is accepted
    changes the customers' state and marks the call as applied; a read only reads."""


Effect = Callable[[Exchange, str], None]
"""Answers a call, or does not; the text is the fault's argument. Raises BadArgumentError before anything is applied."""

Number = TypeVar("Number", int, float)

REDIRECTED_PATH: Final = "/tms/v1/redirected"

_FOREVER_S: Final = 3600.0
_DAY_S: Final = 86400.0
_DRIP_S: Final = 0.2
_LEAST_DRIP_S: Final = 0.001
_DRIPPED_BODY_S: Final = 90.0
_MEBIBYTE: Final = 1 << 20
_HUGE_MEBIBYTES: Final = 200
_HUGE_HEAD: Final = b'{"message": "'
_HUGE_TAIL: Final = b'", "success": true}'


class BadArgumentError(ValueError):
    """A fault's argument is missing or makes no sense."""


def ordinary(exchange: Exchange, _argument: str, *, status: int = 200) -> None:
    """Answer as TMS does."""
    exchange.reply.json(status, exchange.carry_out())


def unauthorized(exchange: Exchange, _argument: str) -> None:
    """Answer that the token is missing or not valid."""
    answer = {
        "errorCode": "HPE_GL_NETWORKING_ERROR_UNAUTHORIZED",
        "httpStatusCode": 401,
        "message": "Invalid access token",
        "debugId": uuid4().hex,
    }
    exchange.reply.json(401, answer)


def unknown_ids(exchange: Exchange, argument: str) -> None:
    """Refuse the whole list and name its first customers."""
    count = in_range(int, argument, 1, 1_000_000, default=1)
    exchange.reply.json(200, unknown_ids_refusal(exchange.call.cids[:count]))


def answer_with(body: bytes, content_type: str = JSON, *, applied: bool = True) -> Effect:
    """Make an effect that answers 200 with this body, after carrying the call out or instead of it."""

    def effect(exchange: Exchange, _argument: str) -> None:
        if applied:
            exchange.carry_out()
        exchange.reply.respond(200, body, content_type)

    return effect


def accept_with(**fields: object) -> Effect:
    """The same with TMS's usual answer, but with these fields in it."""
    return answer_with(json.dumps(ACCEPTED | fields).encode())


def http_page(exchange: Exchange, argument: str, *, applied: bool) -> None:
    """Answer with a status and the gateway's page; the argument is `CODE` or `CODE:RETRY`."""
    code, _, retry_after = argument.partition(":")
    status = in_range(int, code, 100, 599)
    if applied:
        exchange.carry_out()
    exchange.reply.page(status, {"Retry-After": retry_after} if retry_after else {})


def http_json(exchange: Exchange, argument: str) -> None:
    """Answer with a status and a JSON body that claims success."""
    status = in_range(int, argument, 100, 599)
    exchange.reply.json(status, ACCEPTED)


def redirect(exchange: Exchange, argument: str) -> None:
    """Send the caller to a path where everything seems to be accepted and nothing is applied."""
    status = in_range(int, argument, 300, 399, default=302)
    exchange.reply.page(status, {"Location": REDIRECTED_PATH})


def echo_token(exchange: Exchange, _argument: str, *, applied: bool) -> None:
    """Answer with a message that holds the caller's secret."""
    if applied:
        exchange.carry_out()
    exchange.reply.json(200, {"message": f"Token {exchange.token} seen", "success": applied})


def slow(exchange: Exchange, argument: str) -> None:
    """Answer late."""
    exchange.waiting_room.wait(in_range(float, argument, 0.0, _DAY_S))
    ordinary(exchange, "")


def hang(exchange: Exchange, argument: str, *, applied: bool) -> None:
    """Let the caller wait, and in the end hang up."""
    seconds = in_range(float, argument, 0.0, _DAY_S, default=_FOREVER_S)
    if applied:
        exchange.carry_out()
    exchange.waiting_room.wait(seconds)
    exchange.reply.hang_up()


def end(exchange: Exchange, _argument: str, *, applied: bool, how: Callable[[Reply], None]) -> None:
    """End the connection without an answer."""
    if applied:
        exchange.carry_out()
    how(exchange.reply)


def half_body(exchange: Exchange, _argument: str) -> None:
    """Hang up in the middle of the answer."""
    body = json.dumps(exchange.carry_out()).encode()
    _start_json(exchange, len(body))
    exchange.reply.send(body[: len(body) // 2])
    exchange.reply.hang_up()


def body_drip(exchange: Exchange, argument: str) -> None:
    """Send the answer so slowly that it lasts over a minute, unless it is released."""
    seconds = in_range(float, argument, _LEAST_DRIP_S, _DAY_S, default=_DRIP_S)
    # Padded in front: nothing of the answer can be read from the part that a hurried caller waits for.
    padding = b" " * math.ceil(_DRIPPED_BODY_S / seconds)
    body = padding + json.dumps(exchange.carry_out()).encode()
    _start_json(exchange, len(body))
    for position in range(len(body)):
        exchange.reply.send(body[position : position + 1])
        exchange.waiting_room.wait(seconds)


def header_drip(exchange: Exchange, argument: str) -> None:
    """Send headers slowly and without end, until released; then hang up."""
    seconds = in_range(float, argument, _LEAST_DRIP_S, _DAY_S, default=_DRIP_S)
    exchange.carry_out()
    exchange.reply.send(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    while not exchange.waiting_room.is_released:
        exchange.reply.send(b".")
        exchange.waiting_room.wait(seconds)
    exchange.reply.hang_up()


def huge(exchange: Exchange, _argument: str) -> None:
    """Send an endless-looking answer, piece by piece."""
    exchange.carry_out()
    _start_json(exchange, len(_HUGE_HEAD) + _HUGE_MEBIBYTES * _MEBIBYTE + len(_HUGE_TAIL))
    for piece in _huge_json():
        exchange.reply.send(piece)


def gzip_bomb(exchange: Exchange, _argument: str) -> None:
    """Send the same answer in a compressed form that is a thousand times smaller."""
    exchange.carry_out()
    exchange.reply.respond(200, _gzipped_huge_json(), headers={"Content-Encoding": "gzip"})


def _huge_json() -> Iterator[bytes]:
    yield _HUGE_HEAD
    filling = b"x" * _MEBIBYTE
    for _ in range(_HUGE_MEBIBYTES):
        yield filling
    yield _HUGE_TAIL


@cache
def _gzipped_huge_json() -> bytes:
    compressor = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)  # 16: with a gzip header
    return b"".join([*map(compressor.compress, _huge_json()), compressor.flush()])


def _start_json(exchange: Exchange, length: int) -> None:
    exchange.reply.start(200, {"Content-Type": JSON, "Content-Length": str(length)})


def in_range(convert: type[Number], text: str, least: Number, most: Number, *, default: Number | None = None) -> Number:
    if not text and default is not None:
        return default
    try:
        number = convert(text)
    except ValueError:
        raise BadArgumentError(f"{text!r} is no number") from None
    if not least <= number <= most:
        raise BadArgumentError(f"{text} is not between {least} and {most}")
    return number
