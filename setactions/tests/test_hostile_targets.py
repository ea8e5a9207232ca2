"""Forbidden targets: no spelling reaches anybody, not even a name server. What is allowed stays so."""

import socket
import threading

import pytest

from audit.models import Attempt
from tmsdash.tests.fixtures import signed_in

pytestmark = pytest.mark.pages

SET_ACTION = "/tms/v1/set/action"
GET_ACTION = "/tms/v1/get/action"


@pytest.fixture
def trap():
    """A second server that listens on loopback; collects who connects. Returns its port and these."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return  # the test is over
                connections.append(connection)
                connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        yield listening.getsockname()[1], connections
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert connections == []


@pytest.fixture
def asked_names(monkeypatch):
    """The names that anybody wanted to have looked up; only loopback's address itself is."""
    names = []
    look_up = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if host != "127.0.0.1":
            names.append(host)
            raise AssertionError(f"{host} was looked up")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


def other_origins(good, evil):
    """Spellings that begin with no allowed origin; `good` and `evil` are ports of loopback."""
    host, bad = f"127.0.0.1:{good}", f"127.0.0.1:{evil}"
    return [
        "",
        "/",
        "//",
        ":",
        SET_ACTION,
        f"http://{bad}{SET_ACTION}",
        f"http://localhost:{good}{SET_ACTION}",
        f"http://LOCALHOST:{evil}{SET_ACTION}",
        f"http://{host}@{bad}{SET_ACTION}",
        f"http://{bad}@{host}{SET_ACTION}",
        f"http://user@{host}{SET_ACTION}",
        f"http://user:password@{host}{SET_ACTION}",
        f"http://@{host}{SET_ACTION}",
        f"http://{host}%40{bad}{SET_ACTION}",
        f"http://{host}\\@{bad}{SET_ACTION}",
        f"http://{host}\\{SET_ACTION}",
        f"http:\\\\{host}{SET_ACTION}",
        f"http:/{host}{SET_ACTION}",
        f"http:{host}{SET_ACTION}",
        f"http:///{host}{SET_ACTION}",
        f"//{host}{SET_ACTION}",
        f"//{bad}{SET_ACTION}",
        f"///{bad}{SET_ACTION}",
        f"{host}{SET_ACTION}",
        f"HTTP://{host}{SET_ACTION}",
        f"hTTp://{bad}{SET_ACTION}",
        f"https://{host}{SET_ACTION}",
        f"ftp://{bad}{SET_ACTION}",
        f"gopher://{bad}/_POST",
        f"file://{host}/etc/passwd",
        "file:///etc/passwd",
        "data:application/json,{}",
        "javascript:alert(1)",
        f"unix://{host}{SET_ACTION}",
        f"http+unix://%2Fvar%2Frun%2Fdocker.sock{SET_ACTION}",
        f"jar:http://{bad}!{SET_ACTION}",
        f"ws://{bad}{SET_ACTION}",
        f"http://127.1:{evil}{SET_ACTION}",
        f"http://127.0.1:{good}{SET_ACTION}",
        f"http://2130706433:{evil}{SET_ACTION}",
        f"http://0x7f000001:{evil}{SET_ACTION}",
        f"http://0x7f.0.0.1:{evil}{SET_ACTION}",
        f"http://0177.0.0.1:{evil}{SET_ACTION}",
        f"http://017700000001:{evil}{SET_ACTION}",
        f"http://0:{evil}{SET_ACTION}",
        f"http://0.0.0.0:{evil}{SET_ACTION}",
        f"http://127.0.0.2:{evil}{SET_ACTION}",
        f"http://[::1]:{evil}{SET_ACTION}",
        f"http://[::]:{evil}{SET_ACTION}",
        f"http://[::ffff:127.0.0.1]:{good}{SET_ACTION}",
        f"http://[::ffff:7f00:1]:{evil}{SET_ACTION}",
        f"http://[fe80::1%25lo]:{evil}{SET_ACTION}",
        f"http://[127.0.0.1]:{good}{SET_ACTION}",
        f"http://127.0.0.1.:{good}{SET_ACTION}",
        f"http://127.0.0.1.evil.example:{good}{SET_ACTION}",
        f"http://127。0。0。1:{evil}{SET_ACTION}",
        f"http://１２７.0.0.1:{evil}{SET_ACTION}",
        f"http://①②⑦.⓪.⓪.①:{evil}{SET_ACTION}",
        f"http://127.0.0.1%2e:{good}{SET_ACTION}",
        f"http://%31%32%37.0.0.1:{evil}{SET_ACTION}",
        f"http://127.0.0.1{SET_ACTION}",
        f"http://127.0.0.1:{SET_ACTION}",
        f"http://127.0.0.1:0{good}{SET_ACTION}",
        f"http://{host}0{SET_ACTION}",
        f"http://127.0.0.1:+{good}{SET_ACTION}",
        f"http://127.0.0.1: {good}{SET_ACTION}",
        f"http://127.0.0.1:{good + (1 << 16)}{SET_ACTION}",
        f"http://127.0.0.1:{good}:{evil}{SET_ACTION}",
        f"http://{host}%2ftms/v1/set/action",
        f"http://{host}%5c{SET_ACTION}",
        f"http://{host}⁄tms/v1/set/action",
        f"http://{host}／tms/v1/set/action",
        f"http://{host}#{SET_ACTION}",
        f"http://{host}?{SET_ACTION}",
        f"http://{host};{SET_ACTION}",
        f"http://{bad}#@{host}{SET_ACTION}",
        f"http://{bad}?@{host}{SET_ACTION}",
        f"http://{bad}/http://{host}{SET_ACTION}",
        f"http://{bad} http://{host}{SET_ACTION}",
        f"http://{bad},http://{host}{SET_ACTION}",
        f" http://{host}{SET_ACTION}",
        f"\thttp://{host}{SET_ACTION}",
        f"\ufeffhttp://{host}{SET_ACTION}",
        f"\u200bhttp://{host}{SET_ACTION}",
        f"\0http://{host}{SET_ACTION}",
        f"ht\ttp://{host}{SET_ACTION}",
        f"http://127.0.0.1\t:{good}{SET_ACTION}",
        f"http://{host} {SET_ACTION}",
        f"http://{host}\t{SET_ACTION}",
        f"http://{host}\n{SET_ACTION}",
        f"http://{host}\r\nHost: {bad}\r\n\r\n{SET_ACTION}",
        f"http://{host}\0{SET_ACTION}",
        f"http://{host}\u00a0{SET_ACTION}",
        f"http://{host}\u202e{SET_ACTION}",
        f"http://{host}\ud800{SET_ACTION}",
        f"http://evil.example{SET_ACTION}",
        f"https://evian3.example.evil.example{SET_ACTION}",
        f"https://evi\u0430n3.example{SET_ACTION}",
        f"https://xn--evin3-7ve.example{SET_ACTION}",
        f"https://EVIAN3.example{SET_ACTION}",
        f"https://evian3.example.{SET_ACTION}",
        f"https://evian3.example:443{SET_ACTION}",
        f"https://evian3.exampl\u212f{SET_ACTION}",
        f"https://evian3\uff0eexample{SET_ACTION}",
        f"https://169.254.169.254/latest/meta-data{SET_ACTION}",
        "x" * 100_000,
    ]


