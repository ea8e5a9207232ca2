"""Tokens as people paste them: taken for what they are, or refused with the reason.

1. Quotes, `Bearer`, the name of the header or of the field, the JSON of a token endpoint and line ends come along when
   a token is copied. They are no part of it, and are taken off.
2. What could be two tokens, or none, is refused.
3. A token that says of itself that it has expired is refused: TMS would refuse it, after some seconds.
4. So is the user's own password, which browsers fill in where they see a field for a password. It would be shown to
   whoever runs the cluster.

JSON takes a token as it is, or refuses it, and lets TMS judge it: a script's is not filled in by a browser, and hashing
it, to compare it with a password, would take longer than everything else that its request takes.
"""

import json
import re
from typing import Any

from django.contrib.auth.hashers import check_password
from django.views.decorators.debug import sensitive_variables

from setactions.refusal import Refusal
from setactions.token import Token
from tmsdash.rates import Rate

# A password may be longer, but hardly any is, while a web token is never as short. So most tokens cost no hashing.
LONGEST_PASSWORD = 64
# Somebody who has got at a session can guess here, and no guess ends it, as on pages that ask for the password: so only
# a few a minute are compared. A password has 12 characters at least.
COMPARED_PER_MINUTE = 5
_compared = Rate("own password")

_LONGEST_TEXT = 64 << 10
_LAYERS = 6  # such as the JSON of an endpoint, its string in quotes, and `Bearer` within
_BLANKS = " \t\r\n\f\v\u00a0\u200b\u2060\ufeff"
_QUOTED = re.compile(r"([\"'`“‘«])(.*)[\"'`”’»][,;]?", re.DOTALL)
_HEADER = re.compile(r"(authorization\s*[:=]\s*)?bearer(\s+|(?=eyJ)|$)|authorization\s*[:=]\s*", re.IGNORECASE)
_FIELD = re.compile(r"[\"']?access_token[\"']?\s*[:=]\s*(.+)", re.IGNORECASE | re.DOTALL)
_WEB_TOKEN = re.compile(r"eyJ[\w-]*(\.[\w-]*){2,4}", re.ASCII)


@sensitive_variables()
def typed_token(text: str, user: Any = None) -> Token:
    """Return the token in what `user` typed or pasted; raises Refusal (400) if there is none that can be used.

    Without a user, as in commands, it is not compared with a password.
    """
    token = Token(_token_in(text))
    token.check_not_expired()
    if user is not None:
        check_is_no_password(token.reveal(), user)
    return token


@sensitive_variables()
def _token_in(text: str) -> str:
    if len(text) > _LONGEST_TEXT:
        raise _refusal("This is far too long for a token. Copy the token alone.")
    for _ in range(_LAYERS):
        before, text = text, _without_layer(text.strip(_BLANKS))
        if text == before:
            break
    if not text:
        raise _refusal("Enter your bearer token for this cluster.")
    return text if len(text.split()) < 2 else _on_one_line(text)


@sensitive_variables()
def _without_layer(text: str) -> str:
    """Return the text without the outermost of what is no part of a token; unchanged if there is nothing of it."""
    if text.startswith("{"):
        return token_in_json(text)
    if field := _FIELD.fullmatch(text):
        return field[1].rstrip(",;")
    if quoted := _QUOTED.fullmatch(text):
        return quoted[2]
    return _HEADER.sub("", text, count=1) if _HEADER.match(text) else text


@sensitive_variables()
def token_in_json(text: str) -> str:
    """Return the token in the answer of a token endpoint; raises Refusal (400) if there is none."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise _refusal("This looks like JSON, but is cut short. Copy the value of access_token alone.") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
        if isinstance(answer, dict) and "error" in answer:
            raise _refusal("This is what a token endpoint answers when it gives no token. Ask it for a new one.")
        raise _refusal("This JSON holds no access_token. Copy the token alone.")
    if str(answer.get("token_type", "bearer")).lower() != "bearer":
        raise _refusal("This JSON holds a token of another type than Bearer, which clusters do not take.")
    token: str = answer["access_token"]
    return token


@sensitive_variables()
def _on_one_line(text: str) -> str:
    """Return a token that was pasted over several lines; raises Refusal if that may not be one token."""
    parts = text.split()
    if sum(_WEB_TOKEN.fullmatch(part) is not None for part in parts) > 1:
        raise _refusal("There are several tokens in the field. Paste only the one for this cluster.")
    joined = "".join(parts)
    if _WEB_TOKEN.fullmatch(joined) or len(text.splitlines()) == len(parts):
        return joined
    raise _refusal("There is a space within the token, so it may be two things. Copy the token alone.")


@sensitive_variables()
def check_is_no_password(value: str, user: Any) -> None:
    """Raise Refusal (400) if this is the password of the user's own account."""
    if len(value) > LONGEST_PASSWORD or not _compared.take(user.get_username(), COMPARED_PER_MINUTE):
        return
    if check_password(value, user.password):
        what = "This is the password of your account here, which is of no use for the cluster. It was sent nowhere."
        raise _refusal(f"{what} Your browser may have filled it in: paste what is asked for.")


def _refusal(sentence: str) -> Refusal:
    return Refusal(400, "token", sentence)
