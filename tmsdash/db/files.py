"""Files that must survive a power cut."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk. Raises OSError.

    A new file survives a power cut when both it and its folder were synced.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
