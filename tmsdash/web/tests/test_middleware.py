"""What stands in front of every view: the client's real address, the size of requests, and signing in."""

import ipaddress
from io import BytesIO

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse
from django.test import Client, RequestFactory

from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import WAIT_S, Gate, text_of, threads
from tmsdash.web.middleware import RequestBodyMiddleware
from tmsdash.web.proxies import TrustedProxyMiddleware

pytestmark = pytest.mark.pages

LIMIT = 5 << 20


def trust(settings, *networks):
    settings.TRUSTED_PROXIES = [ipaddress.ip_network(network) for network in networks]


def test_a_chunked_body_is_refused_with_the_next_step(olivia):
    answer = signed_in(olivia).generic("POST", "/proxy_fetch", headers={"Transfer-Encoding": "chunked"})
    assert (answer.status_code, "Content-Length" in answer.json()["message"]) == (411, True)


# -- TrustedProxyMiddleware ---------------------------------------------------------------------------------------


@pytest.fixture
def seen(settings):
    """The request as views see it behind proxies of 10.0.0.0/8 and ::1."""
    trust(settings, "10.0.0.0/8", "::1")
    requests = []

    def view(request):
        requests.append(request)
        return HttpResponse()

    def get(peer, **headers):
        TrustedProxyMiddleware(view)(RequestFactory().get("/", REMOTE_ADDR=peer, **headers))
        return requests[-1]

    return get


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        # Anybody can write the header; from others than the proxies it counts for nothing.
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("203.0.113.9", "10.0.0.1", "203.0.113.9"),
        ("11.0.0.1", "198.51.100.1", "11.0.0.1"),
        ("2001:db8::9", "198.51.100.1", "2001:db8::9"),
        ("", "198.51.100.1", ""),  # a Unix socket has no address
        # As a socket for IPv4 and IPv6 shows it, and as some proxies write it.
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        # One proxy, and what its clients made up in front of what it added.
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "10.0.0.9, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "<script>, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", " 203.0.113.7 ", "203.0.113.7"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        # A chain of proxies.
        ("10.0.0.1", "203.0.113.7, 10.0.0.2, 10.0.0.3", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1,203.0.113.7,10.0.0.2,::1", "203.0.113.7"),
        ("10.0.0.1", "10.0.0.5, 10.0.0.2", "10.0.0.5"),  # a client on the proxies' network
        # Garbage ends the search; what was certain until there counts.
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", ",,", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "203.0.113.777", "10.0.0.1"),
        ("10.0.0.1", "3405803783", "10.0.0.1"),
        ("10.0.0.1", "fe80::1%" + "x" * 100, "10.0.0.1"),  # longer than any address
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy(seen, peer, forwarded_for, address):
    request = seen(peer, HTTP_X_FORWARDED_FOR=forwarded_for)
    assert request.META["REMOTE_ADDR"] == address
    assert "X-Forwarded-For" not in request.headers


@pytest.mark.parametrize(
    ("peer", "proto", "secure"),
    [
        ("10.0.0.1", "https", True),
        ("10.0.0.1", "http", False),
        ("10.0.0.1", "", False),
        ("10.0.0.1", "HTTPS", True),
        ("10.0.0.1", " https ", True),
        ("10.0.0.1", "https,", True),
        ("10.0.0.1", "wss", True),
        ("10.0.0.1", "ws", False),
        ("10.0.0.1", "on", False),
        ("10.0.0.1", "https://", False),
        ("203.0.113.9", "https", False),
        ("", "https", False),
    ],
)
def test_the_scheme_is_taken_from_proxies_only(seen, peer, proto, secure):
    request = seen(peer, HTTP_X_FORWARDED_PROTO=proto)
    assert request.is_secure() is secure
    assert request.scheme == ("https" if secure else "http")
    assert "X-Forwarded-Proto" not in request.headers


def test_a_proxy_can_say_that_a_secure_connection_came_in_as_plain_http(seen):
    request = seen("10.0.0.1", HTTP_X_FORWARDED_PROTO="http", **{"wsgi.url_scheme": "https"})
    assert not request.is_secure()


def test_without_trusted_proxies_nobody_is_believed(settings, seen):
    trust(settings)
    request = seen("127.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.7", HTTP_X_FORWARDED_PROTO="https")
    assert (request.META["REMOTE_ADDR"], request.is_secure()) == ("127.0.0.1", False)


def test_it_stands_in_front_of_the_redirect_to_https(settings, databases, caplog):
    settings.SECURE_SSL_REDIRECT = True
    trust(settings, "10.0.0.0/8")
    headers = {"X-Forwarded-Proto": "https"}
    assert Client().get("/login/", REMOTE_ADDR="10.0.0.1", headers=headers).status_code == 200
    redirected = Client().get("/login/", REMOTE_ADDR="203.0.113.9", headers=headers)
    assert (redirected.status_code, redirected["Location"]) == (301, "https://testserver/login/")
    assert "from 203.0.113.9, which is not in TRUSTED_PROXIES" in caplog.text  # why it loops, if it was a proxy


def test_load_balancers_ask_for_health_over_plain_http(settings, databases):
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/health").status_code == 200


# -- RequestBodyMiddleware ----------------------------------------------------------------------------------------


class Unread:
    """A body that nobody may read."""

    def read(self, *args):
        raise AssertionError("the body was read")

    readline = read


def post(path, length, client=None, **extra):
    return (client or Client()).generic("POST", path, b"", CONTENT_LENGTH=length, **extra)


@pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 18, "9" * 400, "0" * 20 + str(LIMIT + 1)])
def test_a_request_that_is_too_large_is_refused_unread(databases, length):
    answer = post("/proxy_fetch", length, **{"wsgi.input": Unread()})
    body = answer.json()
    assert answer.status_code == 413
    assert body["message"].startswith("The request is larger than 5 MiB. Nothing was sent to TMS.")
    assert body["errors"] == {"request": [body["message"]]}
    page = post("/review/", length, **{"wsgi.input": Unread()})
    assert page.status_code == 413
    assert "The request is larger than 5 MiB. Nothing was sent to TMS." in text_of(page)


