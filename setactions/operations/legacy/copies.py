"""A copy of an SQLite file, to read from it.

1. The file and its folder stay as they are, byte for byte: SQLite never opens the file itself, because it would write
   beside it, take locks that stop a dashboard which still runs, and fail where it may not write.
2. What SQLite has not moved into the file yet comes along: `-wal` holds the newest rows, `-journal` undoes half a
   transaction. `-shm` is made anew.
3. A copy is discarded if somebody wrote meanwhile, and given up after TRIES.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

TRIES = 5
HEADER = 100  # bytes: changes with every transaction, unless there is a -wal
WAL_HEADER = 32  # bytes: changes when what it holds has moved into the file, and it begins anew
WAL, JOURNAL = "-wal", "-journal"


class BadFileError(Exception):
    """A file is not one of the old dashboard's, or cannot be read. The text says why, and what to do, as sentences."""


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """Lend a copy of an SQLite file with its companions, in a folder for temporary files; raises BadFileError."""
    with TemporaryDirectory(prefix="import_legacy-") as folder:
        copy = Path(folder) / path.name
        try:
            if not path.is_file():
                raise BadFileError(f"There is no file {path}.")
            _copy(path.resolve(), copy)  # SQLite looks for companions beside the file, not beside a link to it
        except OSError as error:
            raise BadFileError(
                f"{path} cannot be copied to {folder}: {error.strerror}. Check that you may read it, and that there "
                "is room; TMPDIR names another folder."
            ) from None
        yield copy


def lacks_wal(copy: Path) -> bool:
    """Tell whether a copy, which SQLite has not opened yet, says that it has a `-wal`, and came without."""
    return _first_bytes(copy, HEADER)[18:20] == b"\2\2" and not _beside(copy, WAL).exists()


def _copy(path: Path, copy: Path) -> None:
    for _ in range(TRIES):
        before = _state(path)
        # The file first: what moves into it from the -wal meanwhile is then in the copy of the -wal, too.
        for suffix in ("", WAL, JOURNAL):
            _beside(copy, suffix).unlink(missing_ok=True)
            if not suffix or _beside(path, suffix).exists():
                shutil.copyfile(_beside(path, suffix), _beside(copy, suffix))
        if _state(path) == before:
            return
    raise BadFileError(f"{path} is being written to all the time. Stop the old dashboard, and run this again.")


def _state(path: Path) -> tuple[object, ...]:
    """Return what differs if somebody writes; rows that are only added to the `-wal` do no harm."""
    file = path.stat()
    journal = _beside(path, JOURNAL)
    return (
        *(file.st_mtime_ns, file.st_size, _first_bytes(path, HEADER)),
        _first_bytes(_beside(path, WAL), WAL_HEADER),
        (journal.stat().st_mtime_ns, journal.stat().st_size) if journal.exists() else None,
    )


def _first_bytes(path: Path, count: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        return file.read(count)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
