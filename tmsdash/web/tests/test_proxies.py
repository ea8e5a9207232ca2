"""What proxies say about the scheme: which of several counts, and what the log says of what is not believed."""

import ipaddress
import logging

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from tmsdash.web.proxies import MOST_LINES, TrustedProxyMiddleware

pytestmark = pytest.mark.pages

PROXY = "10.0.0.1"


@pytest.fixture
def scheme_of(settings):
    """The scheme that views see behind one process's middleware, of an HTTPS-only site behind 10.0.0.0/8."""
    settings.TRUSTED_PROXIES = [ipaddress.ip_network("10.0.0.0/8")]
    settings.SECURE_SSL_REDIRECT = True
    middleware = TrustedProxyMiddleware(lambda request: HttpResponse(request.scheme))

    def ask(proto, forwarded_for="", peer=PROXY):
        headers = {"X-Forwarded-For": forwarded_for} | ({} if proto is None else {"X-Forwarded-Proto": proto})
        return middleware(RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers)).content.decode()

    return ask


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "tmsdash.web.proxies"]


@pytest.mark.parametrize(
    ("proto", "forwarded_for", "scheme"),
    [
        # The proxy that ends TLS is trusted, too: what it said of its client counts, not how it was itself connected.
        ("https, http", "203.0.113.7, 10.0.0.2", "https"),
        ("https,http,http", "203.0.113.7,10.0.0.3,10.0.0.2", "https"),
        ("http, https", "203.0.113.7, 10.0.0.2", "http"),
        ("HTTPS , http", "203.0.113.7, 10.0.0.2", "https"),
        # One proxy, and what its client made up in front of what it added.
        ("https, http", "203.0.113.7", "http"),
        ("http, https", "203.0.113.7", "https"),
        ("https, http", "198.51.100.1, 203.0.113.7", "http"),
        ("https, http, http", "198.51.100.1, 203.0.113.7, 10.0.0.2", "http"),
        ("https, http", "", "http"),
        # A chain whose inner proxies pass on what the first one said, or not all of which append.
        ("https", "203.0.113.7, 10.0.0.2", "https"),
        ("https, http", "203.0.113.7, 10.0.0.3, 10.0.0.2", "https"),
        ("https,", "203.0.113.7", "https"),
        (",", "203.0.113.7", "http"),
    ],
)
def test_the_scheme_that_counts_was_said_by_the_proxy_that_named_the_client(scheme_of, proto, forwarded_for, scheme):
    assert scheme_of(proto, forwarded_for) == scheme


@pytest.mark.parametrize(
    ("proto", "forwarded_for", "peer", "words"),
    [
        ("on", "203.0.113.7", PROXY, "'on' from the proxy 10.0.0.1 does not say http or https"),
        ("", "203.0.113.7", PROXY, "'' from the proxy 10.0.0.1 does not say"),
        (None, "203.0.113.7", PROXY, "missing from the proxy 10.0.0.1, so"),
        ("x" * 5000, "203.0.113.7", PROXY, "does not say http or https"),
        ("a\nb", "203.0.113.7", PROXY, "does not say http or https"),
        ("https, http", "203.0.113.7", PROXY, "'https, http' from the proxy 10.0.0.1 counts as http"),
        ("https, http", "", "203.0.113.9", "https from 203.0.113.9, which is not in TRUSTED_PROXIES"),
        ("HTTPS", "", "203.0.113.9", "https from 203.0.113.9, which is not in TRUSTED_PROXIES"),
    ],
)
def test_what_is_not_believed_is_one_line_of_the_log_however_often_it_comes(
    scheme_of, caplog, proto, forwarded_for, peer, words
):
    for _ in range(3):
        scheme_of(proto, forwarded_for, peer)
    [line] = lines(caplog)
    assert (words in line, len(line) < 300, "\n" in line) == (True, True, False)
    scheme_of("off", "203.0.113.7")
    assert len(lines(caplog)) == 2


def test_what_is_believed_or_means_nothing_is_not_worth_a_line(scheme_of, settings, caplog):
    for proto in ("https", "http", "HTTPS", "wss"):
        scheme_of(proto, "203.0.113.7")
    scheme_of("http", peer="203.0.113.9")
    scheme_of(None)  # the watchdog, or a load balancer that asks for /health
    settings.SECURE_SSL_REDIRECT = False
    scheme_of("https", peer="203.0.113.9")
    scheme_of(None, "203.0.113.7")
    assert lines(caplog) == []


def test_strangers_cannot_fill_the_log(scheme_of, caplog):
    caplog.set_level(logging.ERROR)
    for number in range(MOST_LINES + 20):
        scheme_of(f"odd-{number}", "203.0.113.7")
    assert len(lines(caplog)) == MOST_LINES
