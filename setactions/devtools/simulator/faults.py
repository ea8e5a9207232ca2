"""The table of faults. A call chooses one by its bearer token: ``fault:<name>`` or ``fault:<name>:<argument>``."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from . import effects
from .effects import BadArgumentError, Effect, answer_with, answer_with_json
from .exchange import Exchange
from .fleet import ACCEPTED_MESSAGE
from .reply import HTML, gateway_page

_PREFIX: Final = "fault:"
_NESTED_LISTS: Final = 100_000
_NASTY_TEXT: Final = "\r\n\t\x00\x07\x1b[31m<script>alert(1)</script>\u202e\ud800"


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


_TABLE: Final = (
    Fault("unauthorized", "", "401, the token is not valid", effects.unauthorized),
    Fault(
        "not-ready",
        "",
        "refused, TMS is still starting",
        answer_with_json({"message": "TMS bootstrap status(INIT) is not Ready", "success": False}, applied=False),
    ),
    Fault("unknown-ids", "[:N]", "refused, the first N (1) customers do not exist", effects.unknown_ids),
    Fault(
        "http",
        ":CODE[:RETRY]",
        "status CODE with the gateway's page, and RETRY as Retry-After; not applied",
        partial(effects.http_page, applied=False),
    ),
    Fault("http-applied", ":CODE[:RETRY]", "the same, but applied", partial(effects.http_page, applied=True)),
    Fault("http-json", ":CODE", "status CODE with JSON that claims success; not applied", effects.http_json),
    Fault("created", "", "applied; 201 instead of 200", partial(effects.ordinary, status=201)),
    Fault(
        "timeout",
        "[:SECONDS]",
        "no answer for SECONDS (3600), then the connection closes; not applied",
        partial(effects.hang, applied=False),
    ),
    Fault("timeout-applied", "[:SECONDS]", "the same, but applied at once", partial(effects.hang, applied=True)),
    Fault("slow", ":SECONDS", "waits SECONDS, then applies and answers", effects.slow),
    Fault("body-drip", "[:SECONDS]", "applied; a correct body, one byte every SECONDS (0.2)", effects.body_drip),
    Fault("header-drip", "[:SECONDS]", "applied; endless headers, one byte every SECONDS (0.2)", effects.header_drip),
    Fault("reset-before", "", "TCP reset without an answer; not applied", partial(effects.reset, applied=False)),
    Fault("reset-after", "", "the same, but applied", partial(effects.reset, applied=True)),
    Fault("close-before", "", "closes without an answer; not applied", partial(effects.hang_up, applied=False)),
    Fault("close-after", "", "the same, but applied", partial(effects.hang_up, applied=True)),
    Fault("half-body", "", "applied; closes after half of the promised body", effects.half_body),
    Fault("broken-json", "", "applied; a body that is cut-off JSON", answer_with(b'{"message": "Sending act')),
    Fault("html", "", "applied; 200 with an HTML page", answer_with(gateway_page(200), HTML)),
    Fault("empty-list", "", "applied; the body is []", answer_with_json([])),
    Fault("null", "", "applied; the body is null", answer_with_json(None)),
    Fault("empty-object", "", "applied; the body is {}", answer_with_json({})),
    Fault(
        "success-string",
        "",
        'applied; success is the text "false"',
        answer_with_json({"message": ACCEPTED_MESSAGE, "success": "false"}),
    ),
    Fault(
        "success-string-true",
        "",
        'applied; success is the text "true"',
        answer_with_json({"message": ACCEPTED_MESSAGE, "success": "true"}),
    ),
    Fault("nan", "", "applied; success is NaN", answer_with_json({"success": float("nan")})),
    Fault("no-body", "", "applied; 200 with an empty body", answer_with(b"")),
    Fault("huge", "", "applied; a JSON body of 200 MB", effects.huge),
    Fault("gzip-bomb", "", "applied; a small gzip body of 200 MB of JSON", effects.gzip_bomb),
    Fault("deep-json", "", "applied; 100,000 nested lists", answer_with(b"[" * _NESTED_LISTS + b"]" * _NESTED_LISTS)),
    Fault("redirect", "[:CODE]", f"status CODE (302) to {effects.REDIRECTED_PATH}; not applied", effects.redirect),
    Fault(
        "echo-token",
        "[:TEXT]",
        "refused with a message that holds the token; not applied",
        partial(effects.echo_token, accepted=False),
    ),
    Fault("echo-token-accepted", "[:TEXT]", "the same, but applied", partial(effects.echo_token, accepted=True)),
    Fault(
        "extra-accepted",
        "",
        "applied; accepted with additional fields and a message full of nasty characters",
        answer_with_json(
            {"message": f"{ACCEPTED_MESSAGE}{_NASTY_TEXT}", "success": True, "taskId": 7, "details": {"queued": [None]}}
        ),
    ),
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
