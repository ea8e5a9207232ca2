"""What the documented nginx says itself, before or instead of the dashboard: TLS, headers, refusals and limits."""

import re
import socket
import ssl
import subprocess
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from setactions.operations.tests.nginx import DOCUMENTED, certificate, configuration, nginx_in, session_from
from tmsdash.tests.tools import at_once, free_ports, until
from tmsdash.web.middleware import HEADERS

pytestmark = pytest.mark.nginx

RELAY = "127.0.4.1"
LONG_ANSWER = 12 << 20  # more than nginx keeps in memory
UNPROTECTED = "What you sent has crossed the network unprotected"
SHARED = [*HEADERS, "Strict-Transport-Security"]


class Dashboard(BaseHTTPRequestHandler):
    """Stands in for the dashboard: answers with its headers, not at all, or not in time."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/never":
            self.server.over.wait(60)
        if self.path == "/gone":
            self.close_connection = True
            return
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"x" * LONG_ANSWER if self.path == "/long" else b"ok"
        self.send_response(429 if self.path == "/busy" else 200)
        headers = HEADERS | {"Strict-Transport-Security": "max-age=1", "X-Request-ID": "0123456789abcdef"}
        for name, value in (headers | {"Content-Length": str(len(body)), "Retry-After": "900"}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        self.do_GET()

    def do_HEAD(self):
        self.do_GET()

    def log_message(self, *args):
        pass


@contextmanager
def dashboard(port):
    with ThreadingHTTPServer(("127.0.0.1", port), Dashboard) as server:
        server.over = threading.Event()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield
        server.over.set()
        server.shutdown()


class Front:
    def __init__(self, folder, http_port, https_port):
        self.folder, self.http_port, self.https_port = folder, http_port, https_port
        self.plain, self.url = f"http://localhost:{http_port}", f"https://localhost:{https_port}"

    def ask(self, method, url, address="127.0.0.1", **kwargs):
        with session_from(address, self.folder) as session:
            return session.request(method, url, allow_redirects=False, timeout=30, **kwargs)

    def handshake(self, *options):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.https_port}", *options]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    folder = tmp_path_factory.mktemp("front")
    port, http_port, https_port = free_ports(3)
    certificate(folder)
    text = configuration(folder, http_port, https_port, port)
    for documented, here in {
        "proxy_read_timeout 90s": "proxy_read_timeout 1s",  # the tests wait for it
        "client_header_timeout 10s": "client_header_timeout 1s",
        "error.log crit": "error.log warn",  # on which nginx names what it writes to its disk
    }.items():
        assert documented in text
        text = text.replace(documented, here)
    # So that a test can come from other addresses than this machine has.
    text = text.replace("http {", f"http {{ set_real_ip_from {RELAY}; real_ip_header X-Come-From;", 1)
    (folder / "nginx.conf").write_text(text)
    with dashboard(port), nginx_in(folder):
        front = Front(folder, http_port, https_port)

        def answers():
            with suppress(requests.ConnectionError):
                return front.ask("GET", f"{front.url}/").ok
            return False

        until(answers)
        yield front


def every(answer, name):
    """All values of a header, which requests would join."""
    return answer.raw.headers.getlist(name)


def assert_own(answer, code, words, *, secure=True):
    """nginx made this answer, with the headers of the dashboard, each once."""
    assert (answer.status_code, words in answer.text) == (code, True), answer.text
    expected = [name for name in SHARED if secure or name != "Strict-Transport-Security"]
    assert [name for name in expected if len(every(answer, name)) != 1] == []
    assert answer.headers["Server"] == "nginx"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "no-store" in answer.headers["Cache-Control"]
    assert secure or "Strict-Transport-Security" not in answer.headers


# -- TLS ----------------------------------------------------------------------------------------------------------

WITHOUT_FORWARD_SECRECY = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA256", "CAMELLIA128-SHA"]
WITHOUT_AUTHENTICATED_ENCRYPTION = ["ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384"]


@pytest.mark.parametrize("cipher", WITHOUT_FORWARD_SECRECY + WITHOUT_AUTHENTICATED_ENCRYPTION)
def test_a_weak_cipher_finds_no_agreement(front, cipher):
    ended = front.handshake("-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    assert ended.returncode != 0
    assert "alert handshake failure" in ended.stderr


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_an_old_version_of_tls_finds_no_agreement(front, version):
    ended = front.handshake(version, "-cipher", "ALL:@SECLEVEL=0")
    assert ended.returncode != 0


@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"),
        ("-tls1_3",),
    ],
)
def test_what_keeps_yesterdays_traffic_secret_is_taken(front, options):
    ended = front.handshake(*options)
    assert ended.returncode == 0
    assert "Server Temp Key" in ended.stdout  # a key for this connection alone


# -- Headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/static/x.css", "/api/jobs/mine", "/busy"])
def test_answers_of_the_dashboard_keep_their_own_headers_and_get_no_second_ones(front, path):
    answer = front.ask("GET", f"{front.url}{path}")
    assert {name: every(answer, name) for name in HEADERS} == {name: [value] for name, value in HEADERS.items()}
    assert every(answer, "Strict-Transport-Security") == ["max-age=1"]
    assert every(answer, "Retry-After") == ["900"]


def test_nginx_speaks_in_our_words_and_with_our_headers(front):
    large = {"headers": {"Content-Length": str(7 << 20)}}
    assert_own(front.ask("POST", f"{front.url}/review/", **large), 413, "Cut the list into smaller ones.")
    assert_own(front.ask("GET", f"{front.url}/gone"), 502, "Look at User Jobs before you send anything again")
    assert_own(front.ask("GET", f"{front.url}/never"), 504, "did not answer in time")
    plain_on_the_secure_port = front.ask("GET", f"http://localhost:{front.https_port}/jobs/")
    assert_own(plain_on_the_secure_port, 403, UNPROTECTED)
    malformed = front.ask("GET", f"{front.url}/", headers={"Host": "a b"})
    assert_own(malformed, 400, "Bad Request")
    assert "<html" in front.ask("GET", f"{front.url}/gone").text


def test_scripts_hear_json_that_never_calls_refused_what_may_have_been_sent(front):
    refused = front.ask("POST", f"{front.url}/proxy_fetch", headers={"Content-Length": str(7 << 20)})
    assert (refused.status_code, refused.json()["outcome"]) == (413, "refused")
    assert refused.headers["Content-Type"] == "application/json"


@pytest.fixture
def deserted(front, tmp_path):
    """The same nginx, but the dashboard is gone."""
    http_port, https_port, port = free_ports(3)
    certificate(tmp_path)
    (tmp_path / "nginx.conf").write_text(configuration(tmp_path, http_port, https_port, port))
    with nginx_in(tmp_path):
        front = Front(tmp_path, http_port, https_port)

        def answers():
            with suppress(requests.ConnectionError):
                return front.ask("GET", f"{front.url}/").status_code == 502
            return False

        until(answers)
        yield front


def test_without_the_dashboard_the_outcome_is_unknown(deserted):
    answer = deserted.ask("POST", f"{deserted.url}/proxy_fetch", data=b"{}")
    assert_own(answer, 502, "Look at User Jobs before you send anything again")
    assert (answer.json()["outcome"], answer.json()["job_id"]) == ("unknown", None)
    assert_own(deserted.ask("GET", f"{deserted.plain}/health"), 502, "cannot be reached", secure=False)


def test_every_page_of_nginx_names_its_charset(front):
    for answer in (
        front.ask("GET", f"{front.url}/", headers={"Host": "a b"}),
        front.ask("GET", f"{front.url}/gone"),
        front.ask("GET", f"{front.plain}/jobs/"),
        front.ask("POST", f"{front.plain}/jobs/"),
    ):
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8", answer.status_code


# -- What stays behind --------------------------------------------------------------------------------------------


def test_neither_bodies_nor_answers_are_written_to_the_disk_of_nginx(front):
    for url in (f"{front.url}/review/", f"{front.plain}/health"):
        answer = front.ask("POST", url, data=b"x" * (5 << 20) + b"planted-token")
        assert (answer.status_code, answer.text) == (200, "ok")
    with session_from("127.0.0.1", front.folder) as session:
        with session.get(f"{front.url}/long", stream=True, timeout=30) as slowly:
            parts = slowly.iter_content(1 << 20)
            read = len(next(parts))
            # By now nginx has what it takes of the rest: it answers others meanwhile.
            assert front.ask("GET", f"{front.url}/").ok
            read += sum(map(len, parts))
    assert read == LONG_ANSWER
    logged = (front.folder / "tms-dashboard.error.log").read_text()
    assert "temporary file" not in logged
    assert [path for name in ("body", "proxy") for path in (front.folder / name).rglob("*") if path.is_file()] == []


JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


def test_the_access_log_has_times_with_their_offset_and_nothing_that_may_be_a_token(front):
    planted = {"headers": {"Referer": f"https://x/?{JWT}", "User-Agent": JWT, "Cookie": JWT, "Authorization": JWT}}
    for path in (f"/customers/?cid={JWT}", f"/customers/{JWT}/", f"/{'t' * 60}", "/jobs/%0a%22forged%22%20x/?secret"):
        for base in (front.url, front.plain):
            front.ask("GET", f"{base}{path}", "127.0.0.9", **planted)

    def lines():
        text = (front.folder / "tms-dashboard.access.log").read_text()
        return [line for line in text.splitlines() if " 127.0.0.9 " in line]

    until(lambda: len(lines()) == 8)
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"
    for line in lines():
        assert re.fullmatch(rf'{time} 127\.0\.0\.9 "GET (\(cut\)|/[^?"]*)" \d{{3}} \d+ [\d.]+ ([0-9a-f]{{16}}|-)', line)
    paths = [line.split('"')[1] for line in lines()[::2]]
    assert paths == ["GET /customers/", "GET (cut)", "GET (cut)", r"GET /jobs/\x0A\x22forged\x22 x/"]


def test_the_error_log_repeats_no_address_as_it_is_documented():
    site = DOCUMENTED.read_text()
    assert re.findall(r"^ *error_log \S+ (\w+);", site, re.MULTILINE) == ["crit"] * 2
    assert re.findall(r"^ *access_log \S+ (\w+);", site, re.MULTILINE) == ["tms"] * 2


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