OTHER_PATHS = (
    "/",
    "/tms/v1/set",
    "/tms/v1/set/action/",
    "/tms/v1/set/action//",
    "/tms/v1/set/action?",
    "/tms/v1/set/action?cid=ALL",
    "/tms/v1/set/action#",
    "/tms/v1/set/action#/tms/v1/set/action",
    "/tms/v1/set/action;a=b",
    "/tms/v1/set/action%20",
    "/tms/v1/set/action%00",
    "/tms/v1/set/action ",
    "/tms/v1/set/action\0",
    "/tms/v1/set/action\t",
    "/tms/v1/set/action\r\nX: y",
    "/tms/v1/set/action HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "/tms/v1/set%2faction",
    "/tms/v1/set\\action",
    "/tms/v1/set/./action",
    "/tms/v1/set/x/../action",
    "/tms/v1/set/%2e%2e/set/action",
    "/../tms/v1/set/action",
    "/TMS/v1/set/action",
    "/tms/v1/set/Action",
    "/tms/v1/ſet/action",
    "/tms/v1/set/action\ud800",
    "/@127.0.0.1/tms/v1/set/action",
    "/x/tms/v1/set/action",
    "/simulator/reset",
    GET_ACTION,
    f"{GET_ACTION}?cid=ALL",
)


