"""Time-stamps of checkpoints, by RFC 3161: an authority that is not ours signs when it saw a checkpoint.

1. A checkpoint is stamped after it was signed and stored: without a time-stamp it is as good as before. One that is
   missing is no gap, because the next one covers the same entries, and more.
2. What is stamped is the whole note, with its signature. The answer is stored as it came, beside the checkpoint, so
   that `openssl ts` can check it, too.
3. Authorities are those of AUDIT_TIMESTAMP_CA, by certificates that were valid when they stamped.

It takes a package that the product does without otherwise, see requirements-timestamps.txt.
"""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import certifi
from cryptography.x509 import load_pem_x509_certificates
from django.conf import settings

from audit.chain import DATABASE
from audit.models import CheckpointTimestamp, StoredCheckpoint
from audit.transparency.notes import Checkpoint
from tmsdash.db.transactions import write_transaction
from tmsdash.exchange import TooLongError, exchange
from tmsdash.text import one_line

WAIT_S = 10.0  # for a connection, and for the answer
MAX_ANSWER = 64 << 10  # bytes; some thousand, with certificates
HEADERS = {"Content-Type": "application/timestamp-query", "User-Agent": "tms-dashboard"}


class TimestampError(Exception):
    """A checkpoint has no time-stamp, or not this one; the text says why, as a sentence."""


def stamp(checkpoint: Checkpoint) -> datetime:
    """Have a checkpoint stamped, and store that; return the authority's time.

    Raises TimestampError if it is not stamped, or DatabaseError.
    """
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder  # not installed everywhere

    note = str(checkpoint).encode()
    request = TimestampRequestBuilder().data(note).hash_algorithm(HashAlgorithm.SHA256).build()
    answer = _asked(settings.AUDIT_TIMESTAMP_URL, request.as_bytes())
    at = checked(answer, note, request.nonce)
    with write_transaction(DATABASE):
        CheckpointTimestamp.objects.create(size=checkpoint.size, answer=answer, stamped_at=at)
    return at


def checked(answer: bytes, note: bytes, nonce: int | None = None) -> datetime:
    """Return when an authority stamped a note; raises TimestampError unless a known authority answered so, for it."""
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    try:
        response = decode_timestamp_response(answer)
        verifier = VerifierBuilder(roots=_roots(), nonce=nonce).build()
        verifier.verify_message(response, note)
        at: datetime = response.tst_info.gen_time
    except (ValueError, VerificationError) as error:
        reason = f"It has no time-stamp by an authority of AUDIT_TIMESTAMP_CA: {one_line(str(error))}."
        raise TimestampError(reason) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def of(checkpoint: Checkpoint) -> bytes | None:
    """Return the time-stamp of a checkpoint as the authority sent it, None if there is none."""
    answer = CheckpointTimestamp.objects.filter(size=checkpoint.size).values_list("answer", flat=True).first()
    return None if answer is None else bytes(answer)


def can_be_checked() -> bool:
    """Tell whether time-stamps can be checked here: the authorities are known, and the package is installed."""
    return bool(settings.AUDIT_TIMESTAMP_CA) and find_spec("rfc3161_client") is not None


def problems() -> Iterator[tuple[int, str]]:
    """Yield what is wrong with a time-stamp, and the size of its checkpoint. Raises DatabaseError."""
    stamps = CheckpointTimestamp.objects.order_by("size").values_list("size", "answer", "stamped_at")
    for size, answer, stamped_at in stamps.iterator():
        note = StoredCheckpoint.objects.filter(size=size).values_list("note", flat=True).first()
        if note is None:
            yield size, "There is a time-stamp of it, but the checkpoint is gone."
            continue
        try:
            at = checked(bytes(answer), str(note).encode(errors="surrogatepass"))
        except (TimestampError, TypeError, ValueError) as error:
            yield size, str(error)
            continue
        if at != stamped_at:
            yield size, f"Its time-stamp is of {at:%Y-%m-%d %H:%M:%S} UTC, and another time is stored."


def _roots() -> list[Any]:
    try:
        return list(load_pem_x509_certificates(Path(settings.AUDIT_TIMESTAMP_CA).read_bytes()))
    except OSError as error:
        raise TimestampError(f"AUDIT_TIMESTAMP_CA cannot be read: {error.strerror}.") from None


def _asked(url: str, request: bytes) -> bytes:
    """Return what an authority answers to a request; raises TimestampError."""
    # Most are asked by plain HTTP: the answer is signed, and the question a hash.
    tls = ssl.create_default_context(cafile=certifi.where())
    limits: dict[str, Any] = {"connect_s": WAIT_S, "deadline_s": WAIT_S, "max_bytes": MAX_ANSWER}
    try:
        status, answer = exchange("POST", url, HEADERS, request, context=tls, **limits)
    except TooLongError:
        raise TimestampError("The authority's answer is too long.") from None
    except TimeoutError:
        raise TimestampError(f"The authority did not answer within {WAIT_S:g} s.") from None
    except (OSError, HTTPException) as error:
        raise TimestampError(f"The authority cannot be reached: {getattr(error, 'strerror', None) or error}.") from None
    if status != 200:  # redirects are not followed
        raise TimestampError(f"The authority answered HTTP {status}.")
    return answer
