"""Reads single settings from the environment for settings.py.

Every function takes the variable's name and its default, and raises ImproperlyConfigured with
the variable's name, what is wrong and what would be right. Values of secrets are never shown.
"""

import hmac
import importlib.util
import ipaddress
import os
import re
import ssl
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from tmsdash import startup
from tmsdash.db.file_systems import network_type

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", ".localhost"})
MAX_PORT = 65_535
MAX_SECRET = 512  # characters of a secret that another program has, too
_environ = environ.Env()

read_names: set[str] = set()  # every variable that was looked up, so the names of all settings
file_lines: dict[str, str] = {}  # where a file sets a variable, such as ".env, line 3"

_HOST = r"([A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
_LONGEST_ISSUER = 150
_PORT = r"(?::(?!0+(?![0-9]))[0-9]{1,5})?"


def read_file(name: str, base_dir: Path, default: str) -> Path | None:
    """Read `NAME=value` lines from the file that a variable names; the real environment wins over them.

    Return the file's path; None if it is the default one, which may be missing; a named one may not.
    """
    path = base_dir / text(name, default)
    try:
        if path.is_dir() or (text(name) and not path.exists()):
            raise _wrong(name, "name a file that exists", str(path))
        if not path.is_file():
            return None
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}: {path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{name}: {path} is not UTF-8 text.") from None
    if lines and lines[0].startswith("\ufeff"):  # nobody would see it in that line
        raise ImproperlyConfigured(f"{name}: {path} begins with a byte order mark, as Windows' editors write it.")
    for number, line in enumerate(lines, start=1):
        match = re.match(r"#|(?:export )?([A-Za-z_0-9]+)=", line)
        if line and not match:
            # Skipping it would leave an unintended default in force. Not quoted, because it may hold a secret.
            raise ImproperlyConfigured(f"{path}: line {number} is not NAME=value.")
        if match and match[1]:
            _refuse_odd_value(line.partition("=")[2], f"{path}: line {number}")
            file_lines[match[1]] = f"{path}, line {number}"
    environ.Env.read_env(str(path))
    startup.take_token_out()  # a token in the file is for commands, not for the programs that they start
    return path


def _refuse_odd_value(value: str, where: str) -> None:
    """Raise ImproperlyConfigured for a value that is not read as it looks; not quoted, because it may be a secret."""
    value = value.strip()
    quote = value[:1] if value[:1] in ("'", '"') else ""
    if (quote or value[-1:] in ("'", '"')) and (len(value) < 2 or value[-1] != value[0]):
        raise ImproperlyConfigured(f"{where}: the quotes around the value do not match.")
    if not quote and re.search(r"\s#", value):
        raise ImproperlyConfigured(
            f"{where}: put the comment on a line of its own. If the # belongs to the value, put the value in quotes."
        )


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address is loopback, which other machines cannot reach."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def text(name: str, default: str = "") -> str:
    """Return the trimmed value; unset and empty both mean the default."""
    read_names.add(name)
    return os.environ.get(name, "").strip() or default


def boolean(name: str, default: bool) -> bool:
    """Return a flag; a misspelled one stops start-up instead of meaning false."""
    value = text(name).lower()
    flags = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
    if value and value not in flags:
        raise _wrong(name, "write true or false", value)
    return flags.get(value, default)


def debugging(name: str, allowed_hosts: Collection[str]) -> bool:
    """Return the debug flag, which shows code and settings to anybody who meets an error: for loopback only."""
    if boolean(name, False) and not LOOPBACK_NAMES.issuperset(allowed_hosts):
        raise _wrong(name, "write false, or leave nothing but loopback names in ALLOWED_HOSTS", text(name))
    return boolean(name, False)


def integer(name: str, default: int, *, minimum: int, maximum: int) -> int:
    """Return a whole number between `minimum` and `maximum`, both included."""
    value = text(name)
    if not value:
        return default
    if re.fullmatch(r"-?[0-9]{1,18}", value) and minimum <= int(value) <= maximum:
        return int(value)
    raise _wrong(name, f"write a whole number from {minimum} to {maximum}", value)


def names(name: str, default: list[str]) -> list[str]:
    """Return a comma-separated list, trimmed, without empty parts."""
    return [part.strip() for part in text(name).split(",") if part.strip()] or default


def url(name: str) -> str:
    """Return an http or https URL, or the empty string."""
    value = text(name)
    _refuse_raw_password(name, value)
    match = re.fullmatch(rf"https?://(?:[^/@\s]+@)?{_HOST}({_PORT})/?", value)
    if value and (not match or int(match[2].lstrip(":") or 0) > MAX_PORT):
        raise ImproperlyConfigured(f"{name}: write http://host:port or https://host:port.")  # it may hold a password
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


def certificates(name: str) -> str:
    """Return the path of a file of certificate authorities in PEM, or the empty string."""
    value = text(name)
    if value:
        try:
            ssl.create_default_context(cafile=value)
        except PermissionError as error:
            raise ImproperlyConfigured(f"{name}: {value} cannot be read ({error.strerror}).") from None
        except OSError:  # what ssl raises for a file that is not there, and for one of something else
            raise _wrong(name, "name a file of certificates in PEM", value) from None
    return value


def spelling(name: str, known: list[str]) -> str:
    """Return one of the `known` words, in any case, by default the first one."""
    value = text(name, known[0])
    if value.lower() not in [word.lower() for word in known]:
        raise _wrong(name, f"write {' or '.join(known)}, in any case", value)
    return value


def some_of(name: str, known: Collection[str]) -> list[str]:
    """Return a comma-separated list of words that are all `known`."""
    for word in names(name, []):
        if word not in known:
            raise _wrong(name, f"write names from {', '.join(known) or 'TMS_CLUSTERS, which has none'}", word)
    return names(name, [])


def hosts(name: str, default: list[str]) -> list[str]:
    """Return host names as Django's ALLOWED_HOSTS takes them: `host`, `.domain`, an address or `*`."""
    for host in names(name, default):
        if host != "*" and not re.fullmatch(rf"\.?{_HOST}", host):
            raise _wrong(name, "write host names without scheme and port, separated by commas", host)
    return names(name, default)


def web_origins(name: str) -> list[str]:
    """Return origins as Django's CSRF_TRUSTED_ORIGINS takes them: `https://host`, with a port, or `https://*.domain`.

    They are spelt as browsers spell them, in lower case and without the usual port: another spelling never matches.
    """
    result = []
    for part in names(name, []):
        match = re.fullmatch(rf"https?://(?:\*\.)?{_HOST}({_PORT})/?", part, re.IGNORECASE)
        if not match or int(match[2].lstrip(":") or 0) > MAX_PORT:
            raise _wrong(name, "write each origin as https://host, https://host:port or https://*.domain", part)
        result.append(_without_default_port(part.lower().rstrip("/")))
    return result


def base_path(name: str) -> str:
    """Return a path such as /tms, below which the site is; the empty string for the top of its host."""
    value = text(name)
    if value and not re.fullmatch(r"(/[A-Za-z0-9_-]+){1,8}", value):
        right = "write a path such as /tms, of letters, digits, - and _, with no slash at its end"
        raise _wrong(name, f"{right} (leave it out for a site at the top of its host)", value)
    return value


def cookie_suffix(name: str, path: str) -> str:
    """Return what the site's cookies are told from others by, after the path of the site; empty if neither is set."""
    value = text(name, path.strip("/").replace("/", "."))
    if not re.fullmatch(r"[A-Za-z0-9_.-]{0,64}", value):
        raise _wrong(name, "write up to 64 letters, digits, '-', '_' or '.'", value)
    return value


def digest(secret: str, use: str) -> str:
    """Return eight hexadecimal digits that differ from secret to secret; nothing about the secret follows from them."""
    return hmac.new(secret.encode(), use.encode(), "sha256").hexdigest()[:8]


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return a comma-separated list of IP addresses and networks (`10.0.0.0/8`)."""
    result = []
    for part in names(name, []):
        try:
            result.append(ipaddress.ip_network(part))
        except ValueError:
            raise _wrong(name, "write IP addresses or networks such as 10.0.0.0/8", part) from None
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
            raise _wrong(name, "write name=https://host, the name in letters, digits, '.', '_' or '-'", part)
        if cluster in result:
            raise _wrong(name, "use each cluster name once", cluster)
        result[cluster] = _origin(name, origin)
    # With two names for one TMS, nothing that compares customers of a cluster would see those of the other.
    if len(set(map(_without_default_port, result.values()))) < len(result):
        raise _wrong(name, "use each origin once", ",".join(result.values()))
    return result


def intervals(name: str, defaults: dict[str, int], *, maximum: int) -> dict[str, int]:
    """Return `{timer: seconds}` from `backup=86400,verify=0`, for each of `defaults`; 0: it is not watched."""
    right = f"write timer=seconds, each timer once of {', '.join(defaults)}, with 0 to {maximum} seconds (0: no run)"
    return defaults | _numbers(name, defaults, range(maximum + 1), right)


def counts(name: str, words: Collection[str]) -> dict[str, int]:
    """Return `{word: count}` from `daily=7,weekly=5`, each of the `words` at most once; empty without any."""
    right = f"write word=count, each word once of {', '.join(words)}, with a count from 1 to 9999"
    return _numbers(name, words, range(1, 10_000), right)


def _numbers(name: str, words: Collection[str], allowed: range, right: str) -> dict[str, int]:
    result: dict[str, int] = {}
    for part in names(name, []):
        word, _, number = (piece.strip() for piece in part.partition("="))
        is_number = re.fullmatch(r"[0-9]{1,9}", number) and int(number) in allowed
        if word not in words or word in result or not is_number:
            raise _wrong(name, right, part)
        result[word] = int(number)
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
            raise _wrong(name, f"write cluster=URL, the cluster one of {', '.join(known) or 'TMS_CLUSTERS'}", part)
        if cluster in result:
            raise _wrong(name, "use each cluster name once", cluster)
        match = re.fullmatch(r"([^/]*//[^/]+)(/[!\"$-~]*)", url)  # no fragment: it would not be sent
        if not match:
            raise _wrong(name, "write each endpoint as https://host/path", url)
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


def pairs(name: str) -> list[tuple[str, str]]:
    """Return `[(left, right), …]` from `left=right,left=right`; what is left of the last = may hold others."""
    result = []
    for part in names(name, []):
        left, _, right = (piece.strip() for piece in part.rpartition("="))
        if not left or not right:
            raise _wrong(name, "write value=Group, separated by commas", part)
        result.append((left, right))
    return result


def _without_default_port(origin: str) -> str:
    return origin.removesuffix(":443" if origin.startswith("https:") else ":80")


def _origin(name: str, value: str) -> str:
    match = re.fullmatch(rf"https?://{_HOST}({_PORT})/?", value, re.IGNORECASE)
    if not match or int(match[2].lstrip(":") or 0) > MAX_PORT:
        raise _wrong(name, "write each origin as https://host or https://host:port, without a path", value)
    origin = value.lower().rstrip("/")
    if origin.startswith("http:") and match[1].lower() not in LOOPBACK_NAMES:
        raise _wrong(name, "use https (http is for loopback only)", value)
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


def keys(name: str, *, minimum_length: int) -> list[str]:
    """Return a comma-separated list of secrets."""
    secrets = names(name, [])
    if any(len(secret) < minimum_length for secret in secrets):
        raise ImproperlyConfigured(f"{name}: use at least {minimum_length} characters for each key.")
    return secrets


def shared_secret(name: str, *, minimum_length: int) -> str:
    """Return a secret that other programs have, too, of visible characters, or the empty string."""
    value = text(name)
    if value and not (minimum_length <= len(value) <= MAX_SECRET and re.fullmatch(r"[!-~]*", value)):
        raise ImproperlyConfigured(
            f"{name}: use {minimum_length} to {MAX_SECRET} visible ASCII characters, without spaces."
        )
    return value


def folder_outside(name: str, default: str, base_dir: Path, other: Path) -> Path:
    """Return a folder that is not inside the folder `other`; a relative path starts at `base_dir`."""
    folder = (base_dir / text(name, default)).resolve()
    if folder.is_relative_to(other.resolve()) or (folder.exists() and not folder.is_dir()):
        raise _wrong(name, f"name a folder that is not in {other}", str(folder))
    return folder


def _wrong(name: str, right: str, value: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name}: {right}; it holds {value!r}.")
