"""Reads the settings of notifications, as tmsdash.env reads the others: wrong ones stop the start with a sentence.

A webhook's address often is a secret itself, and that of a mail server holds a password: neither is shown.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

from tmsdash import env

KEY_LENGTH = 32  # characters, at least
STANDARD_KEY = "whsec_"  # how a key begins that the standard's libraries take; the rest is base64
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])"
_PORT = r"(?::(?!0+(?![0-9]))[0-9]{1,5})?"
_ENCODED = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"  # what an address takes as user or password
_MAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
_MAIL_HOW = (
    "write smtp+tls://user:password@host:587 (STARTTLS), smtp+ssl://user:password@host:465, or smtp://host:25 for a "
    "relay that asks for no password; percent-encode what user and password have besides letters and digits"
)


class MailServer(NamedTuple):
    """How mail leaves this site."""

    host: str
    port: int
    user: str
    password: str
    use_tls: bool
    use_ssl: bool

    def __repr__(self) -> str:
        return f"<mail server {self.host}:{self.port}>"


def webhook(name: str) -> str:
    """Return the address that notices are posted to, or the empty string; https, but on loopback."""
    value = env.text(name)
    if not value:
        return ""
    match = re.fullmatch(rf"(https?)://({_HOST}{_PORT})(/[!\"$-~]*)?", value)
    if not match or (match[1] == "http" and not env.is_loopback(urlsplit(value).hostname or "")):
        raise ImproperlyConfigured(
            f"{name}: write https://host/path, without user, password and #. http is for loopback only."
        )
    return value if match[3] else f"{value}/"


def webhook_key(name: str, *, needed_by: str) -> bytes:
    """Return the key that signs what the webhook gets; `needed_by` is the webhook's setting, if that is set."""
    value = env.shared_secret(name, minimum_length=KEY_LENGTH)
    if needed_by and not value:
        raise ImproperlyConfigured(f"{needed_by}: set {name}, too, with which each notice is signed.")
    if not value.startswith(STANDARD_KEY):
        return value.encode()
    try:
        return base64.b64decode(value.removeprefix(STANDARD_KEY), validate=True)
    except binascii.Error:
        raise ImproperlyConfigured(f"{name}: what follows {STANDARD_KEY} must be base64.") from None


def addresses(name: str) -> list[str]:
    """Return a comma-separated list of mail addresses."""
    for address in env.names(name, []):
        try:
            validate_email(address)
        except ValidationError:
            sentence = f"{name}: write mail addresses, separated by commas; it holds {address!r}."
            raise ImproperlyConfigured(sentence) from None
    return env.names(name, [])


def mail_server(name: str, *, needed_by: str) -> MailServer | None:
    """Return how mail leaves, or None; `needed_by` is the setting that needs it, if that is set."""
    value = env.text(name)
    if not value:
        if needed_by:
            raise ImproperlyConfigured(f"{needed_by}: no mail can be sent without a server. In {name} {_MAIL_HOW}.")
        return None
    scheme = value.partition("://")[0]
    described: dict[str, Any] = {}
    if scheme in _MAIL_PORTS and re.fullmatch(rf"[^/]+//(?:{_ENCODED}+(?::{_ENCODED}+)?@)?{_HOST}{_PORT}/?", value):
        described = environ.Env.email_url_config(value)
    if not described.get("EMAIL_HOST"):
        raise ImproperlyConfigured(f"{name}: {_MAIL_HOW}.")
    host, password = described["EMAIL_HOST"], described["EMAIL_HOST_PASSWORD"] or ""
    if password and scheme == "smtp" and not env.is_loopback(host):
        raise ImproperlyConfigured(f"{name}: use smtp+tls or smtp+ssl: the password would cross the network in clear.")
    port = described["EMAIL_PORT"] or _MAIL_PORTS[scheme]
    user = described["EMAIL_HOST_USER"] or ""
    return MailServer(host, int(port), user, password, scheme == "smtp+tls", scheme == "smtp+ssl")


def sender(name: str, url: str) -> str:
    """Return the address that mail comes from, by default `tms-dashboard` at the host of the site's address `url`."""
    given, host = addresses(name), urlsplit(url).hostname or ""
    if len(given) > 1:
        raise ImproperlyConfigured(f"{name}: write one mail address; it holds {', '.join(given)!r}.")
    return given[0] if given else f"tms-dashboard@{'localhost' if env.is_loopback(host) else host or 'localhost'}"


def site_url(name: str, hosts: Sequence[str], *, is_https: bool) -> str:
    """Return scheme, host and port of the site, for links in notices; "" if neither this nor ALLOWED_HOSTS tells."""
    if value := env.text(name).rstrip("/"):
        if not re.fullmatch(rf"https?://{_HOST}{_PORT}", value):
            raise ImproperlyConfigured(f"{name}: write https://host or https://host:port; it holds {value!r}.")
        return value
    plain = [host for host in hosts if host != "*" and not host.startswith(".")]
    named = [host for host in plain if not env.is_loopback(host)] or plain
    return f"http{'s' * is_https}://{named[0]}" if named else ""
