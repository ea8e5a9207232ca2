"""Reads settings that are addresses: of hosts, sites, clusters, providers, queues and databases.

Functions are as those of tmsdash.env. What may hold a password is never shown.
"""

import importlib.util
import ipaddress
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from tmsdash.db.file_systems import network_type
from tmsdash.env import LOOPBACK_NAMES, names, text, wrong

_HOST = r"([A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
_LONGEST_ISSUER = 150
_PORT = r"(?::(?!0+(?![0-9]))[0-9]{1,5})?"
MAX_PORT = 65_535
_environ = environ.Env()


def url(name: str) -> str:
    """Return an http or https URL, or the empty string."""
    value = text(name)
    _refuse_raw_password(name, value)
    match = re.fullmatch(rf"https?://(?:[^/@\s]+@)?{_HOST}({_PORT})/?", value)
    if value and (not match or int(match[2].lstrip(":") or 0) > MAX_PORT):
        raise ImproperlyConfigured(f"{name}: write http://host:port or https://host:port.")  # it may hold a password
    return value


def authority(name: str, *, needs: tuple[str, str]) -> str:
    """Return the URL of a time-stamp authority, or the empty string; it `needs` the file that another setting names."""
    value = text(name)
    if not value:
        return ""
    match = re.fullmatch(rf"https?://{_HOST}({_PORT})(?:/[!-~]*)?", value)
    if not match or int(match[2].lstrip(":") or 0) > MAX_PORT:
        raise wrong(name, "write http://host/path or https://host/path", value)
    if not needs[1]:
        raise ImproperlyConfigured(f"{name}: set {needs[0]}, too, to a file with the authority's certificate (PEM).")
    if not importlib.util.find_spec("rfc3161_client"):
        raise ImproperlyConfigured(
            f"{name}: rfc3161-client is not installed. Run: make install TIMESTAMPS=1"
            " (by hand: pip install --require-hashes -r requirements-timestamps.lock)"
        )
    return value


def broker(name: str, *, is_needed: bool) -> str:
    """Return the URL of a Redis server, or the empty string; it `is_needed` for batches that go through a queue."""
    value = text(name)
    _refuse_raw_password(name, value)
    if is_needed and not value:
        raise ImproperlyConfigured(f"TMS_BATCH_ENGINE: celery needs a queue. Set {name} to redis://host:6379/0.")
    if value and not re.fullmatch(rf"rediss?://(?:[^/@\s]*@)?{_HOST}(?:{_PORT})(?:/[0-9]+)?", value):
        raise ImproperlyConfigured(
            f"{name}: write redis://host:6379/0, or rediss:// for TLS."
        )  # it may hold a password
    if is_needed and not importlib.util.find_spec("celery"):
        raise ImproperlyConfigured(
            "TMS_BATCH_ENGINE: Celery is not installed. Run: make install CELERY=1"
            " (by hand: pip install --require-hashes -r requirements-celery.lock)"
        )
    return value


def hosts(name: str, default: list[str]) -> list[str]:
    """Return host names as Django's ALLOWED_HOSTS takes them: `host`, `.domain`, an address or `*`."""
    for host in names(name, default):
        if host != "*" and not re.fullmatch(rf"\.?{_HOST}", host):
            raise wrong(name, "write host names without scheme and port, separated by commas", host)
    return names(name, default)


def web_origins(name: str) -> list[str]:
    """Return origins as Django's CSRF_TRUSTED_ORIGINS takes them: `https://host`, with a port, or `https://*.domain`.

    They are spelt as browsers spell them, in lower case and without the usual port: another spelling never matches.
    """
    result = []
    for part in names(name, []):
        match = re.fullmatch(rf"https?://(?:\*\.)?{_HOST}({_PORT})/?", part, re.IGNORECASE)
        if not match or int(match[2].lstrip(":") or 0) > MAX_PORT:
            raise wrong(name, "write each origin as https://host, https://host:port or https://*.domain", part)
        result.append(_without_default_port(part.lower().rstrip("/")))
    return result


