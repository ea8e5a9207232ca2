"""Log lines that input from outside can neither break nor forge; `tmsdash.json_logs` writes the same as JSON."""

import logging
import sys
import threading
import time
from functools import lru_cache
from types import TracebackType
from typing import Any
from urllib.parse import quote

from tmsdash.text import one_line
from tmsdash.tokens import without_web_tokens
from tmsdash.web import request_id

# Longer than any line that we write on purpose, short enough for every log collector.
LINE_LIMIT = 8_000
# `audit_verify --anchors-from` trusts lines that begin with this; only the audit's own loggers may write them.
AUDIT_WORD = "[AUDIT]"
SEGMENT_LENGTH = 40  # of a path; our ids have 36 characters, most tokens have more
PATH_LENGTH = 200

logger = logging.getLogger(__name__)
# What no line shows is not looked up for each record: logging's own switches, the last one for where it was logged.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
logging._srcfile = None


class OneLineFormatter(logging.Formatter):
    """Write each record on one line, with time and request id; the lines of a traceback are indented below it.

    Ids, user names and TMS's messages reach the log. A line break in one of them would let its
    author write a log line of their own, so control characters are escaped here, for every logger.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        record.message = cleaned_message(record)
        record.request_id = request_id.current()
        return super().formatMessage(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (logging's name)
        return utc_time(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 (logging's name)
        return _indented(super().formatException(ei))  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 (logging's name)
        return _indented(super().formatStack(stack_info))


def cleaned_message(record: logging.LogRecord) -> str:
    """Return the message of a record on one line, without tokens, and as the audit's only if it is."""
    line = without_web_tokens(one_line(record.message, LINE_LIMIT))
    return line if AUDIT_WORD not in line or _is_audits(record) else no_audit_line(line)


def utc_time(record: logging.LogRecord) -> str:
    """Return the time in UTC as ISO 8601, such as 2026-01-02T03:04:05.678Z, whatever zone the machine keeps."""
    return f"{_utc(int(record.created))}.{int(record.msecs):03}Z"


@lru_cache(maxsize=1)  # a request writes its lines within few seconds
def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _is_audits(record: logging.LogRecord) -> bool:
    # A message may begin with what somebody sent: Django logs some exceptions by their text alone.
    return record.name.startswith("audit.") and str(record.msg).startswith(AUDIT_WORD)


class ShownPaths(logging.Filter):
    """Make Django's own lines show the path of a request as ours do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten anything in the record that may be a token; the record is always logged."""
        path = getattr(getattr(record, "request", None), "path", None)
        if path and isinstance(record.args, tuple):
            record.args = tuple(shown_path(path) if argument == path else argument for argument in record.args)
        return True


def shown_path(path: str) -> str:
    """Return a path in its percent-encoded form, shortened where it may hold a token."""
    segments = (_cut(segment) for segment in path[: 2 * PATH_LENGTH].split("/"))
    return one_line(quote("/".join(segments), errors="replace"), PATH_LENGTH)


def _cut(segment: str) -> str:
    return f"{segment[:4]}..." if len(segment) > SEGMENT_LENGTH or "eyJ" in segment else segment


class WithoutTraceback(logging.Filter):
    """Let records through without their traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the traceback, and return True."""
        record.exc_info = None
        return True


def no_audit_line(text: str) -> str:
    """Return `text`, of one or more lines, so that none of them can be mistaken for a line of the audit.

    Those begin with its word, or, as JSON, with a brace.
    """
    if AUDIT_WORD not in text:  # as a rule
        return text
    lines = text.splitlines(keepends=True)
    return "".join(f" {line}" if line.startswith((AUDIT_WORD, "{")) else line for line in lines)


def lines_without_tokens(text: str) -> list[str]:
    """Return the lines of a traceback, each of them without line breaks of others' and without tokens."""
    return [without_web_tokens(one_line(line, LINE_LIMIT)) for line in text.splitlines()]


def _indented(text: str) -> str:
    return "\n".join(f"    | {line}" for line in lines_without_tokens(text))


def log_what_nobody_caught() -> None:
    """Send Python's warnings, and exceptions that end a thread or the process, to the log instead of past it."""
    logging.captureWarnings(True)
    sys.excepthook = _log_end
    threading.excepthook = _log_unraised
    sys.unraisablehook = _log_unraised


def _log_end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    logger.critical("[PROCESS] EXCEPTION: %s", kind.__name__, exc_info=(kind, error, traceback))


def _log_unraised(facts: Any) -> None:
    if facts.exc_value is not None and not isinstance(facts.exc_value, SystemExit):
        where = (facts.exc_type, facts.exc_value, facts.exc_traceback)
        logger.critical("[PROCESS] EXCEPTION: %s in a thread", facts.exc_type.__name__, exc_info=where)
