"""The simulator is what all other tests believe, so it is tested on the wire: bytes of real sockets."""

import json
import re
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from setactions.simulator import FAULTS, Simulator, describe_faults, fleet_ids

SET_ACTION = "/tms/v1/set/action"
ACCEPTED = {"message": "Sending action to migration services", "success": True}
ACCEPTED_BYTES = json.dumps(ACCEPTED).encode()
HANG_S = 30.0  # long enough to tell that something hangs; a test that passes never waits so long


@pytest.fixture
def tms() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(100) as executor:
        yield executor


def connect(tms: Simulator) -> socket.socket:
    parts = urlsplit(tms.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=HANG_S)


def request(method: str, target: str, token: str = "secret", body: bytes = b"") -> bytes:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"{method} {target} HTTP/1.1\r\nConnection: close\r\n{authorization}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def set_action(token: str = "secret", cids: tuple[str, ...] = ("a", "b"), action: str = "T-Enable") -> bytes:
    return request("POST", SET_ACTION, token, json.dumps({"action": action, "cids": cids}).encode())


def wire(tms: Simulator, sent: bytes) -> bytes:
    """All bytes that come back before the connection ends; ConnectionResetError when a RST ends it."""
    with connect(tms) as connection:
        connection.sendall(sent)
        return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def outcome(tms: Simulator, sent: bytes) -> str:
    """How the connection ends: "FIN" or "RST". What comes before is not kept, because it may be huge."""
    with connect(tms) as connection:
        connection.sendall(sent)
        try:
            while connection.recv(1 << 20):
                pass
        except ConnectionResetError:
            return "RST"
        return "FIN"


def simulator_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "TMS simulator"}