def base_path(name: str) -> str:
    """Return a path such as /tms, below which the site is; the empty string for the top of its host."""
    value = text(name)
    if value and not re.fullmatch(r"(/[A-Za-z0-9_-]+){1,8}", value):
        right = "write a path such as /tms, of letters, digits, - and _, with no slash at its end"
        raise wrong(name, f"{right} (leave it out for a site at the top of its host)", value)
    return value


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return a comma-separated list of IP addresses and networks (`10.0.0.0/8`)."""
    result = []
    for part in names(name, []):
        try:
            result.append(ipaddress.ip_network(part))
        except ValueError:
            raise wrong(name, "write IP addresses or networks such as 10.0.0.0/8", part) from None
    return result


def clusters(name: str) -> dict[str, str]:
    """Return `{cluster name: origin}` from `evian3=https://host,brooke=https://other`.

    An origin is scheme, host and port, nothing else, because the path is the product's; plain
    http is taken for loopback only, because the bearer token crosses that connection.
    """
    result: dict[str, str] = {}
    for part in names(name, []):
        cluster, _, origin = (piece.strip() for piece in part.partition("="))
        if "@" in part:
            raise ImproperlyConfigured(f"{name}: write origins without user and password; the token is typed.")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", cluster):
            raise wrong(name, "write name=https://host, the name in letters, digits, '.', '_' or '-'", part)
        if cluster in result:
            raise wrong(name, "use each cluster name once", cluster)
        result[cluster] = _origin(name, origin)
    # With two names for one TMS, nothing that compares customers of a cluster would see those of the other.
    if len(set(map(_without_default_port, result.values()))) < len(result):
        raise wrong(name, "use each origin once", ",".join(result.values()))
    return result


def token_urls(name: str, known: Collection[str]) -> dict[str, str]:
    """Return `{cluster name: URL}` of token endpoints, from `evian3=https://sso.example/token`, of `known` clusters.

    Like origins of clusters they are https, but on loopback: a secret crosses that connection.
    """
    result: dict[str, str] = {}
    for part in names(name, []):
        cluster, _, url = (piece.strip() for piece in part.partition("="))
        if "@" in part:
            raise ImproperlyConfigured(f"{name}: write URLs without user and password; client id and secret are typed.")
        if cluster not in known:
            raise wrong(name, f"write cluster=URL, the cluster one of {', '.join(known) or 'TMS_CLUSTERS'}", part)
        if cluster in result:
            raise wrong(name, "use each cluster name once", cluster)
        match = re.fullmatch(r"([^/]*//[^/]+)(/[!\"$-~]*)", url)  # no fragment: it would not be sent
        if not match:
            raise wrong(name, "write each endpoint as https://host/path", url)
        result[cluster] = _origin(name, match[1]) + match[2]
    return result


def issuer(name: str, *, needs: Collection[str]) -> str:
    """Return the URL of an OpenID provider without a slash at its end, or the empty string; it `needs` other settings.

    It is https, but on loopback: a secret crosses that connection.
    """
    value = text(name).rstrip("/")
    if not value:
        return ""
    match = re.fullmatch(r"(https?://[^/?#@]+)((?:/[!$-.0-9:;=@A-Z_a-z~]+)*)", value)
    if not match or len(value) > _LONGEST_ISSUER:
        raise ImproperlyConfigured(f"{name}: write the provider's issuer, https://host/path, without user and query.")
    origin = _origin(name, match[1])
    for other in needs:
        if not text(other):
            raise ImproperlyConfigured(f"{other}: set it as well; {name} needs it.")
    return origin + match[2]


def _without_default_port(origin: str) -> str:
    return origin.removesuffix(":443" if origin.startswith("https:") else ":80")


def _origin(name: str, value: str) -> str:
    match = re.fullmatch(rf"https?://{_HOST}({_PORT})/?", value, re.IGNORECASE)
    if not match or int(match[2].lstrip(":") or 0) > MAX_PORT:
        raise wrong(name, "write each origin as https://host or https://host:port, without a path", value)
    origin = value.lower().rstrip("/")
    if origin.startswith("http:") and match[1].lower() not in LOOPBACK_NAMES:
        raise wrong(name, "use https (http is for loopback only)", value)
    return origin


def database(name: str, sqlite_file: Path, base_dir: Path) -> dict[str, Any]:
    """Return Django's description of the database that a URL names, SQLite in `sqlite_file` by default.

    A relative SQLite path counts from the project's folder, not from the working directory.
    """
    value = text(name)
    if not value:
        return _sqlite(name, sqlite_file)
    return database_at(name, value, base_dir)


def database_at(name: str, value: str, base_dir: Path) -> dict[str, Any]:
    """Return Django's description of the database at the URL `value`; `name` is who gave it, for the message."""
    _refuse_raw_password(name, value)
    described: dict[str, Any] = {}
    # Checked first, because django-environ warns about unknown URLs, including the password.
    if re.match(r"(postgres|postgresql)://[^/]+/[^/?]|sqlite:///[^?]", value) and ":memory:" not in value:
        with suppress(ValueError, ImproperlyConfigured):
            described = _environ.db_url_config(value)
    if not described.get("NAME"):
        raise ImproperlyConfigured(
            f"{name}: write postgres://user:password@host:5432/name or sqlite:///folder/file.db."
        )
    if described["ENGINE"] == "django.db.backends.sqlite3":
        return described | _sqlite(name, base_dir / described["NAME"])
    return described


def _sqlite(name: str, file: Path) -> dict[str, Any]:
    """Return Django's description of a SQLite file. Raises ImproperlyConfigured if it is on another machine's disk."""
    if kind := network_type(file):
        raise ImproperlyConfigured(
            f"{name}: SQLite would lose data in {file}, which is on a network file system ({kind}). Put VAR_DIR on a "
            "disk of this host, or name a PostgreSQL database."
        )
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}


def _refuse_raw_password(name: str, value: str) -> None:
    """Raise ImproperlyConfigured if the password in an address would cut it short; the password is not shown."""
    scheme, _, rest = value.partition("://")
    marks = ["#"] if "#" in rest else []
    if not scheme.startswith("sqlite") and not re.match(r"[^/?#@%]+@[^/?#@]+/[^/?#@]+\?", rest):
        # After the name of a database all of these are allowed.
        account = rest.rpartition("@")[0]
        marks += [mark for mark in "/?[]\\ " if mark in account]
        marks += ["%"] if re.search(r"%(?![0-9A-Fa-f]{2})", account) else []
    if marks:
        codes = ", ".join(f"{mark.replace(' ', 'a space')} as %{ord(mark):02X}" for mark in marks)
        raise ImproperlyConfigured(
            f"{name}: percent-encode what has a meaning in an address, above all in a password: write {codes}. "
            """python3 -c 'from urllib.parse import quote; print(quote(input(), safe=""))' encodes a line."""
        )
