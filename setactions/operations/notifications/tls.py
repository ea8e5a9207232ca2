"""Whom webhooks and mail servers have to be certified by."""

import ssl

import certifi
from django.conf import settings


def context() -> ssl.SSLContext:
    """Return a verifying context that trusts the public authorities, and those of TMS_CA_BUNDLE besides."""
    made = ssl.create_default_context(cafile=certifi.where())
    if settings.TMS_CA_BUNDLE:
        made.load_verify_locations(settings.TMS_CA_BUNDLE)
    return made