def test_an_upload_that_is_too_large_is_refused_to_somebody_signed_in(olivia):
    answer = signed_in(olivia).post("/review/", {"file": "x" * (LIMIT + 1)})
    assert answer.status_code == 413


@pytest.mark.parametrize("length", ["0", ""])
def test_other_requests_reach_their_view(databases, length):
    assert post("/proxy_fetch", length).status_code == 401  # nobody is signed in


@pytest.mark.parametrize("length", ["-1", "+5", "abc", "1e9", "5.5", "٣"])
def test_a_length_that_is_none_is_a_400(databases, length):
    assert post("/proxy_fetch", length, **{"wsgi.input": Unread()}).status_code == 400


def test_a_body_of_just_the_limit_reaches_its_view(olivia):
    answer = signed_in(olivia).generic("POST", "/proxy_fetch", b"x" * LIMIT, content_type="application/json")
    assert (answer.status_code, answer.json()["outcome"]) == (400, "refused")


def test_who_is_not_signed_in_may_send_little(databases):
    limit = RequestBodyMiddleware.ANONYMOUS_LIMIT
    assert post("/proxy_fetch", str(limit + 1), **{"wsgi.input": Unread()}).status_code == 401
    assert post("/login/", str(limit + 1), **{"wsgi.input": Unread()}).status_code == 413
    assert Client().post("/login/", {"username": "x" * (limit - 200)}).status_code == 200


class NeverEnding:
    """A body of which nothing more arrives until the test says so."""

    def __init__(self):
        self.gate = Gate()

    def read(self, *args):
        self.gate.enter()
        return b""

    readline = read


def test_bodies_of_strangers_take_no_room_of_users(settings):
    settings.WEB_THREADS = 8  # room for one stranger, and for four users
    receive = RequestBodyMiddleware(lambda request: HttpResponse("received"))

    def whole():
        return BytesIO(b"0123456789")

    def status(is_user, body):
        request = RequestFactory().generic("POST", "/proxy_fetch", b"", CONTENT_LENGTH="10", **{"wsgi.input": body})
        request.user = User(username="olivia") if is_user else AnonymousUser()
        return receive(request).status_code

    stuck = [NeverEnding() for _ in range(5)]
    with threads(5) as submit:
        waiting = [submit(status, False, stuck[0])]
        stuck[0].gate.await_entry()
        assert (status(False, whole()), status(True, whole())) == (503, 200)
        for body in stuck[1:]:
            waiting.append(submit(status, True, body))
            body.gate.await_entry()
        assert status(True, whole()) == 503
        for body in stuck:
            body.gate.open()
        assert [result.result(WAIT_S) for result in waiting] == [400] * 5  # they broke off
    assert (status(False, whole()), status(True, whole())) == (200, 200)


@pytest.mark.parametrize("sent", [b"", b'{"isPost": true}'])
def test_a_body_that_ends_too_early_is_a_400(databases, sent):
    """So the server passes on what broke off, even where what came is whole JSON."""
    answer = post("/proxy_fetch", str(len(sent) + 1), **{"wsgi.input": BytesIO(sent)})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("The request broke off. Nothing was sent to TMS.")


def test_a_body_that_breaks_off_is_a_400_in_our_words(databases):
    class BrokenOff:
        def read(self, *args):
            raise OSError("the client has gone")

        readline = read

    answer = post("/proxy_fetch", "1000", **{"wsgi.input": BrokenOff()})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("The request broke off. Nothing was sent to TMS.")


# -- SignInRequiredMiddleware -------------------------------------------------------------------------------------


def test_the_sign_in_page_gets_its_styles(databases):
    styles = Client().get("/static/tmsdash.css")
    assert b"font" in b"".join(styles.streaming_content)
    styles.close()
    assert "/static/tmsdash.css" in Client().get("/login/").content.decode()


def test_who_signs_in_comes_to_the_page_they_wanted(olivia):
    client = Client()
    answer = client.post(
        "/login/", {"username": "olivia", "password": "correct horse battery staple", "next": "/jobs/"}
    )
    assert (answer.status_code, answer["Location"]) == (302, "/jobs/")
    assert client.get("/jobs/").status_code == 200


def test_an_account_that_was_switched_off_is_signed_out(olivia):
    client = signed_in(olivia)
    olivia.is_active = False
    olivia.save()
    assert client.get("/api/jobs/mine").status_code == 401


@pytest.mark.parametrize(
    ("size", "user", "is_read"),
    [(LIMIT + 1, True, True), (LIMIT + (1 << 20) + 1, True, False), (LIMIT + 1, False, False)],
)
def test_a_body_that_is_a_little_too_large_is_read_so_that_a_proxy_can_send_it(size, user, is_read, olivia):
    request = RequestFactory().post("/review/", b"x" * size, content_type="text/csv")
    request.user = olivia if user else AnonymousUser()
    answer = RequestBodyMiddleware(lambda request: HttpResponse("received"))(request)
    assert answer.status_code == 413
    assert (request.read(1) == b"") is is_read
