"""What TMS's answer means. Pure functions from what came over the wire to a kind of event.

- What never left this machine is NOT_SENT.
- Only a boolean `success: true` under HTTP 200 or 201 is ACCEPTED.
- Only a boolean `success: false` under these, or a 4xx other than 408, is REJECTED.
- Everything else is UNKNOWN, and nobody may call it success or failure.
"""

import math
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Any

from django.conf import settings
from django.utils import timezone

from audit.bodies import OutcomeBody
from audit.choices import Kind
from setactions.token import Token
from tmsdash import strict_json
from tmsdash.tokens import REMOVED

MAX_VALUES = 500_000  # in an answer: a fleet's have 100,000, and millions of empty lists fill the memory
MAX_DEPTH = 32  # of nested lists and objects in an answer; TMS's own have two


class Failure(Enum):
    """Why there is no whole answer."""

    TIMEOUT = auto()
    CONNECTION = auto()
    CUT_SHORT = auto()
    TOO_LONG = auto()
    UNREADABLE = auto()


@dataclass
class Answer:
    """What came over the wire: whether the request left, the status and body as far as they arrived.

    `detail` is the technical reason of a `failure`; if the request did not leave, the whole sentence of why.
    """

    sent: bool
    http_status: int | None = None
    body: bytes = b""
    failure: Failure | None = None
    detail: str = ""
    duration_s: float = 0.0
    retry_after: str = ""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What an answer means. `kind` is ACCEPTED, REJECTED, NOT_SENT or UNKNOWN; that of a read is never ACCEPTED.

    `ok` tells whether TMS did what was asked for: took the Set Action, or gave in `data` what was to be read.
    `message` is TMS's own, or ours if it sent none; `data` is TMS's JSON; neither holds the token. `retry_after_s` is
    how many seconds TMS asked to be left alone (Retry-After), if it did.
    """

    kind: Kind
    ok: bool
    message: str
    http_status: int | None
    data: Any
    timed_out: bool
    duration_s: float
    retry_after_s: int | None = None

    @property
    def body(self) -> OutcomeBody:
        """The body of the event that keeps it."""
        return {
            "data": self.data,
            "duration_ms": round(self.duration_s * 1000),
            "retry_after_s": self.retry_after_s,
            "http_status": self.http_status,
            "message": self.message,
            "timed_out": self.timed_out,
        }


def classify(answer: Answer, token: Token) -> Reply:
    """Return what `answer` to a Set Action means."""
    value, problem = _json_of(answer, token)
    kind = _kind_of(answer, value, problem)
    return _reply(answer, kind, value, problem, ok=kind == Kind.ACCEPTED)


def classify_read(answer: Answer, token: Token) -> Reply:
    """Return what `answer` to a read means: only whole JSON under HTTP 200 is a reading."""
    value, problem = _json_of(answer, token)
    return _reply(answer, _kind_of(answer, None, problem), value, problem, ok=answer.http_status == 200 and not problem)


def _reply(answer: Answer, kind: Kind, value: Any, problem: str, *, ok: bool) -> Reply:
    return Reply(
        kind=kind,
        ok=ok,
        message=_message_of(value) or _our_message(answer, kind, problem),
        http_status=answer.http_status,
        data=value,
        timed_out=answer.failure is Failure.TIMEOUT,
        duration_s=answer.duration_s,
        retry_after_s=_retry_after_s(answer.retry_after),
    )


def _retry_after_s(text: str) -> int | None:
    """Return the seconds of a Retry-After header, which holds a number or a date; None if it holds neither."""
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):  # TMS's gateway may send anything
        return None
    return max(0, math.ceil((until - timezone.now()).total_seconds())) if until.tzinfo else None


def _kind_of(answer: Answer, value: Any, problem: str) -> Kind:
    if not answer.sent:
        return Kind.NOT_SENT
    status = answer.http_status
    if status is None:
        return Kind.UNKNOWN
    if (400 <= status <= 499 and status != 408) or (status == 503 and settings.TMS_503_NOT_APPLIED):
        return Kind.REJECTED  # the status line says it all, whatever became of the body
    success = value.get("success") if status in (200, 201) and not problem and isinstance(value, dict) else None
    if success is True:
        return Kind.ACCEPTED
    return Kind.REJECTED if success is False else Kind.UNKNOWN


def _json_of(answer: Answer, token: Token) -> tuple[Any, str]:
    """Return the body's JSON made fit to keep, and what is wrong with it (empty if nothing is)."""
    if answer.failure is not None:
        return None, "no whole answer"
    if sum(answer.body.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        return None, "made of too many values"
    try:
        return _storable(strict_json.loads(answer.body), token), ""
    except ValueError:
        return None, "not JSON"


def _storable(value: Any, token: Token, depth: int = 0) -> Any:
    """Return `value`, changed in place, without the token and without characters that a database cannot hold."""
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        text = token.cut_from(value).replace("\0", "\ufffd")
        return text.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        for number, item in enumerate(value):
            value[number] = _storable(item, token, depth + 1)
    elif type(value) in (int, float) and token.is_among([str(value)]):
        return REMOVED
    elif isinstance(value, dict):
        for name in list(value):
            value[_storable_name(name, token)] = _storable(value.pop(name), token, depth + 1)
    return value


def _storable_name(name: str, token: Token) -> str:
    return token.cut_from_name(name).replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _message_of(value: Any) -> str:
    message = value.get("message") if isinstance(value, dict) else None
    return message if isinstance(message, str) else ""


def _our_message(answer: Answer, kind: Kind, problem: str) -> str:
    if not answer.sent:
        return answer.detail
    if answer.failure is Failure.TIMEOUT:
        return f"TMS did not answer in time: {answer.detail}."
    if answer.failure is Failure.UNREADABLE:
        return f"TMS's answer could not be read here ({answer.detail})."
    if answer.http_status is None:
        return f"The connection broke before TMS answered ({answer.detail})."
    if answer.http_status not in (200, 201):
        return f"HTTP {answer.http_status} without a message."
    if answer.failure is Failure.TOO_LONG:
        return f"TMS's answer was too long: {answer.detail}."
    if answer.failure is Failure.CUT_SHORT:
        return f"TMS's answer was cut short ({answer.detail})."
    if kind != Kind.UNKNOWN:
        return "TMS gave no message."
    return f"TMS's answer was {problem}." if problem else "TMS's answer did not say whether it succeeded."