def ask(tms: Simulator, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """The complete answer's status, headers and body."""
    head, _, body = wire(tms, sent).partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    return int(status_line.split()[1]), dict(line.split(": ", 1) for line in lines), body


def ask_json(tms: Simulator, sent: bytes) -> Any:
    status, headers, body = ask(tms, sent)
    assert (status, headers["Content-Type"], int(headers["Content-Length"])) == (200, "application/json", len(body))
    return json.loads(body)


def read(tms: Simulator, target: str) -> Any:
    return ask_json(tms, request("GET", target))


# -- What TMS answers ---------------------------------------------------------------------------------------------


def test_an_accepted_action_is_visible_in_get_action(tms: Simulator) -> None:
    assert ask_json(tms, set_action(cids=("a", "b"), action="PE-Enable")) == ACCEPTED
    state = {"action_code": 2, "action_desc": "pe-enable"}
    assert read(tms, "/tms/v1/get/action?cid=ALL") == {"a": state, "b": state}


@pytest.mark.parametrize(
    ("spelling", "code", "name"),
    [
        ("Trans-Begin", 1, "trans-begin"),
        ("Tran-Begin", 1, "trans-begin"),
        ("tran-begin", 1, "trans-begin"),
        ("pe-ENABLE", 2, "pe-enable"),
        ("T-Enable", 3, "t-enable"),
        ("PE-Finalize", 4, "pe-finalize"),
        ("PE-Direct", 5, "pe-direct"),
    ],
)
def test_action_names_are_case_insensitive(tms: Simulator, spelling: str, code: int, name: str) -> None:
    assert ask_json(tms, set_action(cids=("a",), action=spelling)) == ACCEPTED
    assert read(tms, "/tms/v1/get/action?cid=a") == {"a": {"action_code": code, "action_desc": name}}
    assert tms.calls()[0].action == spelling


@pytest.mark.parametrize("query", ["cid=a&cid=b", "cid=a,b", "cid=a,b,never-seen"])
def test_get_action_takes_several_customers_and_leaves_out_those_without_action(tms: Simulator, query: str) -> None:
    ask_json(tms, set_action(cids=("a", "b", "c")))
    assert list(read(tms, f"/tms/v1/get/action?{query}")) == ["a", "b"]


def test_an_unknown_action_is_refused(tms: Simulator) -> None:
    assert ask_json(tms, set_action(action="T-Enabel")) == {"message": "Unknown action 'T-Enabel'", "success": False}
    assert not tms.calls()[0].applied


def test_one_unknown_customer_gets_the_whole_list_refused() -> None:
    with Simulator(fleet=3) as tms:
        known = fleet_ids(3)
        refusal = {"message": "those CIDs ['x', 'y'] do not exist", "success": False}
        assert ask_json(tms, set_action(cids=(known[0], "x", known[1], "y"))) == refusal
        assert read(tms, "/tms/v1/get/action?cid=ALL") == {}
        assert not tms.calls()[0].applied
        assert ask_json(tms, set_action(cids=tuple(known))) == ACCEPTED
        assert list(read(tms, "/tms/v1/get/action?cid=ALL")) == known


def test_app_statuses_are_steady_and_of_all_known_kinds(tms: Simulator) -> None:
    rows = [row for cid in fleet_ids(50) for row in read(tms, f"/tms/v1/get/appstatus?app=ALL&cid={cid}")]
    assert {row["status"] for row in rows} == {"Ready", "Failure", "Transiting", "Inapplicable", "unknown-timeout"}
    assert all(row.keys() - {"reason"} == {"app_name", "status"} for row in rows)
    assert read(tms, f"/tms/v1/get/appstatus?app=ALL&cid={fleet_ids(1)[0]}") == rows[: len(rows) // 50]
    assert [row["app_name"] for row in read(tms, "/tms/v1/get/appstatus?app=audit&cid=a")] == ["audit"]


def test_fleet_ids_are_deterministic_and_look_like_real_ones() -> None:
    ids = fleet_ids(2000)
    assert fleet_ids(20) == ids[:20]
    assert len(set(ids)) == 2000
    assert "alpha2_sub_515" in ids
    shapes = [r"[0-9a-f]{32}", r"\d{7}", r"alpha\d_\d{3}", r"alpha\d_sub_\d{3}"]
    counts = [sum(bool(re.fullmatch(shape, cid)) for cid in ids) for shape in shapes]
    assert counts == [1880, 40, 40, 40]


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "//tms/v1/set/action", 404),
        ("POST", "/tms//v1/set/action", 404),
        ("GET", "/", 404),
        ("GET", "/simulator/", 404),
        ("GET", SET_ACTION, 405),
        ("PUT", SET_ACTION, 405),
        ("HEAD", SET_ACTION, 405),
        ("POST", "/tms/v1/get/action?cid=a", 405),
        ("GET", "/simulator/reset", 405),
    ],
)
def test_the_gateway_answers_wrong_paths_and_methods(tms: Simulator, method: str, target: str, status: int) -> None:
    got, headers, body = ask(tms, request(method, target, body=b'{"action": "T-Enable", "cids": ["a"]}'))
    assert (got, headers["Content-Type"]) == (status, "text/html")
    assert (b"<title>%d " % status in body) != (method == "HEAD")
    assert not any(call.applied for call in tms.calls())


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[" * 100_000, b'"\xff"', b"[]", b'{"action": 1, "cids": ["a"]}'),
        *(b'{"action": "T-Enable", "cids": []}', b'{"action": "T-Enable", "cids": ["a", 1]}'),
    ],
)
def test_a_request_that_makes_no_sense_is_answered_400(tms: Simulator, body: bytes) -> None:
    assert ask(tms, request("POST", SET_ACTION, body=body))[0] == 400
    assert [(call.action, call.cids, call.applied) for call in tms.calls()] == [("", (), False)]


def test_a_request_without_a_known_length_is_answered_411_and_ends_the_connection(tms: Simulator) -> None:
    sent = b"POST /tms/v1/set/action HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert wire(tms, sent).startswith(b"HTTP/1.1 411 Length Required\r\n")


