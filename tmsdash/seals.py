"""Seals: secrets on their way through a page or a queue, encrypted and bound to the one use that they are for.

A seal cannot be read or changed without TOKEN_KEY, and opens only for what it was made for. That of a token counts for
ten minutes.
"""

import base64
import hashlib
import json
import secrets
import time
import zlib
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from tmsdash.clocks import CLOCK_SKEW_S

SEALED_FOR_S = 600
# The first character of a seal names its format: "1" is AES-256-GCM under the SHA-256 of TOKEN_KEY, "2" the same of a
# compressed text. A new format gets a new character, so that no seal is ever opened by rules that it was not made for.
_PLAIN, _COMPRESSED = "1", "2"
_NONCE_BYTES = 12  # random, which is safe for 2**32 seals under one key; a site makes far fewer


class BrokenSealError(ValueError):
    """This is no seal, or it was made for another use or under another key."""


@sensitive_variables()
def seal(content: Any, *use: str, sealed_at: float | None = None, is_long: bool = False) -> str:
    """Return `content`, any JSON, sealed for a use: a purpose, and what it is bound to. `sealed_at` is now.

    What `is_long` is compressed. Never compress a secret beside what somebody else wrote: the length would tell of it.
    """
    text = json.dumps([time.time() if sealed_at is None else sealed_at, content]).encode()
    version = _COMPRESSED if is_long else _PLAIN
    nonce = secrets.token_bytes(_NONCE_BYTES)
    encrypted = _cipher().encrypt(nonce, zlib.compress(text) if is_long else text, _bound_to(version, use))
    return _as_text(version, nonce + encrypted)


@sensitive_variables()
def open_seal(sealed: str, *use: str) -> tuple[float, Any]:
    """Return when something was sealed for this use, in seconds since 1970, and what. Raises BrokenSealError."""
    try:
        version, nonce_and_content = _as_bytes(sealed)
        nonce, content = nonce_and_content[:_NONCE_BYTES], nonce_and_content[_NONCE_BYTES:]
        text = _cipher().decrypt(nonce, content, _bound_to(version, use))
        sealed_at, opened = json.loads(zlib.decompress(text) if version == _COMPRESSED else text)
    except (ValueError, InvalidTag):  # ValueError: not a seal at all, or too short for one
        raise BrokenSealError("no seal for this use") from None
    return sealed_at, opened


def is_fresh(sealed_at: float) -> bool:
    """Tell whether what was sealed then may still be used."""
    return -CLOCK_SKEW_S <= time.time() - sealed_at <= SEALED_FOR_S


def _cipher() -> AESGCM:
    # AES-256 takes exactly 32 bytes; hashing lets TOKEN_KEY be any long secret text.
    return AESGCM(hashlib.sha256(settings.TOKEN_KEY.encode()).digest())


def _bound_to(version: str, use: tuple[str, ...]) -> bytes:
    """Return what a seal is bound to without containing it: made for anything else, it does not open."""
    return json.dumps([version, *use]).encode()


def _as_text(version: str, sealed: bytes) -> str:
    return version + base64.urlsafe_b64encode(sealed).decode("ascii")


def _as_bytes(text: str) -> tuple[str, bytes]:
    """Return version and bytes of `text`; raises ValueError unless `_as_text` writes them in exactly that way."""
    version, sealed = text[:1], base64.urlsafe_b64decode(text[1:])
    if version not in (_PLAIN, _COMPRESSED) or text != _as_text(version, sealed):
        raise ValueError("not a seal of a version that is known")
    return version, sealed
