"""The call itself: deadlines, caps, where the token goes, and what each fault is classed as."""

import http.server
import queue
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from audit.choices import Kind
from setactions.tms import client, replies
from setactions.tms.clusters import Call, Cluster, Target
from setactions.tms.tests.call_threads import CallThreads
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN

HANG_S = 60  # far beyond every deadline here: tells a kept deadline from a hang, on any machine


def call(cluster_or_url, token=TOKEN, cids=("a1",)):
    cluster = Cluster("c", cluster_or_url) if isinstance(cluster_or_url, str) else cluster_or_url
    return client.set_action(cluster, "PE-Enable", cids, Token(token))


@pytest.fixture
def threads(monkeypatch):
    return CallThreads(monkeypatch)


@pytest.mark.parametrize("fault", ["timeout", "timeout-applied", "body-drip:0.05", "header-drip:0.05", "slow:3600"])
def test_the_deadline_holds_against_silence_and_both_drips(tms, settings, fault):
    settings.TMS_DEADLINE_S = 1
    started = time.monotonic()
    reply = call(tms.url, f"fault:{fault}")
    assert time.monotonic() - started < HANG_S
    assert (reply.kind, reply.timed_out) == (Kind.UNKNOWN, True)
    assert "1 s" in reply.message


@pytest.mark.parametrize("step", ["name resolution", "connection"])
def test_the_deadline_holds_before_anything_is_sent(tms, settings, monkeypatch, step, threads):
    """A name server that hangs (as getaddrinfo cannot be interrupted) and a host that swallows packets."""
    settings.TMS_DEADLINE_S = 1
    release = threading.Event()
    original = socket.getaddrinfo if step == "name resolution" else socket.socket.connect

    def hang(*args, **kwargs):
        release.wait(HANG_S)
        return original(*args, **kwargs)

    monkeypatch.setattr(*((socket, "getaddrinfo") if step == "name resolution" else (socket.socket, "connect")), hang)
    reply = call(tms.url)
    assert (reply.kind, reply.timed_out) == (Kind.NOT_SENT, True)
    release.set()
    threads.await_idle()
    assert tms.calls() == []  # the late thread found the gate closed