@pytest.mark.parametrize("token", ["", "fault:unauthorized"])
@pytest.mark.parametrize("sent", [set_action, lambda token: request("GET", "/tms/v1/get/action?cid=ALL", token)])
def test_a_missing_or_invalid_token_is_answered_401(tms: Simulator, token: str, sent: Callable[[str], bytes]) -> None:
    status, _, body = ask(tms, sent(token))
    answer = json.loads(body)
    assert re.fullmatch(r"[0-9a-f]+", answer.pop("debugId"))
    code = "HPE_GL_NETWORKING_ERROR_UNAUTHORIZED"
    assert (status, answer) == (401, {"errorCode": code, "httpStatusCode": 401, "message": "Invalid access token"})
    assert not tms.calls()[0].applied


# -- What the simulator remembers ---------------------------------------------------------------------------------


def test_every_call_is_recorded_but_never_its_token(tms: Simulator) -> None:
    before = tms.calls()
    wire(tms, set_action("fault:echo-token:my-secret", cids=("b", "a", "b"), action="t-ENABLE"))
    wire(tms, request("GET", "/tms/v1/get/action?cid=a,b", "my-secret"))
    first, second = tms.calls()
    assert (first.number, first.method, first.path, first.action) == (1, "POST", SET_ACTION, "t-ENABLE")
    assert (first.cids, first.fault, first.applied) == (("b", "a", "b"), "echo-token", False)
    assert (second.number, second.path, second.cids) == (2, "/tms/v1/get/action", ("a", "b"))
    assert (second.action, second.fault, second.applied) == ("", "", False)
    assert first.received_at.tzinfo is UTC
    assert datetime.now(UTC) - first.received_at < timedelta(minutes=1)
    assert "my-secret" not in str(tms.calls())
    assert before == []


def test_calls_and_reset_are_there_for_other_processes_without_a_token(tms: Simulator) -> None:
    ask_json(tms, set_action(cids=("a",)))
    [call] = ask_json(tms, request("GET", "/simulator/calls", token=""))["calls"]
    assert datetime.fromisoformat(call.pop("received_at")) == tms.calls()[0].received_at
    assert call == {
        **{"number": 1, "method": "POST", "path": SET_ACTION, "action": "T-Enable", "cids": ["a"]},
        **{"fault": "", "applied": True},
    }
    ask_json(tms, request("POST", "/simulator/reset", token=""))
    assert tms.calls() == []
    assert read(tms, "/tms/v1/get/action?cid=ALL") == {}


def test_a_call_under_way_during_a_reset_leaves_no_trace(tms: Simulator, background: ThreadPoolExecutor) -> None:
    answer = background.submit(wire, tms, set_action("fault:slow:3600"))
    tms.wait_for(lambda calls: len(calls) == 1)
    tms.reset()
    tms.release()
    assert answer.result(HANG_S).endswith(ACCEPTED_BYTES)
    assert tms.calls() == []
    assert read(tms, "/tms/v1/get/action?cid=ALL") == {}


def test_waiting_for_calls_that_do_not_come_ends_with_an_error(tms: Simulator) -> None:
    with pytest.raises(TimeoutError):
        tms.wait_for(lambda calls: len(calls) == 1, timeout_s=0.01)


# -- Connections --------------------------------------------------------------------------------------------------


def test_a_connection_carries_several_calls(tms: Simulator) -> None:
    parts = urlsplit(tms.url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=HANG_S)
    ports = []
    for token in ("secret", "fault:http:204", "fault:http:404", "secret"):
        body = json.dumps({"action": "T-Enable", "cids": ["a"]})
        connection.request("POST", SET_ACTION, body, {"Authorization": f"Bearer {token}"})
        ports.append(connection.sock.getsockname())
        connection.getresponse().read()
    connection.close()
    assert len(set(ports)) == 1
    assert [call.applied for call in tms.calls()] == [True, False, False, True]


