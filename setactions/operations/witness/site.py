"""The site that a witness asks, over HTTP, with a token.

TLS is checked, no redirect is followed, nothing is taken from the environment, and answers are of limited length and
time. Nothing that the site sends is repeated in a message, but for a checkpoint that proves something.
"""

import json
import re
import ssl
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import certifi
from django.views.decorators.debug import sensitive_variables

from audit.transparency.witness import UnaskedError, UnprovenError
from setactions.tms.unsent import reason_of
from setactions.token import Token
from tmsdash.env import is_loopback
from tmsdash.env_addresses import MAX_PORT
from tmsdash.exchange import TooLongError, exchange

CONNECT_S = 10.0  # for each address of the host, and for each step of the handshake
DEADLINE_S = 30.0  # for a request and its answer
MOST_BYTES = 64 << 10  # of an answer: a proof has 64 digits for each doubling of the audit
MOST_HASHES = 256  # of a proof
FIELD = "checkpoint"  # what an answer names that says something about the audit, see audit.transparency.api

_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+((?:/[A-Za-z0-9_-]+){0,8})/?")
_HASH = re.compile(r"[0-9a-f]{64}")


class BadAddressError(ValueError):
    """An option names no site, or no certificates. The text is a sentence."""


def address(text: str) -> str:
    """Return the address of a site without a slash at its end; raises BadAddressError."""
    match, host, port = _URL.fullmatch(text), None, None
    try:
        host, port = urlsplit(text).hostname, urlsplit(text).port
    except ValueError:
        match = None
    if not match or not host or (port or 1) > MAX_PORT:
        raise BadAddressError(
            "Write --url as https://host, https://host:port or https://host/path, without user and ?."
        )
    if text.startswith("http:") and not is_loopback(host):
        raise BadAddressError("Write --url with https: the token crosses that connection. http is for loopback only.")
    return text.rstrip("/")


def trusting(ca_bundle: str) -> ssl.SSLContext:
    """Return a verifying context that trusts the authorities of a file, or the public ones; raises BadAddressError."""
    try:
        return ssl.create_default_context(cafile=ca_bundle or certifi.where())
    except OSError as error:  # of a file that is not there, and of one of something else
        reason = reason_of(error) if not isinstance(error, ssl.SSLError) else "it holds no certificates in PEM"
        raise BadAddressError(f"The file of --ca-bundle cannot be used: {reason}.") from None


class RemoteSite:
    """A site that runs elsewhere."""

    def __init__(self, url: str, token: Token, context: ssl.SSLContext) -> None:
        self._url, self._token, self._context = url, token, context

    def checkpoint(self) -> str | None:
        """Return its last checkpoint, None if it says that it has none; raises UnaskedError and UnprovenError."""
        status, body = self._get("/api/audit/checkpoint")
        if status == 404 and _concerns_audit(body):
            return None
        self._assert_answered(status)
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise UnaskedError(_NO_SITE) from None

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return its proof that the tree of `new` entries continues that of `old`; raises as `checkpoint`."""
        status, body = self._get(f"/api/audit/consistency?from={old}&to={new}")
        if status in (404, 409) and _concerns_audit(body):
            raise UnprovenError(
                f"The site shows a checkpoint of {new:,} entries, and does not prove that they begin with the {old:,} "
                f"that it had shown (HTTP {status}). Nothing was taken. Run manage.py audit_verify there."
            )
        self._assert_answered(status)
        answer = _json(body)
        proof = answer.get("proof") if (answer.get("from"), answer.get("to")) == (old, new) else None
        if not isinstance(proof, list) or len(proof) > MOST_HASHES or not all(map(_is_hash, proof)):
            raise UnaskedError(_NO_SITE)
        return [bytes.fromhex(part) for part in proof]

    @sensitive_variables()
    def _get(self, path: str) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self._token.reveal()}", "User-Agent": "tms-dashboard-witness"}
        limits: dict[str, Any] = {"connect_s": CONNECT_S, "deadline_s": DEADLINE_S, "max_bytes": MOST_BYTES}
        try:
            answer = exchange("GET", self._url + path, headers, context=self._context, **limits)
        except TimeoutError:
            raise UnaskedError(f"The site did not answer within {DEADLINE_S:g} s. {_TRY}") from None
        except ssl.SSLCertVerificationError as error:
            raise UnaskedError(
                f"The site's certificate is not accepted: {reason_of(error)}. Nothing was sent. Check the name in "
                "--url; for an authority of your own give its certificate with --ca-bundle FILE."
            ) from None
        except TooLongError:
            raise UnaskedError(_NO_SITE) from None
        except (OSError, HTTPException) as error:
            raise UnaskedError(f"The site cannot be reached: {reason_of(error)}. {_TRY}") from None
        return answer

    def _assert_answered(self, status: int) -> None:
        if status == 200:
            return
        if status in (401, 403):
            why = "does not take the token. AUDIT_WITNESS_TOKEN has to be the same there and here, and --url the site's"
        elif 300 <= status < 400:
            why = "redirects, which is not followed. Give its last address as --url"
        elif status == 404:
            why = (
                "has no such address. Check --url, with the path if the site is below one, and that "
                "AUDIT_WITNESS_TOKEN is set there"
            )
        else:
            why = "is busy, or does not work just now. Try again later, and look at its log if it stays so"
        raise UnaskedError(f"The site {why} (HTTP {status}).")


_TRY = "Check --url and whether the site is running, then try again."
_NO_SITE = "What answers there does not answer as a site does. Check --url."


def _concerns_audit(body: bytes) -> bool:
    errors = _json(body).get("errors")
    return isinstance(errors, dict) and FIELD in errors


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _is_hash(part: object) -> bool:
    return isinstance(part, str) and _HASH.fullmatch(part) is not None
