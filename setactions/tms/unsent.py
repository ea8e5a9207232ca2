"""Why a request never left this server: the one place with these sentences.

- Each says what happened, that nothing was sent, and what to do next: whom to ask, which setting to look at.
- Behind it stands the technical reason in a few words, for whoever mends it: OpenSSL's or the system's own.
- Nothing that the other side sent is repeated, and no exception's text: it may hold the password of a proxy.

Whether anything was sent is not decided here: see `client`.
"""

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from tmsdash.text import one_line

DETAIL_LENGTH = 120
_PORTS = {"http": 80, "https": 443}
# How http.client says that a proxy did not make a tunnel; what follows the number is the proxy's own text.
_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3})")

EXPIRED = (
    "The certificate of {peer} has expired, so nothing was sent. Ask {owner} to renew it; if it is new, ask an "
    "administrator to check this server's clock."
)
NOT_YET_VALID = (
    "The certificate of {peer} is not valid yet, so nothing was sent. Ask an administrator to check this server's "
    "clock; if that is right, ask {owner} about the certificate."
)
WRONG_NAME = (
    "The certificate of {peer} is for another host name, so nothing was sent. Ask an administrator to check the "
    "address in {setting}; if that is right, ask {owner} for a certificate with this name."
)
SELF_SIGNED = (
    "The certificate of {peer} is self-signed and not trusted, so nothing was sent. Ask an administrator to add it to "
    "the file of TMS_CA_BUNDLE, if {owner} confirms that it is theirs."
)
UNTRUSTED = (
    "The certificate of {peer} comes from an authority that is not trusted here, so nothing was sent. Ask an "
    "administrator to add that authority to the file of TMS_CA_BUNDLE; if it is there, ask {owner} whether the "
    "intermediate certificates are sent along."
)
NOT_ACCEPTED = (
    "The certificate of {peer} was not accepted, so nothing was sent. Ask an administrator to check it and the file "
    "of TMS_CA_BUNDLE, then {owner} for a sound certificate."
)
NOT_TLS = (
    "{Peer} does not speak TLS on this port, so nothing was sent: it may be one for plain HTTP. Ask an administrator "
    "to check the scheme and the port in {setting}."
)
TLS_VERSION = (
    "{Peer} and this server have no version of TLS in common, so nothing was sent. Ask {owner} to offer TLS 1.2 or "
    "later."
)
TLS_FAILED = "The TLS handshake with {peer} failed, so nothing was sent. Ask {owner} to check the TLS settings there."
BUNDLE = (
    "The file of TMS_CA_BUNDLE cannot be read as certificates, so nothing was sent. Ask an administrator to put it "
    "right."
)
UNKNOWN_NAME = (
    "The host name {host} could not be resolved, so nothing was sent: DNS does not know it. Ask an administrator "
    "to check the address in {setting} and this server's DNS."
)
NO_NAME_SERVER = (
    "The host name {host} could not be resolved, so nothing was sent: DNS gave no answer. Ask an administrator to "
    "check this server's DNS, and the address in {setting}."
)
REFUSED = (
    "The connection to {peer} was refused, so nothing was sent: nothing listens there, or a firewall forbids it. Ask "
    "{owner} whether it is running, and an administrator to check the address in {setting}."
)
UNREACHABLE = (
    "The network has no route to {peer}, so nothing was sent. Ask an administrator to check this server's network and "
    "whether it needs a proxy (TMS_PROXY)."
)
CONNECT_TIMEOUT = (
    "The connection to {peer} timed out, so nothing was sent: a firewall may swallow it, or the host is down. Ask "
    "{owner} whether it is running, and an administrator to check the network, the address in {setting} and DNS."
)
HANDSHAKE_TIMEOUT = (
    "{Peer} took the connection, but timed out before it was ready, so nothing was sent. Ask {owner} whether it is "
    "overloaded, and an administrator to check the port in {setting}."
)
CLOSED = (
    "{Peer} closed the connection before it was ready, so nothing was sent. Ask {owner} whether it is running, and an "
    "administrator to check the port in {setting}."
)
PROXY_SIGN_IN = (
    "{Peer} asks for a user name and password, so nothing was sent. Ask an administrator to check those in TMS_PROXY."
)
PROXY_REFUSED = (
    "{Peer} refused to connect to {target}, so nothing was sent. Ask {owner} to allow it, and an administrator to "
    "check TMS_PROXY."
)
PROXY_FAILED = (
    "{Peer} could not connect to {target}, so nothing was sent. Ask {owner} why, and whoever runs the cluster whether "
    "it is running."
)
OUT_OF_MEANS = (
    "This server has no room for another connection, so nothing was sent. Try again in a minute; if that does not "
    "help, tell an administrator."
)
OTHER = (
    "No connection to {peer} could be made, so nothing was sent. Ask an administrator to look at this server's network "
    "and the address in {setting}."
)

# OpenSSL's codes of what is wrong with a certificate.
_CERTIFICATE = {9: NOT_YET_VALID, 10: EXPIRED, 18: SELF_SIGNED, 62: WRONG_NAME, 64: WRONG_NAME}
_CERTIFICATE |= dict.fromkeys((2, 19, 20, 21, 27), UNTRUSTED)
# OpenSSL's reasons why a handshake failed. The first three: what came was no TLS at all.
_HANDSHAKE = dict.fromkeys(("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"), NOT_TLS)
_HANDSHAKE |= dict.fromkeys(
    ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"), TLS_VERSION
)
_SYSTEM = {errno.ECONNREFUSED: REFUSED}
_SYSTEM |= dict.fromkeys((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN), UNREACHABLE)
_SYSTEM |= dict.fromkeys((errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE), CLOSED)
_SYSTEM |= dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL), OUT_OF_MEANS)

