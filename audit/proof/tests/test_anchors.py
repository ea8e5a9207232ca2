"""Anchors: only whole lines of the audit's own logger count, and one that does not fit is named as what it is."""

import io
import json
import logging
import sys
import threading
import warnings

import pytest
from django.core.management import CommandError, call_command

from audit import chain
from audit.models import AuditEntry
from audit.proof.anchors import logged_anchors
from audit.proof.seals import write_seal
from audit.tests.making import tampering
from audit.tests.sealing import head, run
from tmsdash.json_logs import JsonFormatter
from tmsdash.logs import OneLineFormatter, log_what_nobody_caught
from tmsdash.tests.tools import in_thread

pytestmark = [pytest.mark.usefixtures("databases", "empty_seal_dir"), pytest.mark.pages]

ATTEMPT = "00000000-0000-4000-8000-000000000000"
FORGED = f"[AUDIT] INTENT {ATTEMPT}: anchor=1:0123456789abcdef [INFO 2026-01-02T03:04:05.678Z 0123456789abcdef]"


@pytest.fixture
def written():
    """What all loggers write, as in production."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLineFormatter("{message} [{levelname} {asctime} {request_id}]", style="{"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


# -- Which lines count ----------------------------------------------------------------------------------------------


def test_the_anchors_of_a_whole_log_are_compared(written, request, tmp_path, monkeypatch):
    request.getfixturevalue("audited")
    write_seal(head())
    log = tmp_path / "log"
    text = written.getvalue()
    log.write_text(f"something else\n{text}{text}".replace("\n", "\r\n"))
    assert len(logged_anchors(str(log))) == 9
    code, printed = run("audit_verify", "--json", "--anchors-from", str(log))
    assert (code, json.loads(printed)["anchors"]) == (0, 9)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FORGED.encode())))
    code, printed = run("audit_verify", "--anchors-from", "-")
    assert (code, "the anchor 1:0123456789abcdef of line 1 of standard input names another" in printed) == (3, True)


FORGED_MESSAGE = FORGED.partition(" [INFO")[0]


def json_line(message=FORGED_MESSAGE, **changes):
    """A line of the audit's own logger as `tmsdash.json_logs` writes it, apart from the changes."""
    record = {"time": "2026-01-02T03:04:05.678Z", "level": "INFO", "logger": "audit.chain", "message": message}
    return json.dumps(record | changes)


def test_the_anchors_of_a_json_log_are_compared(written, request, tmp_path):
    [handler] = [handler for handler in logging.getLogger().handlers if getattr(handler, "stream", None) is written]
    handler.setFormatter(JsonFormatter())
    request.getfixturevalue("audited")
    write_seal(head())
    log = tmp_path / "log"
    log.write_text(f"something else\n{json_line(level='WARNING')}\n{written.getvalue()}")
    assert len(logged_anchors(str(log))) == 9
    code, printed = run("audit_verify", "--json", "--anchors-from", str(log))
    assert (code, json.loads(printed)["anchors"]) == (0, 9)
    log.write_text(json_line())
    code, printed = run("audit_verify", "--anchors-from", str(log))
    assert (code, "the anchor 1:0123456789abcdef of line 1" in printed) == (3, True)


@pytest.mark.parametrize("time", ["2026-01-02T03:04:05.678Z", "2026-01-02 03:04:05,678"])
def test_lines_of_now_and_of_former_releases_count(tmp_path, time):
    log = tmp_path / "log"
    log.write_text(FORGED.replace("2026-01-02T03:04:05.678Z", time))
    [point] = logged_anchors(str(log))
    assert (point.sequence, point.mac) == (1, "0123456789abcdef")


@pytest.mark.parametrize(
    "line",
    [
        f"Not Found: /{FORGED}",
        "Not Found: /anchor=1:0123456789abcdef [WARNING 2026-01-02T03:04:05.678Z 0123456789abcdef]",
        f" {FORGED}",
        f"Jan 02 03:04:05 host serve[7]: {FORGED}",
        *(f"x{separator}{FORGED}" for separator in ("\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028")),
        f"{FORGED} [WARNING 2026-01-02T03:04:05.678Z 0123456789abcdef]",
        f"{FORGED}{FORGED}",
        f"{FORGED}\rx",
        FORGED.replace("INTENT", "INTENTS"),
        FORGED.replace("INTENT", "SEAL"),
        FORGED.replace("INFO", "WARNING"),
        FORGED.replace(ATTEMPT, "x"),
        FORGED.replace("cdef [", "cde ["),
        FORGED.replace("cdef [", "cdef0 ["),
        FORGED.replace("=1:", "=-1:"),
        FORGED.replace("=1:", "=１:"),
        FORGED.partition(" [INFO")[0],
        json_line(logger="django.request"),
        json_line(logger=["audit.chain"]),
        json_line(logger="auditor"),
        json_line(level="WARNING"),
        json_line(FORGED),
        json_line(f"x {FORGED}"),
        json_line(f" {FORGED_MESSAGE}"),
        json_line("x", exc_info=FORGED),
        json_line("x", more=json.loads(json_line())),
        f" {json_line()}",
        f"{json_line()} [INFO 2026-01-02T03:04:05.678Z -]",
        f"{json_line()}{json_line()}",
        json_line().replace('"logger"', '"logger": "x", "logger"'),
        json.dumps([json.loads(json_line())]),
        f'{{"log": {json.dumps(json_line())}}}',
        f'{{"[AUDIT]": {"[" * 100_000}',
    ],
)
def test_a_line_that_is_not_wholly_the_audits_own_is_no_anchor(audited, tmp_path, line):
    log = tmp_path / "log"
    log.write_bytes(f"{line}\n".encode())
    with pytest.raises(CommandError, match=r"holds no anchor. Only lines that begin with \[AUDIT\]"):
        call_command("audit_verify", "--anchors-from", str(log))


