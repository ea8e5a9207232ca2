"""Reads single settings from the environment for settings.py.

Every function takes the variable's name and its default, and raises ImproperlyConfigured with
the variable's name, what is wrong and what would be right. Values of secrets are never shown.
"""

import hmac
import ipaddress
import os
import re
import ssl
from collections.abc import Collection
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from tmsdash import startup

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", ".localhost"})
MAX_SECRET = 512  # characters of a secret that another program has, too

read_names: set[str] = set()  # every variable that was looked up, so the names of all settings
file_lines: dict[str, str] = {}  # where a file sets a variable, such as ".env, line 3"


def read_file(name: str, base_dir: Path, default: str) -> Path | None:
    """Read `NAME=value` lines from the file that a variable names; the real environment wins over them.

    Return the file's path; None if it is the default one, which may be missing; a named one may not.
    """
    path = base_dir / text(name, default)
    try:
        if path.is_dir() or (text(name) and not path.exists()):
            raise wrong(name, "name a file that exists", str(path))
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
        raise wrong(name, "write true or false", value)
    return flags.get(value, default)


def debugging(name: str, allowed_hosts: Collection[str]) -> bool:
    """Return the debug flag, which shows code and settings to anybody who meets an error: for loopback only."""
    if boolean(name, False) and not LOOPBACK_NAMES.issuperset(allowed_hosts):
        raise wrong(name, "write false, or leave nothing but loopback names in ALLOWED_HOSTS", text(name))
    return boolean(name, False)


def integer(name: str, default: int, *, minimum: int, maximum: int) -> int:
    """Return a whole number between `minimum` and `maximum`, both included."""
    value = text(name)
    if not value:
        return default
    if re.fullmatch(r"-?[0-9]{1,18}", value) and minimum <= int(value) <= maximum:
        return int(value)
    raise wrong(name, f"write a whole number from {minimum} to {maximum}", value)


def names(name: str, default: list[str]) -> list[str]:
    """Return a comma-separated list, trimmed, without empty parts."""
    return [part.strip() for part in text(name).split(",") if part.strip()] or default


def certificates(name: str) -> str:
    """Return the path of a file of certificate authorities in PEM, or the empty string."""
    value = text(name)
    if value:
        try:
            ssl.create_default_context(cafile=value)
        except PermissionError as error:
            raise ImproperlyConfigured(f"{name}: {value} cannot be read ({error.strerror}).") from None
        except OSError:  # what ssl raises for a file that is not there, and for one of something else
            raise wrong(name, "name a file of certificates in PEM", value) from None
    return value


def spelling(name: str, known: list[str]) -> str:
    """Return one of the `known` words, in any case, by default the first one."""
    value = text(name, known[0])
    if value.lower() not in [word.lower() for word in known]:
        raise wrong(name, f"write {' or '.join(known)}, in any case", value)
    return value


def some_of(name: str, known: Collection[str]) -> list[str]:
    """Return a comma-separated list of words that are all `known`."""
    for word in names(name, []):
        if word not in known:
            raise wrong(name, f"write names from {', '.join(known) or 'TMS_CLUSTERS, which has none'}", word)
    return names(name, [])


def cookie_suffix(name: str, path: str) -> str:
    """Return what the site's cookies are told from others by, after the path of the site; empty if neither is set."""
    value = text(name, path.strip("/").replace("/", "."))
    if not re.fullmatch(r"[A-Za-z0-9_.-]{0,64}", value):
        raise wrong(name, "write up to 64 letters, digits, '-', '_' or '.'", value)
    return value


def digest(secret: str, use: str) -> str:
    """Return eight hexadecimal digits that differ from secret to secret; nothing about the secret follows from them."""
    return hmac.new(secret.encode(), use.encode(), "sha256").hexdigest()[:8]


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
            raise wrong(name, right, part)
        result[word] = int(number)
    return result


def pairs(name: str) -> list[tuple[str, str]]:
    """Return `[(left, right), …]` from `left=right,left=right`; what is left of the last = may hold others."""
    result = []
    for part in names(name, []):
        left, _, right = (piece.strip() for piece in part.rpartition("="))
        if not left or not right:
            raise wrong(name, "write value=Group, separated by commas", part)
        result.append((left, right))
    return result


def keys(name: str, *, minimum_length: int) -> list[str]:
    """Return a comma-separated list of secrets."""
    secrets = names(name, [])
    if any(len(secret) < minimum_length for secret in secrets):
        raise ImproperlyConfigured(f"{name}: use at least {minimum_length} characters for each key.")
    return secrets


def signing_key(name: str) -> str:
    """Return the base64 of 32 bytes, or the empty string."""
    value = text(name)
    if value and not re.fullmatch(r"[A-Za-z0-9+/]{43}=", value):
        raise ImproperlyConfigured(f"{name}: write 32 bytes in base64, as `openssl rand -base64 32` prints them.")
    return value


def public_keys(name: str) -> list[str]:
    """Return a comma-separated list of public keys as C2SP writes them."""
    for key in names(name, []):
        if not re.fullmatch(r"[^\s+]{1,255}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}", key):
            raise wrong(name, "write public keys as manage.py audit_keys shows them, NAME+KEY ID+BASE64", key)
    return names(name, [])


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
        raise wrong(name, f"name a folder that is not in {other}", str(folder))
    return folder


def wrong(name: str, right: str, value: str) -> ImproperlyConfigured:
    """Return the error that a variable holds `value`, and what would be `right`."""
    return ImproperlyConfigured(f"{name}: {right}; it holds {value!r}.")