OUR_FAULT = "an error of the dashboard, which its log names"
# What stands behind errors that have neither a number of the system's nor words of OpenSSL's.
_IN_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "timed out"),
    (BrokenPipeError, "connection closed"),
    (ConnectionResetError, "connection closed without an answer"),
    (IncompleteRead, "connection closed before the end"),
    (HTTPException, "no sound HTTP came back"),
    (HTTPError, "no sound HTTP came back"),
    (OSError, "connection broken"),
)


class BundleError(OSError):
    """The file of TMS_CA_BUNDLE cannot be used."""


class Peer(NamedTuple):
    """Whom a connection is made to, and the setting with the address."""

    name: str
    setting: str


CLUSTER, TOKEN_ENDPOINT = Peer("cluster", "TMS_CLUSTERS"), Peer("token endpoint", "TMS_TOKEN_URLS")


@dataclass(frozen=True)
class Connection:
    """How far a connection to `url` had got, through the proxy at the address `proxy` if there is one.

    `is_tunnelled` tells whether that proxy had made its connection to it, `is_connected` whether anybody had
    taken ours.
    """

    url: str
    proxy: str
    is_connected: bool
    is_tunnelled: bool
    peer: Peer = CLUSTER

    def say(self, sentence: str, detail: str) -> str:
        """Return a sentence of this module about whom the connection was made to, and the technical reason."""
        is_proxy = bool(self.proxy) and not self.is_tunnelled
        url = self.proxy if is_proxy else self.url
        whom = f"proxy {_address(url)} (TMS_PROXY)" if is_proxy else f"{self.peer.name} {_address(url)}"
        why = sentence.format(
            Peer=f"The {whom}",  # a host name never begins a sentence: it has no capital
            peer=f"the {whom}" if is_proxy else _address(url),
            host=urlsplit(url).hostname,
            target=_address(self.url),
            owner=f"whoever runs the {'proxy' if is_proxy else self.peer.name}",
            setting="TMS_PROXY" if is_proxy else self.peer.setting,
        )
        reason = one_line(detail.strip().rstrip("."), DETAIL_LENGTH)
        return f"{why} Technical reason: {reason}."

    def why_timed_out(self, detail: str) -> str:
        return self.say(HANDSHAKE_TIMEOUT if self.is_connected else CONNECT_TIMEOUT, detail)

    def why_failed(self, error: Exception) -> str:
        """Return why nothing was sent; `error` is what ended the connection before it was ready."""
        return self.say(self.cause_of(error), _detail_of(error))

    def fault(self, error: Exception) -> str:
        """Return what is wrong and the technical reason, without what follows from it for a request."""
        return self.say(self.cause_of(error).partition(", so nothing was sent")[0] + ".", _detail_of(error))

    def cause_of(self, error: Exception) -> str:
        """Return the sentence of this module that says what `error`, which ended the connection, means."""
        if isinstance(error, BundleError):
            return BUNDLE
        cause = _root(error)
        if isinstance(cause, TimeoutError):
            return HANDSHAKE_TIMEOUT if self.is_connected else CONNECT_TIMEOUT
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _CERTIFICATE.get(cause.verify_code, NOT_ACCEPTED)
        if isinstance(cause, ssl.SSLEOFError):
            return CLOSED
        if isinstance(cause, ssl.SSLError):
            return _HANDSHAKE.get(cause.reason or "", TLS_FAILED)
        if isinstance(cause, socket.gaierror):
            return NO_NAME_SERVER if cause.errno == socket.EAI_AGAIN else UNKNOWN_NAME
        if status := _tunnel_status(cause):
            return PROXY_FAILED if status >= 500 else PROXY_SIGN_IN if status == 407 else PROXY_REFUSED
        if isinstance(cause, OSError):
            return _SYSTEM.get(cause.errno or 0, CLOSED if isinstance(cause, ConnectionError) else OTHER)
        return OTHER


def _detail_of(error: Exception) -> str:
    if isinstance(error, BundleError):
        return reason_of(error.__cause__ or error)
    return "timed out" if isinstance(_root(error), TimeoutError) else reason_of(error)


def reason_of(error: BaseException) -> str:
    """Return the technical reason behind an error in a few words, none of which came from the other side."""
    cause = _root(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    if isinstance(cause, ssl.SSLError):
        return (cause.reason or "TLS connection closed").replace("_", " ").lower()
    if isinstance(cause, socket.gaierror):
        return cause.strerror or "name not resolved"
    if status := _tunnel_status(cause):
        return f"HTTP {status} from the proxy"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)
    return next((words for kind, words in _IN_WORDS if isinstance(cause, kind)), OUR_FAULT)


def _tunnel_status(error: BaseException) -> int:
    """Return the HTTP status with which a proxy answered instead of making its connection; 0 if it did not."""
    match = _TUNNEL.match(str(error))
    return int(match[1]) if match else 0


def _root(error: BaseException) -> BaseException:
    """Return the system's or OpenSSL's own error behind what requests and urllib3 made of it, if there is one."""
    causes = [cause for cause in _behind(error, set()) if isinstance(cause, OSError)]
    roots = [cause for cause in causes if not isinstance(cause, requests.RequestException)]
    return roots[-1] if roots else error


def _behind(error: object, seen: set[int]) -> Iterator[BaseException]:
    """Yield `error` and all errors that it was made from; urllib3 has them in attributes and arguments, too."""
    if not isinstance(error, BaseException) or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    for cause in (*error.args, getattr(error, "reason", None), error.__context__, error.__cause__):
        yield from _behind(cause, seen)


def _address(url: str) -> str:
    """Return host and port of a URL, without the user name and password that one of a proxy may hold."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or _PORTS.get(parts.scheme, '')}"
