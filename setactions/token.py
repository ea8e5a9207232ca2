"""The bearer token: in memory only, and hidden from everything that prints values."""

import base64
import json
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from setactions.refusal import Refusal
from tmsdash.clocks import CLOCK_SKEW_S
from tmsdash.tokens import REMOVED
from tmsdash.web.template_filters import written_time

_VISIBLE_ASCII = re.compile(r"[!-~]{1,8192}")
# Shorter ones are not secrets (tests and demos use them), and as a part of ids or names of fields they would match
# ordinary text.
_SECRET_LENGTH = 16
_LATEST_EXPIRY = 1 << 36  # in the year 4147; a later one is no time in seconds


AMONG_IDS = "The bearer token is among the customer ids. Take it out of the list."


class TokenAmongIds(Refusal):
    """The bearer token stands among the customer ids: a list that is neither kept nor shown again."""


class Token:
    """A bearer token whose repr, str and pickled form do not show it; `reveal()` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        """Take 1 to 8,192 visible ASCII characters; raises Refusal (400) for anything else."""
        if not isinstance(value, str) or not _VISIBLE_ASCII.fullmatch(value):
            raise Refusal(
                400, "token", "The token must have 1 to 8,192 visible ASCII characters without spaces. Copy it again."
            )
        self._value = value

    def reveal(self) -> str:
        """Return the token itself. Only for the Authorization header and for sealing."""
        return self._value

    @property
    def expires_at(self) -> float | None:
        """When it expires, in seconds since 1970, if it is a JSON Web Token that says so."""
        try:
            _, payload, _ = self._value.split(".")
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            expires_at = claims["exp"]
        except (ValueError, KeyError, TypeError, RecursionError):  # most are none
            return None
        is_time = type(expires_at) in (int, float) and 0 < expires_at < _LATEST_EXPIRY
        return float(expires_at) if is_time else None

    def check_not_expired(self) -> None:
        """Raise Refusal (400) if it says that it has expired, by more than clocks may differ: TMS would refuse it."""
        expires_at = self.expires_at
        if expires_at is not None and time.time() - expires_at > CLOCK_SKEW_S:
            at = written_time(datetime.fromtimestamp(expires_at, UTC))
            raise Refusal(400, "token", f"This token expired at {at}. Get a new one.")

    def __repr__(self) -> str:
        return "Token(hidden)"

    def __reduce__(self) -> Any:
        raise TypeError("A token is not pickled: it exists in memory only.")

    def is_among(self, cids: Sequence[str]) -> bool:
        """Tell whether one of `cids` is this token or holds it."""
        return self._value in cids or (len(self._value) >= _SECRET_LENGTH and self._value in "\n".join(cids))

    def is_within(self, text: str) -> bool:
        """Tell whether `text` is this token or holds it."""
        return self.is_among([text])

    def check_not_among(self, cids: Sequence[str]) -> None:
        """Raise TokenAmongIds (400) if one of `cids` is this token or holds it: ids are kept, and a token never is."""
        if self.is_among(cids):
            raise TokenAmongIds(400, "cids", AMONG_IDS)

    def cut_from(self, text: str) -> str:
        """Return `text` without this token."""
        return text.replace(self._value, REMOVED)

    def cut_from_name(self, name: str) -> str:
        """Return the name of a JSON field without this token, which short ones would garble."""
        return self.cut_from(name) if len(self._value) >= _SECRET_LENGTH else name