def test_a_hundred_calls_wait_at_once_and_are_released_together(tms: Simulator, background: ThreadPoolExecutor) -> None:
    answers = [background.submit(wire, tms, set_action("fault:slow:3600", (str(number),))) for number in range(100)]
    tms.wait_for(lambda calls: len(calls) == 100, timeout_s=HANG_S)
    assert not any(call.applied for call in tms.calls())
    wire(tms, request("POST", "/simulator/release", token=""))
    assert all(answer.result(HANG_S).endswith(ACCEPTED_BYTES) for answer in answers)
    assert {call.number for call in tms.calls() if call.applied} == set(range(1, 101))
    assert read(tms, "/tms/v1/get/action?cid=ALL").keys() == {str(number) for number in range(100)}


def test_calls_after_a_release_wait_again(tms: Simulator, background: ThreadPoolExecutor) -> None:
    tms.release()
    answer = background.submit(wire, tms, set_action("fault:slow:3600"))
    with pytest.raises(TimeoutError):
        tms.wait_for(lambda calls: any(call.applied for call in calls), timeout_s=0.1)
    tms.release()
    assert answer.result(HANG_S).endswith(ACCEPTED_BYTES)


def test_the_latency_comes_before_the_action_is_applied(background: ThreadPoolExecutor) -> None:
    with Simulator(latency_s=3600) as tms:
        answer = background.submit(wire, tms, set_action())
        tms.wait_for(lambda calls: len(calls) == 1)
        assert not tms.calls()[0].applied
        tms.release()
        assert answer.result(HANG_S).endswith(ACCEPTED_BYTES)
        assert tms.calls()[0].applied


@pytest.mark.parametrize(
    ("fault", "applied"),
    [("timeout", False), ("timeout-applied", True), ("slow:3600", False), ("body-drip", True), ("header-drip", True)],
)
def test_stop_ends_calls_that_hang(background: ThreadPoolExecutor, fault: str, applied: bool) -> None:
    others = simulator_threads()
    tms = Simulator().start()
    hanging = [background.submit(outcome, tms, set_action(f"fault:{fault}")) for _ in range(20)]
    tms.wait_for(lambda calls: [call.applied for call in calls] == [applied] * 20)
    background.submit(tms.stop).result(HANG_S)
    assert simulator_threads() <= others
    assert all(call.result(HANG_S) for call in hanging)
    assert [call.applied for call in tms.calls()] == [applied] * 20


def test_stop_ends_idle_connections_and_readers_that_do_not_read(background: ThreadPoolExecutor) -> None:
    tms = Simulator().start()
    with connect(tms) as idle, connect(tms) as lazy:
        lazy.sendall(set_action("fault:huge"))
        tms.wait_for(lambda calls: any(call.applied for call in calls))
        background.submit(tms.stop).result(HANG_S)
        assert read_to_end(idle) == b""


def test_a_stopped_simulator_frees_its_port_and_starts_again_with_its_memory() -> None:
    tms = Simulator()
    with tms:
        port = urlsplit(tms.url).port
        wire(tms, set_action())
        with pytest.raises(OSError, match="in use"):
            Simulator(port=port or 0).start()
    with tms:
        assert read(tms, "/tms/v1/get/action?cid=a") != {}
    with Simulator(port=port or 0) as other:
        assert urlsplit(other.url).port == port
    other.stop()


def test_start_and_url_say_when_they_make_no_sense(tms: Simulator) -> None:
    with pytest.raises(RuntimeError, match="started already"):
        tms.start()
    with pytest.raises(RuntimeError, match="not running"):
        _ = Simulator().url


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_it_serves_on_any_loopback_address(host: str) -> None:
    with Simulator(host=host) as tms:
        assert ask_json(tms, set_action()) == ACCEPTED


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", ""])  # noqa: S104
def test_it_refuses_to_serve_beyond_loopback(host: str) -> None:
    with pytest.raises(ValueError, match="loopback addresses only"):
        Simulator(host=host)


