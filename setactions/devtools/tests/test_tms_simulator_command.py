"""The command is run as a process of its own, as people run it."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import override_settings

from setactions.devtools.simulator import FAULTS, fleet_ids
from tmsdash.tests.tools import heeding_signals

HANG_S = 30.0  # long enough to tell that something hangs; a test that passes never waits so long


@contextmanager
def running(*options: str, ignored: Sequence[signal.Signals] = ()) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the line that it prints when it is ready."""
    command = [sys.executable, "manage.py", "tms_simulator", *options]
    with subprocess.Popen(
        command,
        cwd=settings.BASE_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: heeding_signals(*ignored),
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.parametrize("end_signal", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_ends_with_0_even_while_a_call_hangs(end_signal: signal.Signals) -> None:
    with running("--port", "0") as (process, line):
        prefix, _, url = line.strip().rpartition(" ")
        assert prefix == "TMS simulator on"
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=HANG_S) as hanging:
            hanging.sendall(b"GET /tms/v1/get/action?cid=ALL HTTP/1.1\r\nAuthorization: Bearer fault:body-drip\r\n\r\n")
            assert hanging.recv(1) == b"H"  # the call is under way, and would be for over a minute
            process.send_signal(end_signal)
            assert process.communicate(timeout=HANG_S) == ("", "")
            assert process.returncode == 0


def test_in_the_background_of_a_script_ctrl_c_does_not_end_it() -> None:
    with running("--port", "0", ignored=[signal.SIGINT]) as (process, line):
        process.send_signal(signal.SIGINT)
        read = Request(f"{line.split()[-1]}/tms/v1/get/action?cid=ALL", headers={"Authorization": "Bearer t"})
        assert urlopen(read, timeout=HANG_S).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=HANG_S) == 0
        assert process.returncode == 0


def test_it_takes_host_latency_and_fleet() -> None:
    with running("--port", "0", "--host", "127.0.0.2", "--latency-ms", "1", "--fleet", "1") as (_, line):
        url = line.split()[-1]
        assert url.startswith("http://127.0.0.2:")
        body = b'{"action": "T-Enable", "cids": ["%s", "x"]}' % fleet_ids(1)[0].encode()
        sent = Request(f"{url}/tms/v1/set/action", body, {"Authorization": "Bearer t"})
        assert b"those CIDs ['x'] do not exist" in urlopen(sent, timeout=HANG_S).read()


def test_a_port_in_use_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"cannot listen on 127.0.0.1, port {port}: the port is in use"):
            call_command("tms_simulator", port=port)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"host": "0.0.0.0"}, "loopback addresses only"),  # noqa: S104
        ({"host": "192.0.2.1"}, "loopback addresses only"),
        ({"host": "example.com"}, "loopback addresses only"),
        ({"port": -1}, "port must be between"),
        ({"port": 65536}, "port must be between"),
        ({"latency_ms": -1}, "latency must be between"),
        ({"fleet": -1}, "fleet must not be negative"),
    ],
)
def test_options_that_make_no_sense_are_a_clear_error(options: dict[str, object], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command("tms_simulator", **{"port": 0, **options})


def test_it_does_not_run_in_a_production_installation() -> None:
    with override_settings(HTTPS_ONLY=True), pytest.raises(CommandError, match="production"):
        call_command("tms_simulator", port=0)


def test_the_help_has_the_table_of_faults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("tms_simulator", "--help")
    printed = capsys.readouterr().out
    assert all(f"{fault.usage}  " in printed and fault.summary in printed for fault in FAULTS.values())
