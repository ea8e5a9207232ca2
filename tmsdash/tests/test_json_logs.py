"""Log lines as JSON: one object on a line, with what it belongs to, and as safe from outside as the others."""

import json
import logging
import uuid

import pytest

from tmsdash.json_logs import LINE_LIMIT, TRACEBACK_LIMIT, JsonFormatter
from tmsdash.log_context import about
from tmsdash.tests.fixtures import TOKEN
from tmsdash.web import request_id

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGFtIn0.c2lnbmF0dXJlLXRoYXQtaXMtbm9uZQ"
FORGED = (
    '{"time": "x", "level": "INFO", "logger": "audit.chain", "message": "[AUDIT] INTENT: anchor=1:0123456789abcdef"}'
)


@pytest.fixture(autouse=True)
def outside_of_requests():
    """The id of a request that another test made stays with the thread."""
    request_id._current.set(request_id.NONE)


def written(message, *values, name="a", exception=None, **attributes):
    """The line that a record becomes, and what a collector reads from it."""
    exc_info = (type(exception), exception, exception.__traceback__) if exception else None
    record = logging.LogRecord(name, logging.WARNING, "a.py", 1, message, values, exc_info)
    record.__dict__ |= attributes
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert line.isprintable()
    return json.loads(line)


def test_a_line_says_when_who_and_what_it_belongs_to():
    attempt_id, batch_id = uuid.uuid4(), uuid.uuid4()
    plain = written("%d of %d", 5, 7)
    assert plain.pop("time").endswith("Z")
    assert plain == {"level": "WARNING", "logger": "a", "message": "5 of 7"}
    with about(batch_id=batch_id), about(attempt_id=attempt_id):
        assert written("x")["attempt_id"] == str(attempt_id)
        assert written("x")["batch_id"] == str(batch_id)
        other = uuid.uuid4()
        assert written("x", attempt_id=other)["attempt_id"] == str(other)
    assert "attempt_id" not in written("x")


@pytest.mark.parametrize("line_break", ["\n", "\r", "\x0b", "\x1c", "\x85", "\u2028", "\ud800", "\x1b[2J"])
def test_nothing_from_outside_ends_a_line_or_adds_to_it(line_break):
    text = f"eve{line_break}{FORGED}"
    try:
        raise ValueError(text)
    except ValueError as error:
        line = written("user=%s", text, exception=error, request=text, attempt_ids=[text])
    assert set(line) == {"time", "level", "logger", "message", "exc_info"}
    assert FORGED in line["message"]
    assert written({"logger": "audit.chain", "exc_info": FORGED})["logger"] == "a"
    assert "exc_info" not in written({"exc_info": FORGED})


def test_only_the_audits_own_loggers_begin_a_message_as_the_audit_does():
    assert written("[AUDIT] x", name="audit.chain")["message"] == "[AUDIT] x"
    assert written("[AUDIT] x", name="django.security")["message"] == " [AUDIT] x"
    assert written("%s", "[AUDIT] x", name="audit.chain")["message"] == " [AUDIT] x"


def test_no_token_is_in_a_message_or_a_traceback_and_both_have_an_end():
    try:
        raise ValueError(f"{JWT} {'x' * 7_000}\n" * 9)
    except ValueError as error:
        line = written("answer %s %s", JWT, "x" * 5_000_000, exception=error)
    assert JWT.partition(".")[0] not in json.dumps(line)
    assert "ValueError" not in line["exc_info"][:20]
    assert len(line["exc_info"]) == TRACEBACK_LIMIT
    assert len(line["message"]) < 10_000


@pytest.mark.parametrize("character", ["x", "\U0001f600", "\\", '"', "\x85"])
def test_no_line_is_so_long_that_a_collector_cuts_it(character):
    try:
        raise ValueError(f"{character * 5_000}\n" * 9)
    except ValueError as error:
        line = written("%s", character * 5_000_000, exception=error, stack_info=character * 50_000)
    assert len(json.dumps(line)) <= LINE_LIMIT
    assert all(line[name] for name in ("message", "exc_info", "stack_info"))


@pytest.fixture
def lines(monkeypatch):
    """What is logged anywhere, as JSON."""
    objects = []

    class Handler(logging.Handler):
        def emit(self, record):
            objects.append(json.loads(self.format(record)))

    handler, root = Handler(), logging.getLogger()
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    monkeypatch.setattr(root, "level", logging.INFO)
    yield objects
    root.removeHandler(handler)


@pytest.mark.pages
def test_each_line_of_a_set_action_names_its_request_and_its_attempt(fetch, lines):
    answer = fetch()
    attempt_id, request = answer.json()["attempt_id"], answer.headers[request_id.HEADER]
    own = [line for line in lines if line.get("attempt_id") == attempt_id]
    assert {"INTENT", "SUCCESS:"} <= {word for line in own for word in line["message"].split()}
    assert {line.get("request_id") for line in own} == {request}
    assert any(line["message"].startswith("[JOBS]") for line in own)  # which does not know of attempts
    assert TOKEN not in json.dumps(lines)


@pytest.mark.pages
def test_each_line_of_a_batch_names_it_and_those_of_its_calls_their_attempts(make_batch, run, lines):
    batch = run(make_batch(count=4, size=2))
    sent = [line for line in lines if line["message"].startswith("[SET_ACTION]")]
    assert len({line["attempt_id"] for line in sent}) == 2
    assert {line.get("batch_id") for line in lines} == {str(batch.batch_id)}
