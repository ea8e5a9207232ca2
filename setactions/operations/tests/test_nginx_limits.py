"""What the documented nginx lets through: nothing over plain HTTP, and nothing above its limits."""

import socket
import ssl
from collections import Counter

import pytest

from setactions.operations.tests.nginx import session_from
from setactions.operations.tests.nginx_front import (
    RELAY,
    UNPROTECTED,
    assert_own,
)
from tmsdash.tests.tools import at_once

pytestmark = pytest.mark.nginx

# -- Plain HTTP ---------------------------------------------------------------------------------------------------

SCRIPTS = [
    ("POST", "/proxy_fetch", {}),
    ("GET", "/proxy_fetch", {}),
    ("GET", "/api/jobs/mine", {}),
    ("GET", "/api/jobs/mine", {"Cookie": "a=/b"}),
    ("PUT", "/jobs/", {}),
    ("POST", "/login/", {}),
    ("DELETE", "/", {}),
    ("GET", "/jobs/", {"Authorization": "Bearer x"}),
    ("GET", "/jobs/", {"Authorization": "Basic x"}),
    ("GET", "/jobs/", {"Cookie": "__Host-sessionid=x"}),
    ("GET", "/jobs/", {"Cookie": "a=b; __Host-sessionid=x"}),
]


@pytest.mark.parametrize(("method", "path", "headers"), SCRIPTS)
def test_what_scripts_send_over_plain_http_is_refused(front, method, path, headers):
    answer = front.ask(method, f"{front.plain}{path}", headers=headers, data=b"x=y" if method == "POST" else None)
    assert_own(answer, 403, UNPROTECTED, secure=False)
    if path.startswith(("/api", "/proxy")):
        assert (answer.json()["outcome"], UNPROTECTED in answer.json()["message"]) == ("refused", True)


@pytest.mark.parametrize(("method", "headers"), [("GET", {}), ("HEAD", {}), ("GET", {"Cookie": "theme=dark"})])
def test_opening_a_page_over_plain_http_leads_to_https(front, method, headers):
    answer = front.ask(method, f"{front.plain}/jobs/?whose=all", headers=headers)
    assert_own(answer, 301, "", secure=False)
    assert answer.headers["Location"] == f"{front.url}/jobs/?whose=all"


def test_health_answers_over_plain_http_too(front):
    for method in ("GET", "HEAD"):
        assert front.ask(method, f"{front.plain}/health").status_code == 200


# -- Limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/login/", "//login/", "/%6cogin/", "/password/", "/sessions/", "/admin/password_change/"]
)
def test_a_burst_of_sign_ins_is_cut_off_while_pages_go_on(front, path):
    address = f"127.0.1.{sum(path.encode()) % 199}"
    codes = Counter(at_once(40, lambda _: front.ask("POST", f"{front.url}{path}", address, data=b"x").status_code))
    assert set(codes) == {200, 429}
    assert codes[200] <= 20
    refused = front.ask("POST", f"{front.url}{path}", address, data=b"x")
    assert_own(refused, 429, "Too many requests came from your address.")
    assert refused.headers["Retry-After"] == "60"
    for page in ("/", "/login/", "/static/x.css", "/health"):
        assert front.ask("GET", f"{front.url}{page}", address).status_code == 200
    assert front.ask("POST", f"{front.url}{path}", "127.0.1.200", data=b"x").status_code == 200  # somebody else


def sign_ins_from(front, addresses):
    url = f"{front.url}/login/"
    return [
        front.ask("POST", url, RELAY, data=b"x", headers={"X-Come-From": address}).status_code for address in addresses
    ]


@pytest.mark.parametrize("network", ["2001:db8:1:2:", "2001:db8:1:2:3:4:5", "2001:db8:", "2001:db8::7"])
def test_a_network_of_ipv6_is_one_client(front, network):
    assert 429 in sign_ins_from(front, [f"{network}:{number:x}" for number in range(1, 31)])


def test_two_networks_of_ipv6_are_two_clients(front):
    assert sign_ins_from(front, [f"2001:db8:5:{number:x}::1" for number in range(1, 31)]) == [200] * 30


def test_the_pages_of_40_people_behind_one_address_are_not_limited(front):
    def pages(_):
        with session_from("127.0.2.1", front.folder) as session:
            return {
                session.request(method, f"{front.url}/{page}", timeout=30, data=body).status_code
                for page in range(4)
                for method, body in (("GET", None), ("GET", None), ("POST", b"x" * (256 << 10)))
            }

    assert 429 not in set().union(*at_once(40, pages))


def test_a_flood_is_cut_off_but_never_for_health(front):
    address = "127.0.3.1"

    def flood(_):
        with session_from(address, front.folder) as session:
            return Counter(session.head(f"{front.url}/gone", timeout=30).status_code for _ in range(250))

    codes = sum(at_once(8, flood), Counter())
    assert codes[429] > 0
    assert {front.ask("GET", f"{front.url}/health", address).status_code for _ in range(20)} == {200}


def test_who_never_ends_a_request_is_not_waited_for(front):
    trust = ssl.create_default_context(cafile=front.folder / "cert.pem")
    with socket.create_connection(("127.0.0.1", front.https_port), timeout=60) as plain:
        with trust.wrap_socket(plain, server_hostname="localhost") as slow:
            slow.sendall(b"GET / HTTP/1.1\r\n")
            assert slow.recv(1) == b""
