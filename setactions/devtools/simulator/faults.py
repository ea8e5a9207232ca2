"""The table of faults. A call chooses one by its bearer token: ``fault:<name>`` or ``fault:<name>:<argument>``."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from . import effects
from .effects import BadArgumentError, Effect, Exchange, accept_with, answer_with, in_range
from .fleet import ACCEPTED
from .reply import HTML, Reply, gateway_page

_PREFIX: Final = "fault:"
_NOT_READY: Final = b'{"message": "TMS bootstrap status(INIT) is not Ready", "success": false}'
_NASTY_TEXT: Final = "\r\n\t\x00\x07\x1b[31m<script>alert(1)</script>\u202e\ud800"
_NASTY_MESSAGE: Final = f"{ACCEPTED['message']}{_NASTY_TEXT}"
# Summaries that are too long for a row of the table.
_HTTP: Final = "status CODE with the gateway's page, and RETRY as Retry-After"
_TIMEOUT: Final = "no answer for SECONDS (3600), then the connection closes"
_ECHO: Final = "refused with a message that holds the token"
_EXTRA: Final = "applied; accepted with additional fields and a message full of nasty characters"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave."""

    name: str
    argument: str
    """How the argument is written after the name, in brackets where it may be left out; empty for none."""
    summary: str
    effect: Effect

    def strike(self, exchange: Exchange, argument: str) -> None:
        """Answer the call in this fault's way, or with a 400 when the argument makes no sense.

        Raise OSError when the connection ends under way.
        """
        try:
            if argument and not self.argument:
                raise BadArgumentError("it takes no argument")
            self.effect(exchange, argument)
        except BadArgumentError as error:
            exchange.reply.text(400, f"Bad argument, {error}: {self.usage}\n")

    @property
    def usage(self) -> str:
        """The token that chooses this fault."""
        return f"{_PREFIX}{self.name}{self.argument}"


def _both(names: str, argument: str, summary: str, effect: Callable[..., None], how: str = "applied") -> list[Fault]:
    """Return two faults that differ only in whether the call is applied: first not, then `how`."""
    without, name = names.split()
    return [
        Fault(without, argument, f"{summary}; not applied", partial(effect, applied=False)),
        Fault(name, argument, f"the same, but {how}", partial(effect, applied=True)),
    ]


def _every(exchange: Exchange, argument: str) -> None:
    """Have the fault that is named after a number, if the call is one of its multiples; calls are counted from 1."""
    number, _, name = argument.partition(":")
    is_struck = exchange.call.number % in_range(int, number, 1, 1_000_000) == 0
    fault, rest = choose_fault(f"{_PREFIX}{name}" if is_struck else "")
    fault.strike(exchange, rest)


_TABLE: Final = (
    Fault("unauthorized", "", "401, the token is not valid", effects.unauthorized),
    Fault("not-ready", "", "refused, TMS is still starting", answer_with(_NOT_READY, applied=False)),
    Fault("unknown-ids", "[:N]", "refused, the first N (1) customers do not exist", effects.unknown_ids),
    *_both("http http-applied", ":CODE[:RETRY]", _HTTP, effects.http_page),
    Fault("http-json", ":CODE", "status CODE with JSON that claims success; not applied", effects.http_json),
    Fault("created", "", "applied; 201 instead of 200", partial(effects.ordinary, status=201)),
    *_both("timeout timeout-applied", "[:SECONDS]", _TIMEOUT, effects.hang, "applied at once"),
    Fault("slow", ":SECONDS", "waits SECONDS, then applies and answers", effects.slow),
    Fault("body-drip", "[:SECONDS]", "applied; a correct body, one byte every SECONDS (0.2)", effects.body_drip),
    Fault("header-drip", "[:SECONDS]", "applied; endless headers, one byte every SECONDS (0.2)", effects.header_drip),
    *_both("reset-before reset-after", "", "TCP reset without an answer", partial(effects.end, how=Reply.reset)),
    *_both("close-before close-after", "", "closes without an answer", partial(effects.end, how=Reply.hang_up)),
    Fault("half-body", "", "applied; closes after half of the promised body", effects.half_body),
    Fault("broken-json", "", "applied; a body that is cut-off JSON", answer_with(b'{"message": "Sending act')),
    Fault("html", "", "applied; 200 with an HTML page", answer_with(gateway_page(200), HTML)),
    Fault("empty-list", "", "applied; the body is []", answer_with(b"[]")),
    Fault("null", "", "applied; the body is null", answer_with(b"null")),
    Fault("empty-object", "", "applied; the body is {}", answer_with(b"{}")),
    Fault("success-string", "", 'applied; success is the text "false"', accept_with(success="false")),
    Fault("success-string-true", "", 'applied; success is the text "true"', accept_with(success="true")),
    Fault("nan", "", "applied; success is NaN", answer_with(b'{"success": NaN}')),
    Fault("no-body", "", "applied; 200 with an empty body", answer_with(b"")),
    Fault("huge", "", "applied; a JSON body of 200 MB", effects.huge),
    Fault("gzip-bomb", "", "applied; a small gzip body of 200 MB of JSON", effects.gzip_bomb),
    Fault("deep-json", "", "applied; 100,000 nested lists", answer_with(b"[" * 100_000 + b"]" * 100_000)),
    Fault("redirect", "[:CODE]", f"status CODE (302) to {effects.REDIRECTED_PATH}; not applied", effects.redirect),
    *_both("echo-token echo-token-accepted", "[:TEXT]", _ECHO, effects.echo_token),
    Fault("every", ":N:FAULT", "every Nth call has this FAULT, the others none", _every),
    Fault("extra-accepted", "", _EXTRA, accept_with(message=_NASTY_MESSAGE, taskId=7, details={"queued": [None]})),
)

FAULTS: Final = {fault.name: fault for fault in _TABLE}
"""All faults by name."""


def describe_faults() -> str:
    """Return one line for each fault: the token that chooses it, and what happens."""
    width = max(len(fault.usage) for fault in _TABLE)
    return "\n".join(f"{fault.usage:{width}}  {fault.summary}" for fault in _TABLE)


def choose_fault(token: str) -> tuple[Fault, str]:
    """Return the fault that a token chooses, and its argument.

    A token that is no ``fault:...`` chooses ordinary behaviour, and a fault that does not exist is refused with
    a 400 that names those that do, so that a typing error in a test is noticed. Both have the empty name.
    """
    if not token.startswith(_PREFIX):
        return _NO_FAULT, ""
    name, _, argument = token.removeprefix(_PREFIX).partition(":")
    return FAULTS.get(name, _UNKNOWN_FAULT), argument


def _refuse_unknown(exchange: Exchange, _argument: str) -> None:
    exchange.reply.text(400, f"Unknown fault. The known ones are:\n{describe_faults()}\n")


_NO_FAULT: Final = Fault("", "", "as TMS answers", effects.ordinary)
_UNKNOWN_FAULT: Final = Fault("", "[:TEXT]", "400", _refuse_unknown)
