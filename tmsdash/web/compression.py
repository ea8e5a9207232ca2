"""Answers are compressed with gzip, by rules that keep their lengths from telling what is in them (BREACH).

Whoever can make a browser ask for a page over and over, with a text of theirs in the address, and sees how long each
answer is, could learn what else the page holds: what it holds already makes it shorter. So

- what another site made the browser ask for is not compressed at all;
- every compressed answer begins with the name of a file, of random length, as Django's own middleware has it;
- what is secret is not the same twice: anti-forgery tokens are masked anew for each answer, and a sealed token repeats
  only in the answer to a form of this site.

Django's own compresses for whoever asks, archives as well, and at a level that costs more than it saves.
"""

import re
import secrets
import struct
import zlib
from collections.abc import Iterable, Iterator

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from tmsdash.web.base import Middleware

SHORTEST = 200  # bytes: what is shorter would hardly get shorter
LEVEL = 3  # of zlib: 38 KB in 0.04 ms; 6 takes three times as long, for pages that are a fifteenth shorter
MOST_PADDING = 100  # bytes
COMPRESSED_TYPES = ("text/", "application/json", "application/jsonl", "image/svg+xml")
# A header of gzip's with a name of the file, which ends with NUL and which everybody skips; no time, no system.
HEADER = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff"

_NEVER = re.compile("q=0(\\.0*)?")


class CompressionMiddleware(Middleware):
    """Compress texts for clients that take gzip. Static files do not come here: WhiteNoise has theirs ready."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not _is_worth_it(response):
            return response
        patch_vary_headers(response, ["Accept-Encoding", "Sec-Fetch-Site"])
        if not _takes_gzip(request) or _is_from_elsewhere(request):
            return response
        if response.streaming:
            response.streaming_content = gzipped(response.streaming_content)  # type: ignore[attr-defined]
            del response["Content-Length"]
        else:
            response.content = b"".join(gzipped([response.content]))
            response["Content-Length"] = str(len(response.content))
        if response.get("ETag", "").startswith('"'):
            response["ETag"] = f"W/{response['ETag']}"  # the same text, not the same bytes
        response["Content-Encoding"] = "gzip"
        return response


def gzipped(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield `parts` compressed, as they come, behind a name of random length."""
    yield HEADER + b"a" * secrets.randbelow(MOST_PADDING + 1) + b"\0"
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    checksum = length = 0
    for part in parts:
        checksum, length = zlib.crc32(part, checksum), length + len(part)
        if compressed := compressor.compress(part):
            yield compressed
    yield compressor.flush() + struct.pack("<LL", checksum, length & 0xFFFFFFFF)


def _is_worth_it(response: HttpResponse) -> bool:
    is_text = response.get("Content-Type", "").startswith(COMPRESSED_TYPES)
    if not is_text or response.has_header("Content-Encoding"):
        return False
    return response.streaming or len(response.content) >= SHORTEST


def _takes_gzip(request: HttpRequest) -> bool:
    for part in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = "".join(part.split()).partition(";")
        if coding == "gzip":
            return not _NEVER.fullmatch(weight)
    return False


def _is_from_elsewhere(request: HttpRequest) -> bool:
    """Tell whether a page of another site made the browser ask; scripts, and browsers that are old, do not say."""
    return request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