@pytest.mark.parametrize(
    "numbers",
    [
        {"port": -1},
        {"port": 65536},
        {"fleet": -1},
        {"latency_s": -0.1},
        {"latency_s": float("nan")},
        {"latency_s": 1e9},
    ],
)
def test_it_refuses_numbers_that_make_no_sense(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        Simulator(**numbers)


# -- Faults -------------------------------------------------------------------------------------------------------

NOT_APPLIED = {
    *("fault:unauthorized", "fault:not-ready", "fault:unknown-ids", "fault:http:200", "fault:http-json:200"),
    *("fault:timeout", "fault:reset-before", "fault:close-before", "fault:redirect", "fault:echo-token"),
}
APPLIED = {
    *("fault:http-applied:503", "fault:created", "fault:timeout-applied", "fault:slow:3600", "fault:body-drip"),
    *("fault:header-drip", "fault:reset-after", "fault:close-after", "fault:half-body", "fault:broken-json"),
    *("fault:html", "fault:empty-list", "fault:null", "fault:empty-object", "fault:success-string"),
    *("fault:success-string-true", "fault:nan", "fault:no-body", "fault:huge", "fault:gzip-bomb"),
    *("fault:deep-json", "fault:echo-token-accepted", "fault:extra-accepted"),
}
RESETS = {"fault:reset-before", "fault:reset-after"}


def test_every_fault_is_tested_and_described() -> None:
    assert {token.split(":")[1] for token in APPLIED | NOT_APPLIED} == FAULTS.keys()
    assert [line.split()[0] for line in describe_faults().splitlines()] == [f.usage for f in FAULTS.values()]


@pytest.mark.parametrize("token", sorted(APPLIED | NOT_APPLIED))
def test_a_fault_applies_the_action_or_not(tms: Simulator, background: ThreadPoolExecutor, token: str) -> None:
    end = background.submit(outcome, tms, set_action(token))
    tms.wait_for(lambda calls: len(calls) == 1)
    tms.release()
    assert end.result(HANG_S) == ("RST" if token in RESETS else "FIN")
    [call] = tms.calls()
    assert (call.fault, call.applied) == (token.split(":")[1], token in APPLIED)
    assert read(tms, "/tms/v1/get/action?cid=ALL").keys() == ({"a", "b"} if token in APPLIED else set())


def test_a_fault_that_would_apply_does_not_when_the_customers_are_unknown() -> None:
    with Simulator(fleet=1) as tms:
        assert ask(tms, set_action("fault:created"))[0] == 201
        assert not tms.calls()[0].applied


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ("not-ready", 200, b'{"message": "TMS bootstrap status(INIT) is not Ready", "success": false}'),
        ("unknown-ids", 200, b'{"message": "those CIDs [\'a\'] do not exist", "success": false}'),
        ("unknown-ids:2", 200, b'{"message": "those CIDs [\'a\', \'b\'] do not exist", "success": false}'),
        ("http-json:500", 500, ACCEPTED_BYTES),
        ("http-json:202", 202, ACCEPTED_BYTES),
        ("created", 201, ACCEPTED_BYTES),
        ("slow:0", 200, ACCEPTED_BYTES),
        ("slow:0.001", 200, ACCEPTED_BYTES),
        ("broken-json", 200, b'{"message": "Sending act'),
        ("empty-list", 200, b"[]"),
        ("null", 200, b"null"),
        ("empty-object", 200, b"{}"),
        ("success-string", 200, ACCEPTED_BYTES.replace(b"true", b'"false"')),
        ("success-string-true", 200, ACCEPTED_BYTES.replace(b"true", b'"true"')),
        ("nan", 200, b'{"success": NaN}'),
        ("no-body", 200, b""),
        ("deep-json", 200, b"[" * 100_000 + b"]" * 100_000),
        ("echo-token", 200, b'{"message": "Token fault:echo-token seen", "success": false}'),
        ("echo-token:s3cret", 200, b'{"message": "Token fault:echo-token:s3cret seen", "success": false}'),
        ("echo-token-accepted:x", 200, b'{"message": "Token fault:echo-token-accepted:x seen", "success": true}'),
    ],
)
def test_a_fault_sends_this_json(tms: Simulator, fault: str, status: int, body: bytes) -> None:
    got_status, headers, got_body = ask(tms, set_action(f"fault:{fault}"))
    assert (got_status, got_body) == (status, body)
    assert headers == {"Content-Type": "application/json", "Content-Length": str(len(body))}


