"""Secrets of the settings that programs present as a bearer token, because they have no account."""

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from tmsdash.web.addresses import is_from_this_host


def presents(request: HttpRequest, secret: str) -> bool:
    """Tell whether a request presents a secret, and has not shown it to a network on its way; an empty one is none."""
    if not secret:
        return False
    is_protected = request.is_secure() or not settings.SECURE_SSL_REDIRECT or is_from_this_host(request)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return is_protected and scheme.lower() == "bearer" and constant_time_compare(token.strip(), secret)
