"""How a request leaves this machine."""

import socket

import pytest

from audit.choices import Kind
from setactions.tms.tests.test_client import call


@pytest.mark.parametrize(("count", "pieces"), [(1, 1), (1_500, 1), (27_682, 2)])
def test_a_short_request_leaves_in_one_piece(tms, monkeypatch, count, pieces):
    sent, send_all = [], socket.socket.sendall

    def note(connection, data):
        sent.append(bytes(data))
        send_all(connection, data)

    monkeypatch.setattr(socket.socket, "sendall", note)
    cids = tuple(f"{number:032x}" for number in range(count))
    assert call(tms.url, cids=cids).kind == Kind.ACCEPTED
    assert tms.calls()[0].cids == cids
    requests = [data for data in sent if not data.startswith(b"HTTP/1.1 200")]
    assert requests[0].startswith(b"POST /tms/v1/set/action HTTP/1.1\r\n")
    assert len(requests) == pieces
