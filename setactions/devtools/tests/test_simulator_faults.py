"""Each of the simulator's faults, on the wire."""

import json
import re
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from setactions.devtools.simulator import FAULTS, Simulator, describe_faults
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
    wire,
    worker_pool,  # noqa: F401 (a fixture)
)

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
    "fault:every:2:http:500",
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


def test_every_strikes_the_calls_that_it_counts(tms: Simulator) -> None:
    assert [ask(tms, set_action("fault:every:3:http:429:0"))[0] for _ in range(6)] == [200, 200, 429, 200, 200, 429]
    assert ask(tms, set_action("fault:every:0:http:429"))[0] == 400


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