def test_no_spelling_of_another_target_reaches_anybody(fetch, olivia, tms, trap, asked_names, settings):
    port, connections = trap
    settings.TMS_CLUSTERS = {"evian3": tms.url, "name": "https://evian3.example"}
    client = signed_in(olivia)
    spellings = other_origins(int(tms.url.rpartition(":")[2]), port)
    assert len(set(spellings)) >= 60
    for url in spellings:
        for is_post in (True, False):
            answer = fetch(client=client, url=url, isPost=is_post)
            assert (answer.status_code, list(answer.json()["errors"])) == (403, ["url"]), url
            assert answer.json()["outcome"] == "refused"
    assert (tms.calls(), connections, asked_names) == ([], [], [])
    assert set(Attempt.objects.values_list("outcome", "cluster_url")) == {("refused", "")}


def test_no_other_path_of_an_allowed_target_is_called(fetch, olivia, tms, asked_names):
    client = signed_in(olivia)
    for path in OTHER_PATHS:
        answer = fetch(client=client, url=tms.url + path)
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["url"]), path
        if not path.startswith(GET_ACTION) or "?" not in path:
            answer = fetch(client=client, url=tms.url + path, isPost=False)
            assert (answer.status_code, list(answer.json()["errors"])) == (400, ["url"]), path
    assert (tms.calls(), asked_names) == ([], [])


OTHER_QUERIES = [
    *(
        "",
        "?",
        "?cid",
        "?=",
        "?&",
        "?CID=a",
        "?token=x",
        "?cid=a&x=y",
        "?cid=%0d%0aX:y",
        "?cid=%00",
    ),
    *("?cid=%ff", "?cid=\ud800", "?cid=a#b\n", "?cid=%E2%80%AE", "?" + "cid=a&" * 201, "?cid=a&&", "?cid[]=a"),
]


def test_reads_take_no_other_query(fetch, tms):
    for query in OTHER_QUERIES:
        answer = fetch(url=f"{tms.url}{GET_ACTION}{query}", isPost=False)
        assert (answer.status_code, list(answer.json()["errors"]), tms.calls()) == (400, ["url"], [])


def test_a_query_is_encoded_anew_so_that_it_adds_nothing(fetch, tms):
    for given, cids in (
        ("a%26app=b", ("a&app=b",)),
        ("a%23b", ("a#b",)),
        ("%2e%2e/", ("../",)),
        ("a%2Bb", ("a+b",)),
        ("a;b", ("a;b",)),
    ):
        tms.reset()
        assert fetch(url=f"{tms.url}{GET_ACTION}?cid={given}", isPost=False).status_code == 200
        assert [call.cids for call in tms.calls()] == [cids]


@pytest.mark.parametrize("path", [SET_ACTION, "//tms//v1/set////action", f"/////{SET_ACTION}"])
def test_what_is_allowed_stays_so(fetch, tms, asked_names, path):
    assert fetch(url=tms.url + path, contentType="application/json").json()["outcome"] == "accepted"
    assert [(call.method, call.path) for call in tms.calls()] == [("POST", SET_ACTION)]
    assert fetch(url=f"{tms.url}{path.replace('set', 'get')}?cid=ALL", isPost=False).json()["status"] == "success"
    assert [(call.method, call.path) for call in tms.calls()[1:]] == [("GET", GET_ACTION)]
