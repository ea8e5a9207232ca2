"""A server restarted on a socket that stays open, as systemd keeps it: nobody who comes meanwhile is refused."""

import json
import os
import signal
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from setactions.devtools.proofs.restarts import held_socket
from setactions.devtools.proofs.site import Server, Site
from setactions.devtools.proofs.steady_load import PER_S, SteadyLoad
from setactions.devtools.simulator import Simulator
from setactions.devtools.tests import sites
from setactions.operations.tests.nginx import certificate, configuration, nginx_in, wait_for_answer
from setactions.operations.tests.test_workers import workers_of
from tmsdash.server import given_socket
from tmsdash.tests.tools import free_ports, until

pytestmark = [pytest.mark.sqlite, pytest.mark.linux]
SHARE = float(os.environ.get("RESTART_SHARE", "0.25"))  # of the load; more where there is time for it
RESTARTS = int(os.environ.get("RESTARTS", "1"))


@pytest.fixture(scope="module")
def held():
    with held_socket() as held:
        yield held


@pytest.fixture(scope="module")
def tms():
    with Simulator(latency_s=0.3) as tms:
        yield tms


@pytest.fixture(scope="module")
def server(tmp_path_factory, held, tms):
    """A server of two workers on that socket, as nginx reaches it."""
    https = {"ALLOWED_HOSTS": "localhost", "HTTPS_ONLY": "true", "TRUSTED_PROXIES": "127.0.0.1", "WEB_WORKERS": 2}
    with Site(tmp_path_factory.mktemp("site"), {"main": tms.url}, **https) as site:
        sites.copied(site)
        server = Server(site, 1, held)
        server.wait_until_healthy()
        yield server


def asked(connection):
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return connection


def answer(connection):
    return connection.makefile("rb").read().partition(b"\r\n")[0]


def test_who_connects_around_a_restart_is_answered_before_or_after_it(held, server):
    until(lambda: len(workers_of(server)) == 2)
    workers = workers_of(server)
    for pid in (server.pid, *workers, *workers.values()):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert (b"LISTEN_PID" in environment) is (pid == server.pid)  # which was started with it

    def accepts(worker):
        with suppress(FileNotFoundError):  # it has ended
            return any(map(is_held, Path(f"/proc/{worker}/fd").iterdir()))
        return False

    def is_held(descriptor):
        with suppress(FileNotFoundError):  # it was closed meanwhile
            return str(descriptor.readlink()) == f"socket:[{os.fstat(held.fileno()).st_ino}]"
        return False

    def connected():
        return stack.enter_context(socket.create_connection(held.getsockname()))

    with ExitStack() as stack:
        until(lambda: all(map(accepts, workers.values())))
        silent = connected()
        assert answer(asked(connected())) == b"HTTP/1.1 200 OK"  # so the one before is accepted
        os.kill(server.pid, signal.SIGTERM)
        until(lambda: not any(map(accepts, workers.values())))
        late = asked(connected())
        assert answer(asked(silent)) == b"HTTP/1.1 200 OK"
        assert server.stop() == 0
        with pytest.raises(BlockingIOError):
            late.setblocking(False)
            late.recv(1)
        late.setblocking(True)
        server.start()
        assert answer(late) == b"HTTP/1.1 200 OK"
        server.wait_until_healthy()


@pytest.mark.nginx
def test_no_request_fails_behind_nginx_while_the_server_is_restarted(tmp_path, held, server, tms):
    http_port, https_port = free_ports(2)
    certificate(tmp_path)
    (tmp_path / "nginx.conf").write_text(configuration(tmp_path, http_port, https_port, held.getsockname()[1]))
    url = f"https://localhost:{https_port}"
    with nginx_in(tmp_path):
        wait_for_answer(f"{url}/health", tmp_path)
        with SteadyLoad(url, tms.url, str(tmp_path / "cert.pem"), SHARE) as load:
            for _ in range(RESTARTS):
                until(lambda: all(load.facts[f"answered {path}"] for path in PER_S))
                print(f"{server.replace():.1f} s until the next server was there")  # noqa: T201 (shown with -s)
        print(json.dumps(load.facts, indent=1))  # noqa: T201
        assert load.surprises == []
        assert len(load.shown) == load.facts["answered /proxy_fetch"] == len(tms.calls())
        assert load.facts["answered on kept connections"]  # which nginx keeps, whatever becomes of the server
        assert load.facts["kept connections closed on a request"] == 0


@pytest.fixture
def passing(monkeypatch):
    """Let this process have been started with a descriptor, or as if."""

    def passing(descriptor, count="1", pid=None):
        monkeypatch.setattr(given_socket, "FIRST", descriptor)
        monkeypatch.setenv("LISTEN_FDS", count)
        monkeypatch.setenv("LISTEN_PID", str(pid or os.getpid()))
        monkeypatch.setenv("LISTEN_FDNAMES", "tms-dashboard.socket")

    return passing


@pytest.mark.parametrize(
    ("made", "count", "words"),
    [
        (socket.socket, "2", "systemd passes 2 sockets. Leave one ListenStream="),
        (lambda: os.fdopen(os.open(os.devnull, os.O_RDONLY)), "1", "is no socket"),
        (socket.socket, "1", "no listening socket of TCP"),
        (lambda: socket.socket(type=socket.SOCK_DGRAM), "1", "no listening socket of TCP"),
        (lambda: socket.socket(socket.AF_UNIX), "1", "no listening socket of TCP"),
    ],
)
def test_what_cannot_be_served_on_is_refused_with_the_next_step(made, count, words, passing):
    with made() as passed:
        passing(os.dup(passed.fileno()), count)
        with pytest.raises(CommandError, match=f"Nothing was started.*{words}"):
            call_command("serve")
    assert not [name for name in os.environ if name.startswith("LISTEN_")]


def test_a_socket_that_was_meant_for_another_process_is_none(held, passing):
    passing(held.fileno(), pid=1)
    assert given_socket.take() is None
    passing(os.dup(held.fileno()))
    with given_socket.take() as given:
        assert given.getsockname() == held.getsockname()
