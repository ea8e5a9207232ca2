"""Log lines as JSON, for collectors: with LOG_FORMAT=json each record is one object on one line.

The guards are those of `tmsdash.logs`. Besides:

1. Only the fields below are written, whatever somebody attached to a record: Django attaches whole requests.
2. A line is ASCII. Every other character is escaped, so that none of them ends a line for any program.
3. A line is of limited length, because collectors cut longer ones, and half an object is none.
"""

import json
import logging
from typing import Any

from pythonjsonlogger.core import BaseJsonFormatter

from tmsdash import log_context
from tmsdash.logs import cleaned_message, lines_without_tokens, utc_time
from tmsdash.text import one_line
from tmsdash.web import request_id

TRACEBACK_LIMIT = 16_000  # characters; of a longer one the end is kept, where the error stands

LINE_LIMIT = 40_000  # bytes, escapes included; journald, which takes the longest, splits lines at 48 KiB
SHORT = 1_000  # characters of each text in a line that would be longer: at most 12 bytes each

_encode = json.JSONEncoder().encode


class JsonFormatter(BaseJsonFormatter):
    """Write each record as one JSON object with its time, level, logger, message, and what it belongs to.

    `request_id`, `attempt_id` and `batch_id` are left out where there is none; `exc_info` and `stack_info` are texts
    of several lines.
    """

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Fill `log_data` with what is written of a record."""
        if isinstance(record.msg, dict):  # which the library would take for fields
            record.message = str(record.msg)
        request = request_id.current()
        log_data |= {
            "time": utc_time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": cleaned_message(record),
        }
        belongs = {
            "request_id": "" if request == request_id.NONE else request,
            # A record may say by itself what it is about.
            "attempt_id": str(getattr(record, "attempt_id", "") or log_context.current_attempt_id()),
            "batch_id": str(getattr(record, "batch_id", "") or log_context.current_batch_id()),
        }
        log_data.update((name, value) for name, value in belongs.items() if value)
        for name in ("exc_info", "stack_info"):
            if getattr(record, name) and message_dict.get(name):
                log_data[name] = _shortened("\n".join(lines_without_tokens(str(message_dict[name]))))

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the line."""
        line = _encode(log_data)
        if len(line) <= LINE_LIMIT:
            return line
        ends = {name: _shortened(log_data[name], SHORT) for name in ("exc_info", "stack_info") if name in log_data}
        return _encode(log_data | ends | {"message": one_line(log_data["message"], SHORT)})


def _shortened(text: str, limit: int = TRACEBACK_LIMIT) -> str:
    return text if len(text) <= limit else f"…{text[1 - limit :]}"
