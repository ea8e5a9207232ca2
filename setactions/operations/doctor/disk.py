"""Room on the disks that the site writes to."""

import os
import tempfile
from pathlib import Path

from django.conf import settings

from setactions.operations.degraded import NEARLY_FULL_BYTES
from setactions.operations.doctor.findings import Finding, Findings, Well, note
from setactions.operations.doctor.site import Site
from tmsdash.db.transactions import MIN_FREE_BYTES

FEW_FILES = 1000


def look(site: Site) -> Findings:
    """Yield which disk is full, or nearly."""
    places = [Path(settings.VAR_DIR), *(file.parent for file in settings.DATABASE_FILES), Path(settings.AUDIT_SEAL_DIR)]
    places.append(Path(tempfile.gettempdir()))
    seen: dict[int, int] = {}
    for place in places:
        if not place.is_dir() or place.stat().st_dev in seen:
            continue
        status = os.statvfs(place)
        free = status.f_bavail * status.f_frsize
        seen[place.stat().st_dev] = free
        if free < MIN_FREE_BYTES:
            least = MIN_FREE_BYTES >> 20
            sentence = f"Only {free >> 20} MiB are free on the disk of {place}; below {least} no Set Action is sent."
            yield Finding("disk.full", sentence, f"Make room: du -xh {place} | sort -h | tail; or enlarge the disk.")
        elif free < NEARLY_FULL_BYTES:
            sentence = f"{free >> 20} MiB are free on the disk of {place}, less than an upgrade or a backup may take."
            yield note("disk.little", sentence, f"Make room: du -xh {place} | sort -h | tail; or enlarge the disk.")
        if status.f_files and status.f_favail < FEW_FILES:
            sentence = f"The disk of {place} takes only {status.f_favail} more files."
            yield Finding(
                "disk.files", sentence, f"Remove files that nobody needs: du --inodes -x {place} | sort -n | tail"
            )
    if seen:
        yield Well(f"{min(seen.values()) / 1e9:,.1f} GB free where there is least")
