"""To where a stream goes on this host: standard output, or a file."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from audit.proof.stored import StoredEntry
from audit.stream.cursor import StreamError
from audit.stream.lines import BEGIN, line_of
from tmsdash.db.files import sync

BLOCK = 1 << 16


class Output(Protocol):
    """What takes entries. Errors are OSErrors, and nothing of the entries counts as taken then."""

    name: str
    """What people call it."""
    comes_back: bool
    """Whether it may be tried again after an error."""
    sent_again_s: float
    """What was taken in so many seconds before an error may be lost, and is to be sent again."""

    def check(self) -> object:
        """Be ready to take entries, or raise OSError; StreamError if that will never be."""

    def take(self, entries: Sequence[StoredEntry]) -> None:
        """Take entries, and return once they are as safe as this output makes them. Raises OSError or StreamError."""

    def close(self) -> None:
        """Let go of it; whatever it has not taken yet is dropped."""


class StandardOutput:
    """Standard output: whoever reads it has the lines once they are flushed. A reader that is gone stays gone."""

    name, comes_back, sent_again_s = "standard output", False, 0.0

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def check(self) -> None:
        pass

    def take(self, entries: Sequence[StoredEntry]) -> None:
        self._stream.writelines(f"{line_of(entry)}\n" for entry in entries)
        self._stream.flush()

    def close(self) -> None:
        pass


class FileOutput:
    """A file that only grows, with whole lines on the disk. If it is moved away, the next lines go to a new one."""

    comes_back, sent_again_s = True, 0.0

    def __init__(self, path: Path) -> None:
        self.name, self._path, self._descriptor = str(path), path, -1

    def check(self) -> None:
        if self._is_moved():
            self.close()
            self._open()

    def _open(self) -> None:
        """Open the file, or make it, for its owner only. A line that a crash cut off is removed: it was never taken."""
        is_new = not self._path.exists()
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise StreamError(f"{self._path} is no regular file: write to standard output, and lead that there.")
        if is_new:
            sync(self._path.parent)
        self._cut_half_line()

    def take(self, entries: Sequence[StoredEntry]) -> None:
        self.check()
        before = os.fstat(self._descriptor).st_size
        try:
            left = memoryview("".join(f"{line_of(entry)}\n" for entry in entries).encode("ascii"))
            while left:
                left = left[os.write(self._descriptor, left) :]
            os.fsync(self._descriptor)
        except OSError:  # a full disk: what is there of it would break the next line
            with suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_moved(self) -> bool:
        if self._descriptor < 0:
            return True
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return True

    def _cut_half_line(self) -> None:
        size = end = os.fstat(self._descriptor).st_size
        rest = b""
        while end and b"\n" not in rest:
            begin = max(0, end - BLOCK)
            rest, end = os.pread(self._descriptor, end - begin, begin) + rest, begin
        rest = rest[rest.rfind(b"\n") + 1 :]
        if not rest:
            return
        if rest[: len(BEGIN)] != BEGIN.encode()[: len(rest)]:
            raise StreamError(f"{self._path} ends with a line that is none of a stream's. Name another file.")
        os.ftruncate(self._descriptor, size - len(rest))
        os.fsync(self._descriptor)
