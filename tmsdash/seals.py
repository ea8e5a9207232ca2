"""Seals: secrets on their way through a page or a queue, encrypted and bound to the one use that they are for.

A seal cannot be read or changed without TOKEN_KEY, opens only for what it was made for, and counts for ten minutes.
"""

import base64
import hashlib
import json
import secrets
import time
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from tmsdash.clocks import CLOCK_SKEW_S

SEALED_FOR_S = 600
# The first character of a seal names its format: "1" is AES-256-GCM under the SHA-256 of TOKEN_KEY. A new format gets
# a new character, so that no seal is ever opened by rules that it was not made for.
_VERSION = "1"
_NONCE_BYTES = 12  # random, which is safe for 2**32 seals under one key; a site makes far fewer


class BrokenSealError(ValueError):
    """This is no seal, or it was made for another use or under another key."""


@sensitive_variables()
def seal(content: Any, *use: str, sealed_at: float | None = None) -> str:
    """Return `content`, any JSON, sealed for a use: a purpose, and what it is bound to. `sealed_at` is now."""
    text = json.dumps([time.time() if sealed_at is None else sealed_at, content]).encode()
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return _as_text(nonce + _cipher().encrypt(nonce, text, _bound_to(use)))


@sensitive_variables()
def open_seal(sealed: str, *use: str) -> tuple[float, Any]:
    """Return when something was sealed for this use, in seconds since 1970, and what. Raises BrokenSealError."""
    try:
        nonce_and_content = _as_bytes(sealed)
        nonce, content = nonce_and_content[:_NONCE_BYTES], nonce_and_content[_NONCE_BYTES:]
        sealed_at, opened = json.loads(_cipher().decrypt(nonce, content, _bound_to(use)))
    except (ValueError, InvalidTag):  # ValueError: not a seal at all, or too short for one
        raise BrokenSealError("no seal for this use") from None
    return sealed_at, opened


def is_fresh(sealed_at: float) -> bool:
    """Tell whether what was sealed then may still be used."""
    return -CLOCK_SKEW_S <= time.time() - sealed_at <= SEALED_FOR_S


def _cipher() -> AESGCM:
    # AES-256 takes exactly 32 bytes; hashing lets TOKEN_KEY be any long secret text.
    return AESGCM(hashlib.sha256(settings.TOKEN_KEY.encode()).digest())


def _bound_to(use: tuple[str, ...]) -> bytes:
    """Return what a seal is bound to without containing it: made for anything else, it does not open."""
    return json.dumps([_VERSION, *use]).encode()


def _as_text(sealed: bytes) -> str:
    return _VERSION + base64.urlsafe_b64encode(sealed).decode("ascii")


def _as_bytes(text: str) -> bytes:
    """Return the bytes in `text`; raises ValueError unless `_as_text` writes them in exactly that way."""
    sealed = base64.urlsafe_b64decode(text[1:])
    if text != _as_text(sealed):
        raise ValueError("not a seal of this version")
    return sealed
