"""Client addresses: each in one spelling, and as the throttle of sign-ins counts them."""

import ipaddress
import re
from functools import lru_cache

from django.http import HttpRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# As proxies and sockets write them: 203.0.113.7:4711, [2001:db8::7]:4711, fe80::1%eth0
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}|\[([^\[\]]{1,64})\](?::[0-9]{1,5})?")
_ZONE = re.compile(r"%[\w.~-]{1,15}\Z", re.ASCII)  # Linux interface names have at most 15 characters
OWN_NETWORK_BITS = 64  # of an IPv6 address; its user can change the rest at will


@lru_cache(maxsize=1024)
def parsed(text: str) -> Address | None:
    """Return the address that `text` spells, IPv4 also where IPv6 wraps it; None if it is none."""
    with_port = _WITH_PORT.fullmatch(text)
    host = (with_port[1] or with_port[2]) if with_port else text
    try:
        address = ipaddress.ip_address(_ZONE.sub("", host))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:  # a zone that is not an interface name, and may have any length
            return None
        return address.ipv4_mapped or address
    return address


def throttled_address(request: HttpRequest) -> str:
    """Return what the throttle counts as one client: an IPv4 address, or the first address of an IPv6 /64 network.

    Text that is no address (a Unix socket has none) is returned as it is.
    """
    text: str = request.META.get("REMOTE_ADDR", "")
    address = parsed(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, OWN_NETWORK_BITS), strict=False).network_address)
    return str(address) if address else text


def is_from_this_host(request: HttpRequest) -> bool:
    """Tell whether the client is known to be on this host: not if a trusted proxy did not say who it is."""
    address = parsed(request.META.get("REMOTE_ADDR", ""))
    return bool(address and address.is_loopback and getattr(request, "client_is_known", False))
