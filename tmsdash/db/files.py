"""Files that must survive a power cut, and large ones that nobody needs after the process that wrote them."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile, _TemporaryFileWrapper

LARGE_FILES = "/var/tmp"  # noqa: S108 (names of random letters, for their owner only); /tmp may be memory


def temporary_file(purpose: str) -> "_TemporaryFileWrapper[bytes]":
    """Return a new file, in TMPDIR if that is set, for more than memory should hold; once it is closed it is gone."""
    return NamedTemporaryFile(prefix=f"tmsdash-{purpose}-", dir=os.environ.get("TMPDIR", LARGE_FILES))


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk. Raises OSError.

    A new file survives a power cut when both it and its folder were synced.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
