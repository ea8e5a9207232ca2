"""The client's address and scheme: from the proxies in front of the site, and from nobody else."""

import logging
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from tmsdash.text import one_line
from tmsdash.web.addresses import Address, parsed
from tmsdash.web.base import Middleware

logger = logging.getLogger(__name__)

SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}  # some proxies tell of web sockets so
WRITTEN_BY_PROXIES = ("X_FORWARDED_FOR", "X_FORWARDED_PROTO", "X_REAL_IP", "FORWARDED", "VIA")
MOST_LINES = 100  # of a process, about headers: what strangers write must not fill the log
SEND = "Have it send the scheme that its client came to"
SHOWN_LENGTH = 60  # characters of a header in the log


class TrustedProxyMiddleware(Middleware):
    """Take client address and scheme from X-Forwarded-For and -Proto, but only from TRUSTED_PROXIES.

    Anybody can write these headers; from any other peer they are dropped. The client is the last
    address in X-Forwarded-For that is not one of the trusted proxies itself, and the scheme is what the proxy said
    that this client came to. What is not believed is logged, once for each proxy and value. `request.client_is_known`
    is false if a trusted proxy does not say whom it asks for.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        super().__init__(get_response)
        self._logged: set[tuple[str, str]] = set()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_relayed = any(f"HTTP_{name}" in request.META for name in WRITTEN_BY_PROXIES)
        forwarded_for = request.META.pop("HTTP_X_FORWARDED_FOR", "")
        forwarded_proto = request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        peer = parsed(request.META.get("REMOTE_ADDR", ""))  # a Unix socket has none
        if peer:
            request.META["REMOTE_ADDR"] = str(peer)
        request.client_is_known = peer is not None and not is_relayed  # type: ignore[attr-defined]
        if peer and _is_trusted(peer):
            client, place, request.client_is_known = _client(peer, forwarded_for)  # type: ignore[attr-defined]
            request.META["REMOTE_ADDR"] = str(client)
            if forwarded_proto is not None:
                self._take_scheme(request, peer, forwarded_proto, place)
            elif forwarded_for and settings.SECURE_SSL_REDIRECT and not request.is_secure():
                words = f"missing from the proxy {peer}, so the connection counts as plain http. {SEND}"
                self._log(str(peer), "", words)
        elif forwarded_proto and "https" in forwarded_proto.lower() and settings.SECURE_SSL_REDIRECT:
            # It will be redirected to https for ever; only the log can say why.
            sender = one_line(request.META.get("REMOTE_ADDR", ""), 45)
            self._log(sender, "https", f"https from {sender}, which is not in TRUSTED_PROXIES, is not believed")
        return self.get_response(request)

    def _take_scheme(self, request: HttpRequest, peer: Address, header: str, place: int) -> None:
        """Let a request have the scheme that a proxy's header names at a place, counted from its end."""
        entries = [entry.strip().lower() for entry in header.split(",") if entry.strip()][::-1]
        entry = entries[min(place, len(entries) - 1)] if entries else ""
        shown = f"{one_line(header, SHOWN_LENGTH)!r} from the proxy {peer}"
        if entry not in SCHEMES:
            what = "does not say http or https, so the connection counts as the one from the proxy itself"
            self._log(str(peer), header, f"{shown} {what}. {SEND}")
            return
        request.META["wsgi.url_scheme"] = SCHEMES[entry]  # what request.scheme reads
        if SCHEMES[entry] == "http" and "https" in entries and settings.SECURE_SSL_REDIRECT:
            what = "counts as http, because X-Forwarded-For does not show that one of TRUSTED_PROXIES wrote the https"
            self._log(
                str(peer), header, f"{shown} {what}. Name all proxies there, and have each append to both headers"
            )

    def _log(self, sender: str, value: str, words: str) -> None:
        key = (sender, value[:SHOWN_LENGTH])
        if key not in self._logged and len(self._logged) < MOST_LINES:
            self._logged.add(key)
            logger.error("X-Forwarded-Proto: %s", words)


def _client(peer: Address, forwarded_for: str) -> tuple[Address, int, bool]:
    """Return the client's address, how many proxies are between the one it came to and the site, and if all is known.

    Each proxy appends what it was asked by: who adds an address here adds the scheme at the same place from the end.
    """
    client, place = peer, 0
    for number, part in enumerate(reversed(forwarded_for.split(","))):
        address = parsed(part.strip())
        if not address:
            return client, place, False
        client, place = address, number
        if not _is_trusted(address):
            break
    return client, place, True


def _is_trusted(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)
