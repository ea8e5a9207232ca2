"""A server's place is taken by another one, or the old one goes on: what both say to each other, and to whom."""

import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tmsdash.server import replace, successor
from tmsdash.server.replace import address_of
from tmsdash.server.successor import Predecessor, Succession
from tmsdash.tests.tools import until

pytestmark = [pytest.mark.sqlite, pytest.mark.linux]
READY = """
import os
assert (os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"]) == ("1", str(os.getpid()))
assert "OF_A_FILE" not in os.environ
os.write(int(os.environ["TMSDASH_READY"].split()[0]), b"1")
open("end").read()
"""


@pytest.fixture
def ear():
    """What whoever asked is told, and what systemd is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address_of(os.getpid()))
        ear.settimeout(30)
        yield ear


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The succession of a server that this process was asked for, in a folder whose manage.py is that text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OF_A_FILE", "that the server has read, and that may say something else by now")
    with socket.create_server(("127.0.0.1", 0)) as given:
        monkeypatch.setattr(successor, "FIRST", given.fileno())

        def asked(program):
            if program:
                (tmp_path / "manage.py").write_text(program)
            succession = Succession(given)
            succession._start(given, os.getpid())
            return succession

        yield asked


@pytest.mark.parametrize(
    ("program", "why"),
    [("raise SystemExit(3)", "has ended, see what it logged."), ("", "could not be started. there is none in ")],
)
def test_a_server_goes_on_and_says_why_if_the_next_one_does_not_start(program, why, ear, asked):
    succession = asked(program)
    until(lambda: succession.is_complete_within(0.05) or select.select([ear], [], [], 0)[0])
    assert f"The server goes on as it is: the next one {why}" in ear.recv(1000).decode()
    assert succession._successor is None  # so that one can be asked for again


def test_a_server_that_ends_takes_the_next_one_with_it_that_is_not_ready(ear, asked):
    succession = asked("import time; time.sleep(600)")
    end = os.pidfd_open(succession._successor.pid)
    succession.end(0)
    assert select.select([end], [], [], 30)[0]
    os.close(end)
    assert "it was asked to end before the next one was ready" in ear.recv(1000).decode()


def test_systemd_and_whoever_asked_are_told_once_the_next_server_is_ready(ear, asked, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("")
        systemd.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{systemd.getsockname()[1:].decode()}")
        os.mkfifo("end")
        succession = asked(READY)
        pid = succession._successor.pid
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1] != str(os.getpid())
        until(lambda: succession.is_complete_within(0.05))
        assert systemd.recv(100).decode() == f"MAINPID={pid}"
        assert ear.recv(100) == b""
        Path("end").write_text("")


def test_a_server_tells_the_one_before_it_once_and_no_child_of_that(monkeypatch):
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    monkeypatch.setenv(successor.VARIABLE, f"{writer} {os.getpid()}")
    predecessor = Predecessor.find()
    assert successor.VARIABLE not in os.environ
    assert not os.get_inheritable(writer)
    predecessor.relieve()
    predecessor.relieve()
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"1"
    os.close(predecessor._process)


def test_who_would_be_ended_by_the_signal_is_not_asked():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert replace.replace(other.pid) == replace.DEAF
        other.communicate(b"\n")
    assert other.returncode == 0
