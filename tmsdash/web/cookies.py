"""The names of the site's cookies: browsers send them to every port and path of a host, so sites beside it differ."""

from django.conf import settings


def cookie_name(kind: str) -> str:
    """Return the name of a cookie of a kind, with the prefix and the suffix that the session's has."""
    return settings.SESSION_COOKIE_NAME.replace("sessionid", kind, 1)
