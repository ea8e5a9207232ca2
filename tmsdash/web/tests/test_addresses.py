"""Clients' addresses: one spelling for each, and what counts as one client."""

import pytest
from django.test import RequestFactory

from tmsdash.web.addresses import parsed, throttled_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:203.0.113.7", "203.0.113.7"),
        ("::ffff:cb00:7107", "203.0.113.7"),
        ("0:0:0:0:0:FFFF:CB00:7107", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:4711", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:DB8::7", "2001:db8::7"),
        ("2001:0db8:0000:0000:0000:0000:0000:0007", "2001:db8::7"),
        ("2001:db8:0::0:7", "2001:db8::7"),
        ("[2001:DB8::7]", "2001:db8::7"),
        ("fe80::7%eth0", "fe80::7"),
        ("[fe80::7%eth1]:4711", "fe80::7"),
        ("::ffff:203.0.113.7%eth0", "203.0.113.7"),
    ],
)
def test_an_address_has_one_spelling(text, address):
    assert str(parsed(text)) == address


@pytest.mark.parametrize(
    "text", ["", "unknown", "203.0.113.777", "3405803783", "::1%" + "x" * 16, "::1%\n", "x:1", "[]"]
)
def test_what_is_no_address_is_none(text):
    assert parsed(text) is None


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:DB8:1:2::", "2001:db8:1:2::"),
        ("2001:db8:1:3::6", "2001:db8:1:3::"),
        ("", ""),  # a Unix socket has none
    ],
)
def test_a_network_of_64_bits_is_one_client_and_an_address_of_ipv4_another(text, counted):
    assert throttled_address(RequestFactory().get("/", REMOTE_ADDR=text)) == counted
