"""Which type of file system a path is on, as Linux tells it.

SQLite's locks, and the memory that users of its WAL share, hold on one host only. Over a network two may write at once,
and the database is lost.
"""

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")  # not there: another system, of which nothing is known here
# Some programs that serve files through FUSE do so over a network, among them these.
NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "coda", "lustre", "glusterfs", "gpfs", "beegfs"),
        *(f"fuse.{name}" for name in ("sshfs", "glusterfs", "ceph", "ceph-fuse", "s3fs", "rclone", "gcsfuse", "mfs")),
    }
)


def network_type(path: Path) -> str:
    """Return the type of the network file system that a path is on, whether it exists or not; empty for all others."""
    kind = type_in(MOUNTS.read_text(errors="surrogateescape"), path.resolve()) if MOUNTS.exists() else ""
    return kind if kind in NETWORK else ""


def type_in(mounts: str, path: Path) -> str:
    """Return the type of the file system that an absolute path is on, by the lines of a `mountinfo` (see proc(5))."""
    kinds: dict[Path, str] = {}
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        # The newest mount at a place hides those before it.
        kinds[Path(_unescaped(fields.split(" ")[4]))] = rest.split(" ")[0]
    return next((kinds[folder] for folder in (path, *path.parents) if folder in kinds), "")


def _unescaped(name: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), name)
