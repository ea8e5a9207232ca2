"""A planted token is found nowhere: databases, WAL files, logs, error reports, argv."""

import io
import logging
import socket
import sys
import threading

import pytest
from django.views.debug import ExceptionReporter

from setactions import service
from setactions.tms import client as tms_client
from setactions.tms.clusters import Cluster
from setactions.token import Token
from tmsdash.logs import OneLineFormatter
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import stored_bytes

PLANTED = "planted-secret-token-9876543210"
FAULTS = ["", "fault:echo-token:", "fault:echo-token-accepted:", "fault:reset-after:", "fault:http:500:"]


@pytest.fixture
def log():
    """Everything that any logger says while the test runs, formatted as in production."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLineFormatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(), logging.getLogger("django")]  # the latter does not propagate
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield stream
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_a_planted_token_is_in_no_database_log_or_answer(fetch, tms, log):
    for number, fault in enumerate(FAULTS):
        answer = fetch(token=fault + PLANTED, cids=[f"c{number}"])
        assert PLANTED not in answer.content.decode()
    fetch(token=PLANTED, cids=["a1", PLANTED])
    fetch(token=PLANTED, url=f"https://{PLANTED}.example/tms/v1/set/action")
    fetch(token=PLANTED, action=PLANTED)
    fetch(token="a-token", isPost=False, url=f"{tms.url}/tms/v1/get/action?cid=ALL")
    assert b"c0" in stored_bytes()
    assert PLANTED.encode() not in stored_bytes()
    assert "[SET_ACTION]" in log.getvalue()
    assert PLANTED not in log.getvalue()


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_report_of_a_failing_call_holds_no_token(fetch, olivia, settings, monkeypatch, log, debug):
    settings.DEBUG = debug

    def explode(*args, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr(service, "intent_of", explode)
    client = signed_in(olivia, raise_request_exception=False)
    answer = fetch(client=client, token=PLANTED)
    assert answer.status_code == 500
    assert "RuntimeError" in log.getvalue()
    assert PLANTED not in answer.content.decode() + log.getvalue()


@pytest.mark.parametrize("debug", [False, True])
def test_a_report_of_every_frame_down_to_the_call_holds_no_token(tms, settings, monkeypatch, debug):
    """Django's report shows the variables of all frames, whoever they belong to."""
    settings.DEBUG = debug

    def explode(self, *args, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr(tms_client._Exchange, "answer_within", explode)
    planted = Token(PLANTED)
    try:
        tms_client.set_action(Cluster("c", tms.url), "PE-Enable", ("a",), planted)
    except RuntimeError:
        reporter = ExceptionReporter(None, *sys.exc_info())
    reports = reporter.get_traceback_html() + reporter.get_traceback_text()
    assert "a bug" in reports
    assert PLANTED not in reports


def test_a_broken_header_that_holds_the_token_is_not_quoted_in_the_log(olivia, settings, log, fetch):
    """urllib3 warns of lines that are no headers, by quoting them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.TMS_CLUSTERS = {"evian3": f"http://127.0.0.1:{server.getsockname()[1]}"}

        def answer_once():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(f"HTTP/1.1 200 OK\r\nBearer {PLANTED} no header\r\n\r\n{{}}".encode())

        thread = threading.Thread(target=answer_once)
        thread.start()
        fetch(token=PLANTED, url=f"{settings.TMS_CLUSTERS['evian3']}/tms/v1/set/action")
        thread.join()
    assert "[SET_ACTION]" in log.getvalue()
    assert PLANTED not in log.getvalue()


def test_a_token_shows_itself_to_nobody():
    token = Token(PLANTED)
    for text in (repr(token), str(token), f"{token}", repr([token]), repr({"token": token})):
        assert PLANTED not in text
    with pytest.raises(TypeError):
        __import__("pickle").dumps(token)
