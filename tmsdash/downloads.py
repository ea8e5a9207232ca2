"""Files that are sent or written row by row, and what becomes of them if a row cannot be read.

- A download has its status before its rows are read, and the server ends it in good order whatever happens to them:
  granian closes the body as if it were whole. So its last line says that it is not.
- What already fails in the first rows is an error page: nothing was sent by then.
- A file that a command writes has its name only once it is whole.
"""

import errno
import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from django.http import StreamingHttpResponse

from tmsdash.csv_text import csv_text
from tmsdash.db.bulk import release_caches
from tmsdash.db.files import sync
from tmsdash.text import one_line

logger = logging.getLogger(__name__)

# It begins with what no id looks like, and has blanks: no reader of ours takes it for a customer.
INCOMPLETE = (
    "INCOMPLETE: the rest could not be read. Do not use this file: {next_step}, and tell the admin if that does not "
    "help."
)
DOWNLOAD_AGAIN, RUN_AGAIN = "download it again", "run the command again"
CHUNK_LENGTH = 64 << 10  # characters: a server spends more on handing over a row than it costs to make one
ROWS_BEFORE_STATUS = 2  # parts of a download: its header, and the first of its rows


class IncompleteError(Exception):
    """Rows could not be read to their end; the text says why, as a sentence."""


def mark_of(kind: str, next_step: str = DOWNLOAD_AGAIN) -> str:
    """Return the last line of a file, `csv` or `jsonl`, that is not whole."""
    text = INCOMPLETE.format(next_step=next_step)
    return csv_text([[text]]) if kind == "csv" else json.dumps({"incomplete": text}) + "\n"


def marked(lines: Iterable[str], mark: str) -> Iterator[str]:
    """Yield `lines`; if they cannot be read to their end, yield `mark` in their place and raise IncompleteError."""
    try:
        yield from lines
    except Exception as error:
        yield mark
        if isinstance(error, IncompleteError):
            raise
        reason = one_line(f"{type(error).__name__}: {error}").rstrip(".")
        raise IncompleteError(f"The rows could not be read to their end ({reason}).") from error


def download(lines: Iterable[str], name: str, content_type: str) -> StreamingHttpResponse:
    """Return `lines` as a file to download under `name`, which ends with `.csv` or `.jsonl`.

    Raises whatever the first rows raise. What breaks off later ends with the mark, and is logged.
    """
    rest = iter(lines)
    first = list(islice(rest, ROWS_BEFORE_STATUS))
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(_sent(chain(first, rest), name), content_type=content_type, headers=headers)


def _sent(lines: Iterable[str], name: str) -> Iterator[str]:
    chunk: list[str] = []
    size = 0
    try:
        for line in marked(lines, mark_of(name.rpartition(".")[2])):
            chunk.append(line)
            size += len(line)
            if size >= CHUNK_LENGTH:
                yield "".join(chunk)
                chunk, size = [], 0
    except IncompleteError as error:
        logger.error("[DOWNLOAD] EXCEPTION: %s was sent incomplete, and its last line says so. %s", name, error)
    finally:
        release_caches()
    if chunk:
        yield "".join(chunk)


@contextmanager
def whole_file(path: Path, *, is_new: bool = False) -> Iterator[TextIO]:
    """A text file to write that becomes `path` when the block ends, and vanishes when the block raises.

    What was at `path` stays until then; `is_new` refuses to replace anything, and makes a file for its owner only.
    A terminal or a pipe is written directly. Raises OSError, with the name `path`, if it cannot be made.
    """
    target = path.resolve()  # a link stays one
    if target.exists() and not target.is_file() and not is_new:
        with target.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        if is_new:
            target.touch(mode=0o600, exist_ok=False)  # from now on nobody else makes it
        elif target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        # It never allows more than the file itself will.
        partial.touch(mode=0o600 if target.exists() else 0o666, exist_ok=False)
        file = partial.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with file:
            if target.exists():
                shutil.copymode(target, partial)
            yield file
        sync(partial)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        if is_new:
            target.unlink(missing_ok=True)
        raise
