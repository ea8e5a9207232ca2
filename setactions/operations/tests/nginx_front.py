"""The documented nginx in front of something that answers as the dashboard does."""

import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from setactions.operations.tests.nginx import certificate, configuration, nginx_in, session_from, wait_for_answer
from tmsdash.tests.tools import free_ports
from tmsdash.web.middleware import HEADERS

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
        for cookie in range(2 if self.path == "/cookies" else 0):  # as long as browsers keep them
            self.send_header("Set-Cookie", f"{cookie}={'x' * 4000}; Path=/")
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
        "rate=200r/s": "rate=20r/s",  # a busy machine must reach it, too
        "error.log crit": "error.log warn",  # on which nginx names what it writes to its disk
    }.items():
        assert documented in text
        text = text.replace(documented, here)
    # So that a test can come from other addresses than this machine has.
    text = text.replace("http {", f"http {{ set_real_ip_from {RELAY}; real_ip_header X-Come-From;", 1)
    (folder / "nginx.conf").write_text(text)
    with dashboard(port), nginx_in(folder):
        front = Front(folder, http_port, https_port)
        wait_for_answer(f"{front.url}/", folder)
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