def test_a_connection_that_never_answers_the_tls_handshake_was_not_sent(settings):
    settings.TMS_DEADLINE_S = 1
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reply = call(f"https://127.0.0.1:{silent.getsockname()[1]}")
    assert (reply.kind, reply.timed_out) == (Kind.NOT_SENT, True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:2", "http://name.invalid"])
def test_a_refused_connection_and_an_unknown_name_were_not_sent(url):
    reply = call(url)
    assert (reply.kind, reply.timed_out, reply.http_status) == (Kind.NOT_SENT, False, None)


@pytest.mark.parametrize("fault", ["huge", "gzip-bomb"])
def test_a_huge_answer_is_cut_at_the_cap_in_bounded_memory(tms, settings, fault):
    settings.TMS_DEADLINE_S = 30
    import tracemalloc

    call(tms.url, f"fault:{fault}")  # builds the bomb, which is the simulator's memory
    tracemalloc.start()
    try:
        reply = call(tms.url, f"fault:{fault}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reply.kind == Kind.UNKNOWN
    assert "more than 1,048,576 bytes" in reply.message
    assert peak < 30 << 20


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(tms, code):
    reply = call(tms.url, f"fault:redirect:{code}")
    assert (reply.kind, reply.http_status) == (Kind.UNKNOWN, code)
    assert [received.path for received in tms.calls()] == [Call.SET_ACTION.value]


def test_a_refused_call_is_not_repeated(tms):
    for fault in ("reset-before", "close-after", "http:503:0", "http:429:0", "half-body"):
        tms.reset()
        call(tms.url, f"fault:{fault}")
        assert len(tms.calls()) == 1


class Recorder(http.server.BaseHTTPRequestHandler):
    """A server that keeps what it was sent."""

    def do_POST(self):
        self.server.seen.append((self.path, dict(self.headers)))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b'{"success": true, "message": "ok"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_CONNECT = do_GET = do_POST  # noqa: N815

    def log_message(self, *args):
        pass


class KeepingAlive(Recorder):
    """One that would take another request on each connection; it notes who connected, and who closed again."""

    protocol_version = "HTTP/1.1"

    def handle(self):
        super().handle()  # until the client closes
        self.server.closed.put(self.client_address)


@contextmanager
def recording_server(tls=None, handler=Recorder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.seen, server.closed = [], queue.SimpleQueue()
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_every_call_gets_a_connection_of_its_own_that_is_closed_after_it():
    with recording_server(handler=KeepingAlive) as server:
        for _ in range(3):
            assert call(f"http://127.0.0.1:{server.server_port}").kind == Kind.ACCEPTED
        assert len({server.closed.get(timeout=HANG_S) for _ in range(3)}) == 3


def test_the_environments_proxies_and_netrc_are_not_asked(tms, monkeypatch, tmp_path):
    with recording_server() as proxy, recording_server() as target:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login mallory password stolen\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        reply = call(f"http://127.0.0.1:{target.server_port}")
    assert reply.kind == Kind.ACCEPTED
    assert proxy.seen == []
    [(path, headers)] = target.seen
    assert path == "/tms/v1/set/action"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert not {"Cookie", "Proxy-Authorization"} & set(headers)


def test_the_configured_proxy_is_used(settings):
    with recording_server() as proxy:
        settings.TMS_PROXY = f"http://127.0.0.1:{proxy.server_port}"
        reply = call("http://tms.invalid")
    assert reply.kind == Kind.ACCEPTED
    assert proxy.seen[0][0] == "http://tms.invalid/tms/v1/set/action"


def test_a_proxy_that_refuses_the_tunnel_was_sent_nothing_of_ours(settings):
    with recording_server() as proxy:
        settings.TMS_PROXY = f"http://127.0.0.1:{proxy.server_port}"
        reply = call("https://tms.invalid")
    assert reply.kind == Kind.NOT_SENT
    assert all(TOKEN not in str(headers) for _, headers in proxy.seen)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1, which only a private bundle trusts."""
    folder = tmp_path_factory.mktemp("tls")
    key, pem = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tms -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", key, "-out", pem], check=True, capture_output=True)
    return key, pem


def test_tls_is_verified_against_the_configured_bundle(settings, certificate):
    key, pem = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    with recording_server(context) as server:
        url = f"https://127.0.0.1:{server.server_port}"
        reply = call(url)
        assert reply.kind == Kind.NOT_SENT
        assert server.seen == []
        settings.TMS_CA_BUNDLE = str(pem)
        assert call(url).kind == Kind.ACCEPTED
        assert call(url.replace("127.0.0.1", "localhost")).kind == Kind.NOT_SENT  # another name than the certificate's


def test_no_answer_of_tms_keeps_the_token(tms):
    token = "fault:echo-token:secret-0123456789"
    for name in ("echo-token", "echo-token-accepted"):
        reply = call(tms.url, token := f"fault:{name}:secret-0123456789")
        assert token not in f"{reply}"
        assert "[token removed]" in reply.message


def test_characters_that_no_database_takes_are_replaced(tms):
    reply = call(tms.url, "fault:extra-accepted")
    assert reply.kind == Kind.ACCEPTED
    reply.message.encode("utf-8")
    assert "\0" not in reply.message


@pytest.mark.parametrize("query", [(("cid", "ALL"),), (("cid", "a1"), ("cid", "b2"))])
def test_a_read_returns_what_tms_says(tms, query):
    call(tms.url, cids=("a1", "b2"))
    reading = client.read(Target(Cluster("c", tms.url), Call.GET_ACTION, query), Token(TOKEN))
    assert reading.ok
    assert reading.data["a1"]["action_code"] == reading.data["b2"]["action_code"] == 2


def test_a_reading_of_everything_may_take_twice_the_deadline(tms, settings):
    settings.TMS_DEADLINE_S = 3
    all_customers = Target(Cluster("c", tms.url), Call.GET_ACTION, (("cid", "ALL"),))
    reading = client.read(all_customers, Token("fault:slow:3.2"))
    assert reading.ok
    reading = client.read(Target(Cluster("c", tms.url), Call.GET_ACTION, (("cid", "a"),)), Token("fault:slow:60"))
    assert (reading.ok, reading.timed_out, reading.kind) == (False, True, Kind.UNKNOWN)


@pytest.mark.parametrize("fault", ["http:500", "unauthorized", "html", "reset-before", "half-body", "http:404"])
def test_a_failed_read_is_a_value_too(tms, fault):
    reading = client.read(Target(Cluster("c", tms.url), Call.GET_ACTION, (("cid", "a"),)), Token(f"fault:{fault}"))
    assert not reading.ok
    assert reading.message


def test_an_answer_that_cannot_be_read_here_is_a_value_too(tms, monkeypatch):
    original = replies._json_of

    def short_of_memory(answer, token):
        if answer.body:
            raise MemoryError
        return original(answer, token)

    monkeypatch.setattr(replies, "_json_of", short_of_memory)
    reply = call(tms.url)
    assert (reply.kind, tms.calls()[0].applied) == (Kind.UNKNOWN, True)
    assert "could not be read here" in reply.message
    reading = client.read(Target(Cluster("c", tms.url), Call.GET_ACTION, (("cid", "a"),)), Token(TOKEN))
    assert (reading.ok, "could not be read here" in reading.message) == (False, True)


def open_files():
    """Count this process' open files where the system tells (Linux), else 0."""
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0


def test_no_sockets_or_busy_threads_are_left_behind(tms, settings, threads):
    settings.TMS_DEADLINE_S = 1
    call(tms.url)
    before = open_files()
    for fault in ("reset-after", "half-body", "huge", "timeout", "header-drip", "redirect", "http:500"):
        call(tms.url, f"fault:{fault}")
    threads.await_idle()  # the simulator still holds its ends open, so it was the deadline that ended the calls
    tms.stop()  # closes the simulator's ends, which live in this process too
    tms.start()
    assert open_files() <= before