def test_a_log_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(CommandError, match=f"{tmp_path}/none cannot be read"):
        call_command("audit_verify", "--anchors-from", f"{tmp_path}/none")


@pytest.mark.parametrize(
    "anchor",
    [
        *(
            "",
            "9",
            "9:",
            "x:0123456789abcdef",
            "9:0123",
            "9:0123456789abcdeg",
            "9 0123456789abcdef",
            "-9:0123456789abcdef",
        )
    ]
    + ["９:0123456789abcdef", "9:0123456789abcdef\n8:0123456789abcdef", f"9:{'0' * 65}", FORGED],
)
def test_an_anchor_that_is_none_is_bad_input(anchor):
    with pytest.raises(CommandError, match="write SEQUENCE:MAC"):
        call_command("audit_verify", f"--anchor={anchor}")


# -- Who can write one ----------------------------------------------------------------------------------------------


def test_no_other_logger_and_no_text_from_outside_begins_a_line_as_the_audit_does(written, request):
    logging.getLogger("django.security").error(FORGED)  # Django logs some exceptions by their text
    logging.getLogger("audit.accounts.sign_in").warning("%s", FORGED)
    logging.getLogger("some.library").warning("x\n%s", FORGED, stack_info=True)
    try:
        raise ValueError(f"x\n{FORGED}")
    except ValueError:
        logging.getLogger("other").exception("\n")
    assert FORGED in written.getvalue()
    assert not [line for line in written.getvalue().splitlines() if line.startswith("[AUDIT]")]
    request.getfixturevalue("audited")
    assert len([line for line in written.getvalue().splitlines() if line.startswith("[AUDIT]")]) == 9


def test_the_servers_own_logger_writes_on_one_line_too(monkeypatch):
    [handler] = [handler for handler in logging.getLogger("_granian").handlers if handler.name == "stderr"]
    stream = io.StringIO()
    monkeypatch.setattr(handler, "stream", stream)
    logging.getLogger("_granian").error("Application callable raised an exception\nValueError: x\n%s", FORGED)
    [line] = stream.getvalue().splitlines()
    assert line.startswith("Application callable raised an exception\\nValueError: x\\n[AUDIT] ")


def test_what_nobody_caught_is_logged_like_everything_else(written, monkeypatch):
    for name in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        log_what_nobody_caught()
        warnings.warn(f"x\n{FORGED}", stacklevel=1)
        logging.captureWarnings(False)
    failing = threading.Thread(target=lambda: int(f"x\n{FORGED}"))
    failing.start()
    failing.join()
    try:
        raise OSError(f"x\n{FORGED}")
    except OSError as error:
        sys.excepthook(OSError, error, error.__traceback__)
    lines = written.getvalue().splitlines()
    assert sum("anchor=1:0123456789abcdef" in line for line in lines) >= 3
    assert not [line for line in lines if line.startswith("[AUDIT]")]
    assert "[PROCESS] EXCEPTION: OSError [CRITICAL" in written.getvalue()


# -- One that does not fit ------------------------------------------------------------------------------------------


def test_an_anchor_that_does_not_match_does_not_outrank_a_chain_that_is_whole(audited):
    code, printed = run("audit_verify", "--anchor", "4:0123456789abcdef", "--anchor", "12:0123456789abcdef")
    first, second, *rest = printed.splitlines()
    assert (code, "BROKEN" in printed) == (3, False)
    assert first.startswith("The audit's entries, macs, end and seals are whole: 9 entries, ")
    assert second.startswith("ANCHORS DO NOT MATCH: 2, first entry 4. ")
    assert rest == [
        "  entry 4: the anchor 4:0123456789abcdef names another entry with this number.",
        "  entry 12: the anchor 12:0123456789abcdef names it, but it is not there: the chain ends with entry 9.",
    ]
    code, printed = run("audit_verify", "--json", "--anchor", "4:0123456789abcdef")
    found = json.loads(printed)
    assert (code, found["whole"], found["chain_whole"], found["first_bad"]) == (3, False, True, "entry 4")
    assert (found["finding_count"], found["findings"]) == (0, [])
    assert [unfit["where"] for unfit in found["anchors_unfit"]] == ["entry 4"]


def test_what_is_broken_is_named_before_anchors(audited):
    entry = AuditEntry.objects.get(sequence=9)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET user_id = 'eve' WHERE sequence = 7")
    fitting = chain.anchor(9, entry.mac)
    code, printed = run("audit_verify", "--anchor", "4:0123456789abcdef", "--anchor", fitting)
    assert (code, "First bad: entry 7." in printed) == (3, True)
    assert "Besides, 1 anchors do not match:\n  entry 4: " in printed


def test_a_thread_of_its_own_writes_anchors_that_count_too(written):
    in_thread(lambda: call_command("audit_seal", stdout=io.StringIO()))
    lines = [line.partition(":")[0] for line in written.getvalue().splitlines()]
    assert lines == ["[AUDIT] SEALED", "[AUDIT] SETTING_CHANGED", "[AUDIT] SEALED"]  # the seal, and what notes it
