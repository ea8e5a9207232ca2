"""The simulator is what all other tests believe, so it is tested on the wire: bytes of real sockets."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from setactions.devtools.simulator import Simulator, fleet_ids
from setactions.tests.wire import (
    ACCEPTED,
    ACCEPTED_BYTES,
    HANG_S,
    SET_ACTION,
    ask,
    ask_json,
    connect,
    outcome,
    own_simulator,  # noqa: F401 (a fixture)
    read,
    read_to_end,
    request,
    set_action,
    simulator_threads,
    wire,
    worker_pool,  # noqa: F401 (a fixture)
)

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
