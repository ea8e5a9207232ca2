"""Log lines that nothing from outside can break."""

import logging

from tmsdash import request_id
from tmsdash.text import one_line

# Longer than the longest line that we mean to write, short enough for every log collector.
LINE_LIMIT = 8_000


class OneLineFormatter(logging.Formatter):
    """Write each record on one line, with the request's id; the lines of a traceback are indented below it.

    Ids, user names and TMS's messages reach the log. A line break in one of them would let its
    author write a log line of their own, so control characters are escaped here, for every logger.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        record.message = one_line(record.message, LINE_LIMIT)
        record.request_id = request_id.current()
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 (logging's name)
        traceback = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join(f"    | {one_line(line, LINE_LIMIT)}" for line in traceback.splitlines())
