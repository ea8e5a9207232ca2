"""Connections that say nothing: strangers' must not keep anybody out, whatever the system's limit of open files is."""

import re
import resource
import socket
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import requests

from setactions.operations.tests.test_serve import serving, worker_of
from tmsdash.server import open_files
from tmsdash.tests.tools import until

pytestmark = [pytest.mark.sqlite, pytest.mark.linux]
THREADS = 4
ROOM = 100  # for connections, below the limit of the test
LIMIT = ROOM + THREADS * open_files.PER_THREAD + open_files.BESIDE
HALF_A_HEAD = b"GET /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "
GENEROUS_S = 20  # far below the 30 seconds that such connections could stay before


def limit_files(soft, hard):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(stack, url, count, said):
    host, _, port = url.removeprefix("http://").partition(":")
    for _ in range(count):
        stack.enter_context(socket.create_connection((host, int(port)), timeout=60)).sendall(said)


def assert_served(url):
    assert requests.get(f"{url}/login/", timeout=GENEROUS_S).ok


@pytest.mark.parametrize("said", [b"", HALF_A_HEAD], ids=["idle", "half a head"])
def test_more_connections_than_there_is_room_for_hold_nobody_up_for_long(tmp_path, said):
    limited = partial(limit_files, LIMIT, LIMIT)
    with serving(tmp_path, WEB_THREADS=str(THREADS), preexec_fn=limited) as (process, healthy):
        _, worker = worker_of(process)
        with ExitStack() as strangers:
            connect(strangers, process.url, ROOM + 20, said)
            assert_served(process.url)
        with ExitStack() as strangers:  # and again, leaving this time
            connect(strangers, process.url, ROOM + 20, said)
        assert_served(process.url)
        assert worker_of(process)[1] == worker
        assert f"leaves the server {ROOM} connections at once" in (tmp_path / "log").read_text()


def test_eleven_hundred_idle_connections_hold_nobody_up_where_the_system_allows_as_many(tmp_path):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(tmp_path, WEB_THREADS=str(THREADS), preexec_fn=partial(limit_files, 256, hard)) as (process, healthy):
        limits = Path(f"/proc/{worker_of(process)[1]}/limits").read_text()
        assert re.findall(r"Max open files +([0-9]+) ", limits) == [str(hard)]  # granian's doing
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2048:
            limit_files(2048, hard)  # for the strangers
        with ExitStack() as strangers:
            connect(strangers, process.url, 1100, b"")
            assert_served(process.url)
            until(healthy)
