"""Tokens that *Get a token* fetched, on their way through the New action form: sealed, and for one cluster alone."""

from typing import Any

from django.views.decorators.debug import sensitive_variables

from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster
from setactions.token import Token
from tmsdash.seals import BrokenSealError, is_fresh, open_seal, seal

_PURPOSE = "setactions.fetched_token"
_GONE = "The token that was fetched is kept for ten minutes, and for its cluster only. Get another one, or paste one."


@sensitive_variables()
def seal_fetched(token: Token, user: Any, cluster: Cluster) -> str:
    """Return the token encrypted, for forms of this user and this cluster."""
    return seal(token.reveal(), _PURPOSE, user.get_username(), cluster.name)


@sensitive_variables()
def fetched_token(sealed: str, user: Any, cluster: Cluster) -> Token:
    """Return the token; raises Refusal (400) if it is too old or expired, or was not sealed for this form."""
    try:
        sealed_at, value = open_seal(sealed, _PURPOSE, user.get_username(), cluster.name)
    except BrokenSealError:
        raise Refusal(400, "token", _GONE) from None
    if not is_fresh(sealed_at):
        raise Refusal(400, "token", _GONE)
    token = Token(value)
    token.check_not_expired()
    return token
