"""A stream goes on: entries are read, given to the output, and then the cursor moves.

1. Nothing is read anew before the cursor has moved behind what the output took, so that little is sent again.
2. An output or a database that is away is tried again, ever more seldom. The log says so once, and once it is back.
3. What was taken shortly before a connection broke may be lost on the way: the stream goes back to before that.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import Error as AnyDatabaseError

from audit.stream.cursor import DATABASE, Cursor, Position
from audit.stream.outputs import Output
from audit.stream.reading import batches_behind
from tmsdash.db.transactions import drop_if_broken
from tmsdash.text import one_line

POLL_S = 1.0  # between two looks for new entries
LONGEST_PAUSE_S = 30.0  # between two tries

Wait = Callable[[float], bool]  # waits so many seconds; tells whether to end, without waiting once it is so

logger = logging.getLogger(__name__)


class OutputError(Exception):
    """An output took nothing; the text says why."""


class Stream:
    """What carries a stream; `sent` counts the entries that the output took."""

    def __init__(self, cursor: Cursor, output: Output, archive_folder: Path | None = None) -> None:
        self._cursor, self._output, self._folder = cursor, output, archive_folder
        self._position = cursor.position
        self._recent: deque[tuple[float, Position]] = deque()  # where the output was, and when it went on from there
        self.sent = 0
        place = f"behind entry {self._position.sequence}" if self._position.sequence else "with the first entry"
        logger.info("[STREAM] %s begins %s, to %s", cursor.name, place, output.name)

    def go_on(self, ends: Callable[[], bool] = lambda: False) -> None:
        """Send everything up to the end of the audit, unless it `ends` before.

        Raises OutputError if the output fails, or OSError if it will not come back; DatabaseError; StreamError if the
        stream cannot go on.
        """
        with self._output_errors():
            self._output.check()
        self._save()
        for batch in batches_behind(self._position, self._folder):
            if ends():
                return
            with self._output_errors():
                self._output.take(batch)
            self._remember()
            self._position = Position(batch[-1].sequence, batch[-1].mac)
            self.sent += len(batch)
            self._save()

    def follow(self, wait: Wait) -> None:
        """Send what is there and whatever comes, until it is told to end. Raises StreamError if it cannot go on."""
        trouble, pause_s, since = "", 0.0, 0.0
        while True:
            try:
                self.go_on(lambda: wait(0))
            except (AnyDatabaseError, OutputError) as error:
                if not trouble:
                    trouble, since = self._say(error), time.monotonic()
                pause_s = min(2 * pause_s or POLL_S, LONGEST_PAUSE_S)
            else:
                if trouble:
                    away_s = time.monotonic() - since
                    logger.warning("[STREAM] %s goes on, after %.0f s. It was: %s", self._cursor.name, away_s, trouble)
                trouble, pause_s = "", 0.0
            if wait(pause_s or POLL_S):
                return

    def _save(self) -> None:
        """Move the cursor to where the output is, unless that is before it: then things are sent again."""
        with drop_if_broken(DATABASE):
            if self._position.sequence > self._cursor.position.sequence:
                self._cursor.move(self._position)
            else:
                self._cursor.renew()

    def _remember(self) -> None:
        """Note where the output was before the last batch, for as long as that may be sent again."""
        now = time.monotonic()
        self._recent.append((now, self._position))
        while self._recent[0][0] < now - self._output.sent_again_s:
            self._recent.popleft()

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        """Close an output that fails, and go back to what it may have lost."""
        try:
            yield
        except OSError as error:
            self._output.close()
            if not self._output.comes_back:
                raise
            since = time.monotonic() - self._output.sent_again_s
            self._position = next((position for at, position in self._recent if at >= since), self._position)
            self._recent.clear()
            raise OutputError(f"{self._output.name}: {error.strerror or error}") from error

    def _say(self, error: Exception) -> str:
        what = "a database cannot be used" if isinstance(error, AnyDatabaseError) else "its output takes nothing"
        trouble = one_line(str(error).strip(), 300)
        logger.warning("[STREAM] %s waits, because %s: %s", self._cursor.name, what, trouble)
        return trouble
