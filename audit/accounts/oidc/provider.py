"""The OpenID provider: where its endpoints are, and what it says of who signs in.

Nothing of the environment is used (proxies, `.netrc`), no redirect is followed, and https is needed but on loopback.
However slow a provider is, and whatever it sends: few threads wait for it, and its answers are of limited length.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter, get_adapter
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables

from tmsdash import env

TIMEOUT_S = 5  # for each piece of an answer
WHOLE_S = 10  # for all of them
MOST_BYTES = 1 << 20  # of an answer
PLACE_WAIT_S = 2.0  # for one of the threads that may wait for the provider
KNOWN_FOR_S = 600  # where the endpoints are
GONE_FOR_S = 5  # that nobody else waits for a provider that was just found not to answer
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
OTHER_ENDPOINTS = {"userinfo_endpoint"}  # which get secrets, too, if there are any
LISTS = ("scopes_supported", "token_endpoint_auth_methods_supported")


class UnreachableError(Exception):
    """The provider does not answer, or not as a provider does; str() says it in a sentence."""


class RejectedError(Exception):
    """What the provider, or somebody in its place, sent proves nothing; str() says why, to follow "because"."""


class Transport(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """How django-allauth reaches the provider."""

    def get_requests_session(self) -> requests.Session:
        """Return a session that uses nothing of the environment."""
        session: requests.Session = super().get_requests_session()
        send = session.request
        session.trust_env, session.verify = False, settings.OIDC_CA_BUNDLE or True
        session.request = lambda method, url, **kwargs: _whole(  # type: ignore[method-assign]
            send(method, url, **kwargs | {"timeout": TIMEOUT_S, "allow_redirects": False, "stream": True})
        )
        return session


def _whole(answer: requests.Response) -> requests.Response:
    """Read an answer to its end. Raises RequestException if it is too long or takes too long."""
    until, content = time.monotonic() + WHOLE_S, bytearray()
    try:
        while piece := answer.raw.read1(1 << 16, decode_content=True):
            content += piece
            if len(content) > MOST_BYTES or time.monotonic() > until:
                raise requests.ConnectionError("no answer that a provider gives")
    except urllib3.exceptions.HTTPError:
        raise requests.ConnectionError("the answer broke off") from None
    finally:
        answer.close()
    answer._content = bytes(content)
    return answer


class Provider(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """django-allauth's client for the one provider of the settings. Raises UnreachableError wherever it asks for it."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request, "oidc")

    @property
    def openid_config(self) -> dict[str, Any]:
        """What the provider says of itself."""
        return configuration()

    def get_provider(self) -> Any:
        app = SocialApp(provider="openid_connect", provider_id="oidc", client_id=settings.OIDC_CLIENT_ID)
        app.name, app.secret, app.settings = settings.OIDC_NAME, settings.OIDC_CLIENT_SECRET, {}
        return OpenIDConnectProvider(self.request, app=app)

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        return request.build_absolute_uri(reverse("oidc_callback"))

    def address(self, state: str, nonce: str, challenge: dict[str, str]) -> str:
        """Return where the browser goes to sign in."""
        client, config = self._client(), self.openid_config
        client.state = state
        scope = ["openid", "profile", "email"]
        if settings.OIDC_GROUPS_CLAIM in config.get("scopes_supported", []):
            scope.append(settings.OIDC_GROUPS_CLAIM)
        url: str = client.get_redirect_url(self.authorize_url, scope, {"nonce": nonce, **challenge})
        return url

    @sensitive_variables()
    def claims(self, code: str, verifier: str, nonce: str) -> dict[str, Any]:
        """Return what the provider says of who signed in. Raises RejectedError if that proves nothing."""
        configuration()  # known before a place is taken, so that nobody needs two
        try:
            with _place():
                return self._claims(code, verifier, nonce)
        except (requests.RequestException, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UnreachableError(_gone()) from None
        except OAuth2Error:
            raise RejectedError("the provider did not accept the code") from None

    @sensitive_variables()
    def _claims(self, code: str, verifier: str, nonce: str) -> dict[str, Any]:
        from audit.accounts.oidc.id_tokens import verified  # PyJWT, which no other request needs

        tokens = self._client().get_access_token(code, pkce_code_verifier=verifier)
        id_token = str(tokens.get("id_token") or "")
        claims = verified(id_token, nonce, self.openid_config)
        if missing(claims) and self.openid_config.get("userinfo_endpoint"):
            told = self._fetch_user_info(tokens["access_token"])
            if told.get("sub") != claims["sub"]:
                raise RejectedError("the provider tells of somebody else")
            claims = told | claims
        return claims

    def _client(self) -> Any:
        return self.get_client(self.request, self.get_provider().app)


def missing(claims: dict[str, Any]) -> bool:
    """Tell whether claims that the settings name are not there, but may be where the provider tells more."""
    named = [settings.OIDC_USERNAME_CLAIM, *([settings.OIDC_GROUPS_CLAIM] if settings.OIDC_GROUPS else [])]
    return any(claim_at(claims, name) is None for name in named)


def claim_at(claims: dict[str, Any], name: str) -> Any:
    """Return the claim of this name, which may be a path such as `realm_access.roles`; None if there is none."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


# -- Where its endpoints are ------------------------------------------------------------------------------------------

_lock = threading.Lock()
_places = threading.BoundedSemaphore(max(2, settings.WEB_THREADS // 8))  # the other threads are for other people
_known: dict[str, tuple[float, dict[str, Any] | None]] = {}  # by issuer: until when, and None if it did not answer


def configuration() -> dict[str, Any]:
    """Return what the provider says of itself, asked for every ten minutes. Raises UnreachableError."""
    issuer = settings.OIDC_ISSUER_URL
    until, config = _known.get(issuer, (0.0, None))
    if time.monotonic() > until:
        with _place(), _lock:  # few others wait for the one who asks
            until, config = _known.get(issuer, (0.0, None))
            if time.monotonic() > until:
                config = _discovered(issuer)
                _known[issuer] = time.monotonic() + (GONE_FOR_S if config is None else KNOWN_FOR_S), config
    if config is None:
        raise UnreachableError(_gone())
    return config


@contextmanager
def _place() -> Iterator[None]:
    """Be one of the few threads that wait for the provider. Raises UnreachableError if all of them have long waited."""
    if not _places.acquire(timeout=PLACE_WAIT_S):
        raise UnreachableError(_gone())
    try:
        yield
    finally:
        _places.release()


def forget() -> None:
    """Forget what the provider said of itself."""
    with _lock:
        _known.clear()


def sign_out_address() -> str:
    """Return where people sign out at the provider, too; empty if it has no such place, or does not answer."""
    try:
        endpoint = configuration().get("end_session_endpoint")
    except UnreachableError:
        return ""
    return str(endpoint) if _is_safe(endpoint) else ""


def _discovered(issuer: str) -> dict[str, Any] | None:
    try:
        with get_adapter().get_requests_session() as session:
            answer = session.get(f"{issuer}/.well-known/openid-configuration")
        assert_ok(answer)
        told: Any = answer.json()
        if str(told["issuer"]).rstrip("/") != issuer:
            return None
        config = {name: value for name, value in told.items() if value is not None}
        is_safe = all(_is_safe(config[name]) for name in (*ENDPOINTS, *config.keys() & OTHER_ENDPOINTS))
        return config if is_safe and all(isinstance(config.get(name, []), list) for name in LISTS) else None
    except (requests.RequestException, ValueError, TypeError, KeyError, RecursionError):
        return None


def assert_ok(answer: requests.Response) -> None:
    """Raise requests.HTTPError for anything but an answer to what was asked for."""
    if answer.status_code != requests.codes.ok:
        raise requests.HTTPError("not what was asked for")


def _is_safe(url: Any) -> bool:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        return False
    if parts is None or not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and env.is_loopback(parts.hostname))


def _gone() -> str:
    return (
        f"{settings.OIDC_NAME[:1].upper()}{settings.OIDC_NAME[1:]} cannot be reached just now, so it cannot say who "
        "you are. Try again in a minute; if you have a password here, sign in with it. If this goes on, tell an "
        "administrator."
    )
