"""OAuth2 token endpoints: client id and secret are exchanged for a bearer token of a cluster (client credentials).

They go by the rules of calls to TMS, see `client`: a deadline, a limit of size, no redirects, nothing from the
environment. Neither of the two is kept, logged or shown, nor is anything of what the endpoint answers, but for the name
of the error that the standard gives it.
"""

import json
import logging
import re
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from setactions.refusal import Refusal
from setactions.tms import client
from setactions.tms.clusters import Cluster, cluster_named
from setactions.tms.replies import Answer
from setactions.token import Token
from setactions.typed_token import token_in_json

logger = logging.getLogger(__name__)

# The errors of RFC 6749, section 5.2, in words.
_ERRORS = {
    "invalid_client": "The client id or the secret is not right for this cluster. Check both.",
    "unauthorized_client": "This client may not get tokens in this way. Ask whoever made the client id for it.",
    "unsupported_grant_type": "The endpoint gives no tokens for client id and secret. Ask whoever runs it.",
    "invalid_scope": "The endpoint asks for a scope, which cannot be given here. Get the token from it directly.",
    "invalid_request": "The endpoint did not understand the request. Ask an administrator to check TMS_TOKEN_URLS.",
    "invalid_grant": "The endpoint did not accept this client id and secret. Check both.",
}
_ERROR_NAME = re.compile(r"[a-z_]{1,40}")
_CHECK_ADDRESS = "Ask an administrator to check the address in TMS_TOKEN_URLS."
_LATER = "Try again in a minute."


def clusters_with_endpoint() -> list[Cluster]:
    """Return the clusters whose token endpoint is known, in the order of TMS_TOKEN_URLS."""
    found = (cluster_named(name) for name in settings.TMS_TOKEN_URLS)
    return [cluster for cluster in found if cluster]


@sensitive_variables()
def fetch_token(cluster: Cluster, client_id: str, client_secret: str) -> Token:
    """Return a new token for a cluster; raises Refusal (502, or 400 for a wrong id or secret) in words."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    answer = client.ask_token_endpoint(settings.TMS_TOKEN_URLS[cluster.name], urlencode(form).encode())
    status = answer.http_status if answer.failure is None else f"no answer ({answer.failure.name})"
    logger.info("[TOKEN] asked for a token: cluster=%s, answer=%s", cluster.name, status)
    return _token_of(answer)


@sensitive_variables()
def _token_of(answer: Answer) -> Token:
    if not answer.sent:
        raise _failed(answer.detail)
    if answer.failure:
        raise _failed(f"The token endpoint gave no usable answer ({answer.detail}). {_LATER}")
    status = answer.http_status or 0
    if status == 200:
        try:
            token = Token(token_in_json(answer.body.decode("utf-8", "replace")))
            token.check_not_expired()
        except Refusal as refusal:
            raise _failed(f"The token endpoint gave no usable token. {refusal.message}") from None
        return token
    if status in (400, 401) and (name := _error_name(answer.body)):
        raise Refusal(400, "client_id", _ERRORS.get(name, f"The token endpoint refused: {name}."))
    if status in (401, 403):
        raise Refusal(400, "client_id", f"The client id or the secret is not accepted (HTTP {status}). Check both.")
    if status == 429 or status >= 500:
        raise _failed(f"The token endpoint is busy or does not work just now (HTTP {status}). {_LATER}")
    what = "answers with a redirect, which is not followed" if 300 <= status < 400 else f"answers with HTTP {status}"
    raise _failed(f"The token endpoint {what}. {_CHECK_ADDRESS}")


def _error_name(body: bytes) -> str:
    """Return the standard's name of an error; "" if there is none, or it is not one that can be shown."""
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    name = answer.get("error") if isinstance(answer, dict) else ""
    return name if isinstance(name, str) and _ERROR_NAME.fullmatch(name) else ""


def _failed(sentence: str) -> Refusal:
    return Refusal(502, "cluster", sentence)
