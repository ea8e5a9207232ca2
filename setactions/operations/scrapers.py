"""Who may read /metrics, and on /health what is degraded: programs, which have no account.

1. Whoever asks from this host: the client's own address is loopback. Through a trusted proxy that is the address which
   the proxy names; if it names none, the client is from nowhere known, and not from this host. Nor is one of a proxy on
   this host that is not trusted, as far as that writes any of the usual headers.
2. Whoever presents METRICS_TOKEN as a bearer token, over HTTPS if the site is meant for it.
"""

from django.conf import settings
from django.http import HttpRequest

from tmsdash.web.addresses import is_from_this_host
from tmsdash.web.bearer import presents


def may_read_metrics(request: HttpRequest) -> bool:
    """Tell whether a request comes from this host or presents the token."""
    return is_from_this_host(request) or has_metrics_token(request)


def has_metrics_token(request: HttpRequest) -> bool:
    """Tell whether a request presents METRICS_TOKEN, and has not shown it to a network on its way."""
    return presents(request, settings.METRICS_TOKEN)