@pytest.mark.parametrize("name", ["http", "http-applied"])
def test_http_sends_any_status_with_the_gateways_page(tms: Simulator, name: str) -> None:
    for status in range(100, 600):
        got, headers, body = ask(tms, set_action(f"fault:{name}:{status}"))
        assert got == status
        if status < 200 or status in (204, 304):
            assert (headers, body) == ({}, b"")
        else:
            assert headers == {"Content-Type": "text/html", "Content-Length": str(len(body))}
            assert body.startswith(b"<html>\n<head><title>%d " % status)


def test_an_interim_status_ends_the_connection_because_no_answer_follows(tms: Simulator) -> None:
    sent = set_action("fault:http:100").replace(b"Connection: close\r\n", b"")
    assert wire(tms, sent) == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("fault", ["http:429:7", "http:503:7", "http-applied:503:7"])
def test_http_sends_retry_after_when_asked(tms: Simulator, fault: str) -> None:
    assert ask(tms, set_action(f"fault:{fault}"))[1]["Retry-After"] == "7"


def test_html_sends_a_page_with_200(tms: Simulator) -> None:
    status, headers, body = ask(tms, set_action("fault:html"))
    assert (status, headers["Content-Type"], body[:6]) == (200, "text/html", b"<html>")


def test_extra_accepted_sends_nasty_characters_as_escapes(tms: Simulator) -> None:
    status, _, body = ask(tms, set_action("fault:extra-accepted"))
    answer = json.loads(body)
    assert (status, answer["success"]) == (200, True)
    assert len(answer) > 2
    assert body.isascii()
    for nasty in (b"\\u0000", b"\\u001b", b"\\r\\n", b"<script>", b"\\u202e", b"\\ud800"):
        assert nasty in body


@pytest.mark.parametrize("fault", ["timeout:0.01", "timeout-applied:0.01", "close-before", "close-after"])
def test_some_faults_end_the_connection_without_an_answer(tms: Simulator, fault: str) -> None:
    assert wire(tms, set_action(f"fault:{fault}")) == b""


