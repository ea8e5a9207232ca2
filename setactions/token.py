"""The bearer token: in memory only, and hidden from everything that prints values."""

import re
from collections.abc import Sequence
from typing import Any

from setactions.refusal import Refusal

_VISIBLE_ASCII = re.compile(r"[!-~]{1,8192}")
# eyJ….….… anywhere in a run of its letters. The dots are looked for once, at the start of each run: begun at
# every eyJ, the search would take hours for megabytes of eyJeyJeyJ, and hold up every other thread.
_JWT = re.compile(r"(?<![\w-])(?=[\w-]++\.[\w-]+\.)[\w-]*eyJ[\w-]{5}", re.ASCII)
# Shorter ones are no secrets (tests and demos use them); looked for as a part of ids or field names
# they would hit ordinary text.
_SECRET_LENGTH = 16
REMOVED = "[token removed]"


class Token:
    """A bearer token whose repr, str and pickled form do not show it; `reveal()` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        """Take 1 to 8,192 visible ASCII characters; raises Refusal (400) for anything else."""
        if not isinstance(value, str) or not _VISIBLE_ASCII.fullmatch(value):
            raise Refusal(
                400, "token", "The token must have 1 to 8,192 visible ASCII characters without spaces. Copy it anew."
            )
        self._value = value

    def reveal(self) -> str:
        """Return the token itself. Only for the Authorization header and for sealing."""
        return self._value

    def __repr__(self) -> str:
        return "Token(hidden)"

    def __reduce__(self) -> Any:
        raise TypeError("A token is not pickled: it exists in memory only.")

    def is_among(self, cids: Sequence[str]) -> bool:
        """Tell whether one of `cids` is this token or holds it."""
        return self._value in cids or (len(self._value) >= _SECRET_LENGTH and self._value in "\n".join(cids))

    def cut_from(self, text: str) -> str:
        """Return `text` without this token."""
        return text.replace(self._value, REMOVED)

    def cut_from_name(self, name: str) -> str:
        """Return the name of a JSON field without this token, which short ones would garble."""
        return self.cut_from(name) if len(self._value) >= _SECRET_LENGTH else name


def looks_like_token(text: str) -> bool:
    """Tell whether `text` holds something in the shape of a JSON Web Token, which is never a customer id."""
    return _JWT.search(text) is not None
