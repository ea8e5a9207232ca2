"""Reads of TMS: one way for all of them, at a pace that the clusters bear.

All processes of the site together read a cluster TMS_READS_PER_MINUTE times a minute at most, and leave it alone for as
long as it asked for. A failed read is an error with its reason, and never a state of a customer.
"""

import math
import re
import time
from typing import Any

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from audit.choices import Kind
from jobs.live.codes import NO_ACTION, UNREADABLE
from jobs.live.pace import leave_alone, take_read
from setactions.inputs.ids import MAX_LENGTH
from setactions.limits import call_slot, read_slot
from setactions.refusal import Refusal
from setactions.tms import client
from setactions.tms.clusters import Call, Cluster, Target
from setactions.tms.replies import Reply
from setactions.token import Token
from tmsdash.db.transactions import drop_if_broken
from tmsdash.text import counted, one_line
from tmsdash.tokens import looks_like_token

ALL = "ALL"
GREATEST_CODE = (1 << 15) - 1  # that the databases take
_SURROGATE = re.compile("[\ud800-\udfff]")
BACKGROUND_SHARE = 2  # reads in the background keep to a half of the pace: people who wait come first
LEFT_ALONE_AT_MOST_S = 3600  # a gateway that asks for more, by a wrong date perhaps, is read again after this
BUSY_S = 30  # for which a cluster is left alone that was asked too often and does not say for how long


class ReadingFailedError(Exception):
    """There is no reading. The text says why, as a sentence; `bad_token` tells whether another token may help,
    `timed_out` whether it took too long.
    """

    def __init__(
        self, message: str, *, bad_token: bool = False, http_status: int | None = None, timed_out: bool = False
    ) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.bad_token = bad_token
        self.http_status = http_status


class TooSoon(Refusal):
    """A cluster must not be read now, but in `wait_s` seconds."""

    def __init__(self, cluster: Cluster, wait_s: int) -> None:
        step = f"Wait {counted(wait_s, 'second')}, then try again."
        super().__init__(503, "request", f"{cluster.name} was read too often, or asked to be left alone. {step}")
        self.wait_s = wait_s


def background_reads_per_minute() -> int:
    """Return up to how many reads a minute, all readers together, one in the background may be among them."""
    return max(1, int(settings.TMS_READS_PER_MINUTE) // BACKGROUND_SHARE)


@sensitive_variables("token")
def read(target: Target, token: Token, *, wait_s: float = 0, in_background: bool = False) -> Reply:
    """Read once, as soon as the cluster may be read.

    Raises TooSoon if that is not within `wait_s` seconds, and Refusal (503) if the dashboard is busy. A read
    `in_background` is made only while the cluster was read less than half as often as it may be.
    """
    with read_slot(), call_slot():
        per_minute = background_reads_per_minute() if in_background else settings.TMS_READS_PER_MINUTE
        _await_turn(target.cluster, wait_s, per_minute)
        reply = client.read(target, token)
    asked_s = BUSY_S if reply.http_status == 429 and reply.retry_after_s is None else reply.retry_after_s
    if asked_s and reply.http_status in (429, 503):
        with drop_if_broken("jobs", raising=_unwritable):
            leave_alone(target.cluster.origin, min(asked_s, LEFT_ALONE_AT_MOST_S))
    return reply


@sensitive_variables("token")
def read_codes(cluster: Cluster, asked: str, token: Token, *, wait_s: float = 0) -> dict[str, int]:
    """Return the codes that `get/action` lists, by customer, for ALL or one customer id.

    Raises ReadingFailedError, and Refusal (503) as `read` does.
    """
    reply = read(Target(cluster, Call.GET_ACTION, (("cid", asked),)), token, wait_s=wait_s)
    if not reply.ok:
        raise failed(cluster, reply)
    return codes_in(reply.data, cluster)


def failed(cluster: Cluster, reply: Reply) -> ReadingFailedError:
    """Return the error for a read that TMS did not answer as it should."""
    bad_token = reply.http_status in (401, 403)
    step = "Use a token that is valid there." if bad_token else _when_to_try_again(reply)
    said = one_line(reply.message) if reply.kind == Kind.NOT_SENT else f"{one_line(reply.message, 300)} {step}"
    message = f"{cluster.name} could not be read: {said}"
    return ReadingFailedError(message, bad_token=bad_token, http_status=reply.http_status, timed_out=reply.timed_out)


def _when_to_try_again(reply: Reply) -> str:
    if reply.http_status in (429, 503) and reply.retry_after_s:
        return f"It asks to be left alone: wait {counted(math.ceil(reply.retry_after_s), 'second')}, then try again."
    return "Try again later."


def _await_turn(cluster: Cluster, wait_s: float, per_minute: int) -> None:
    end = time.monotonic() + wait_s
    while True:
        with drop_if_broken("jobs", raising=_unwritable):
            left_s = take_read(cluster.origin, per_minute)
        if not left_s:
            return
        if time.monotonic() + left_s > end:
            raise TooSoon(cluster, left_s)
        time.sleep(left_s)  # until the cluster may be read again, which no event tells


def _unwritable(_: Exception) -> Refusal:
    return Refusal(503, "request", "The jobs database cannot be written, so nothing was read. Try again in a minute.")


def codes_in(data: Any, cluster: Cluster, *, answer: str = "") -> dict[str, int]:
    """Return the codes in an answer to get/action, which must be a list of actions throughout.

    A customer that is not listed counts as one without an action, so that an error message in the
    place of the list must never pass for a list. Raises ReadingFailedError, which names it the cluster's `answer`
    unless something else is given.
    """
    answer = answer or f"{cluster.name} could not be read: its answer"
    codes: dict[str, int] = {}
    for cid, entry in data.items() if isinstance(data, dict) else [("", None)]:
        if not isinstance(entry, dict) or "action_code" not in entry:
            raise ReadingFailedError(f"{answer} is not a list of customers' actions.")
        if not _is_storable(cid):
            raise ReadingFailedError(f"{answer} lists something that cannot be a customer id.")
        code = entry["action_code"]
        codes[cid] = code if type(code) is int and NO_ACTION <= code <= GREATEST_CODE else UNREADABLE
    return codes


def _is_storable(cid: str) -> bool:
    """Tell whether the databases take `cid` as an id, and it is no secret; TMS may list more than we would send."""
    if cid.isascii() and cid.isalnum() and len(cid) <= MAX_LENGTH:
        return True  # nearly all of a fleet
    is_text = 1 <= len(cid) <= MAX_LENGTH and "\0" not in cid and not _SURROGATE.search(cid)
    return is_text and not looks_like_token(cid)