@pytest.mark.parametrize("fault", ["reset-before", "reset-after"])
def test_reset_ends_the_connection_before_any_byte(tms: Simulator, fault: str) -> None:
    with connect(tms) as connection:
        connection.sendall(set_action(f"fault:{fault}"))
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_half_body_promises_more_than_it_sends(tms: Simulator) -> None:
    _, headers, body = ask(tms, set_action("fault:half-body"))
    assert int(headers["Content-Length"]) == len(ACCEPTED_BYTES)
    assert body == ACCEPTED_BYTES[: len(ACCEPTED_BYTES) // 2]


def test_body_drip_sends_a_correct_body_that_lasts_over_a_minute(tms: Simulator) -> None:
    with connect(tms) as connection:
        connection.sendall(set_action("fault:body-drip"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert (connection.recv(9), connection.recv(9)) == (b" ", b" ")
        tms.release()
        body = b"  " + read_to_end(connection)
    assert json.loads(body) == ACCEPTED
    assert f"Content-Length: {len(body)}\r\n".encode() in head
    assert len(body) * 0.2 > 60


def test_header_drip_sends_headers_that_never_end(tms: Simulator) -> None:
    with connect(tms) as connection:
        connection.sendall(set_action("fault:header-drip:0.001"))
        head = b""
        while len(head) < 50:
            head += connection.recv(1)
        tms.release()
        head += read_to_end(connection)
    assert re.fullmatch(rb"HTTP/1.1 200 OK\r\nX-Drip: \.+", head)


def test_huge_sends_200_megabytes_of_json(tms: Simulator) -> None:
    with connect(tms) as connection:
        connection.sendall(set_action("fault:huge"))
        head, _, start = connection.recv(1 << 16).partition(b"\r\n\r\n")
        length, end = len(start), start
        while piece := connection.recv(1 << 20):
            length, end = length + len(piece), (end + piece)[-30:]
    assert f"Content-Length: {length}".encode() in head
    assert length > 200_000_000
    assert end.endswith(b'xxx", "success": true}')


def test_gzip_bomb_is_small_on_the_wire_and_huge_when_decoded(tms: Simulator) -> None:
    _, headers, body = ask(tms, set_action("fault:gzip-bomb"))
    assert headers["Content-Encoding"] == "gzip"
    assert len(body) < 1_000_000
    decoder = zlib.decompressobj(wbits=31)
    length, end, rest = 0, b"", body
    while rest:
        piece = decoder.decompress(rest, 1 << 20)
        length, end, rest = length + len(piece), (end + piece)[-30:], decoder.unconsumed_tail
    assert decoder.eof
    assert length > 200_000_000
    assert end.endswith(b'xxx", "success": true}')


@pytest.mark.parametrize(("fault", "status"), [("redirect", 302), ("redirect:307", 307), ("redirect:308", 308)])
def test_redirect_leads_to_a_path_that_tells_who_followed(tms: Simulator, fault: str, status: int) -> None:
    got, headers, _ = ask(tms, set_action(f"fault:{fault}"))
    assert (got, headers["Location"]) == (status, "/tms/v1/redirected")
    assert ask_json(tms, request("POST", headers["Location"], f"fault:{fault}")) == ACCEPTED
    assert [(call.path, call.applied) for call in tms.calls()] == [(SET_ACTION, False), ("/tms/v1/redirected", False)]


@pytest.mark.parametrize("target", ["/tms/v1/get/action?cid=ALL", "/tms/v1/get/appstatus?app=ALL&cid=a"])
def test_faults_strike_reads_too(tms: Simulator, target: str) -> None:
    ordinary = wire(tms, request("GET", target)).partition(b"\r\n\r\n")[2]
    assert ask(tms, request("GET", target, "fault:http:503"))[0] == 503
    assert ask(tms, request("GET", target, "fault:created"))[::2] == (201, ordinary)
    assert ask(tms, request("GET", target, "fault:half-body"))[2] == ordinary[: len(ordinary) // 2]
    assert outcome(tms, request("GET", target, "fault:reset-after")) == "RST"
    assert not any(call.applied for call in tms.calls())


@pytest.mark.parametrize("token", ["fault:", "fault:tiemout", "fault:tiemout:3", "fault:Timeout"])
def test_an_unknown_fault_is_answered_with_the_known_ones(tms: Simulator, token: str) -> None:
    status, _, body = ask(tms, set_action(token))
    assert status == 400
    assert describe_faults().encode() in body
    assert [(call.fault, call.applied) for call in tms.calls()] == [("", False)]


@pytest.mark.parametrize(
    "fault",
    [
        *("created:1", "http", "http:99", "http:600", "http:abc", "http-applied:1000", "http-json", "http-json:2x"),
        *("slow", "slow:-1", "slow:nan", "slow:inf", "timeout:x", "timeout-applied:-1", "unknown-ids:0"),
        *("body-drip:0", "header-drip:0", "redirect:200"),
    ],
)
def test_a_bad_argument_is_answered_with_the_right_usage(tms: Simulator, fault: str) -> None:
    status, _, body = ask(tms, set_action(f"fault:{fault}"))
    assert status == 400
    assert FAULTS[fault.split(":")[0]].usage.encode() in body
    assert not tms.calls()[0].applied
