"""BASE_PATH: the site below a path of its host, such as /tms, beside other sites.

Proxies either pass that path on or take it away; both is right. Within the site `request.path_info` is what the URLs
know, the same as at the top of a host, and `request.path` is what browsers see. Every address that the site makes
begins with the path, because Django has it as FORCE_SCRIPT_NAME.
"""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.urls import URLPattern, URLResolver
from django.utils.http import url_has_allowed_host_and_scheme

from tmsdash.web.plain_text import Application


def below(application: Application) -> Application:
    """Return a WSGI application that is asked without BASE_PATH, whether or not a proxy has passed it on."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["PATH_INFO"] = within(environ.get("PATH_INFO") or "")
        return application(environ, start_response)

    return call if settings.BASE_PATH else application


def within(path: str) -> str:
    """Return a path as the site's URLs know it: without BASE_PATH, if it begins with that."""
    return (path[len(settings.BASE_PATH) :] or "/") if _is_below(path) else path


def first_parts(resolver: URLResolver) -> set[str]:
    """Return what the paths of a resolver's URLs begin with, up to their first slash."""
    first: set[str] = set()
    for pattern in resolver.url_patterns:
        part = str(pattern.pattern).partition("/")[0]
        first |= {part} if part or isinstance(pattern, URLPattern) else first_parts(pattern)
    return first


def is_own(address: str) -> bool:
    """Tell whether an address is one of this site, with neither scheme nor host in front of its path."""
    return address.startswith("/") and url_has_allowed_host_and_scheme(address, None) and stays_below(address)


def stays_below(address: str) -> bool:
    """Tell whether the path of an address on this host is the site's: other sites of the host are other places.

    Browsers take `..` out before they ask, and read a backslash as a slash.
    """
    if not settings.BASE_PATH:
        return True
    path = unquote(urlsplit(address).path).replace("\\", "/")
    return _is_below(path) and ".." not in path.split("/")


def _is_below(path: str) -> bool:
    return path == settings.BASE_PATH or path.startswith(f"{settings.BASE_PATH}/")
