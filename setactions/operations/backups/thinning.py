"""Removing older backups: of each day, week and month one is kept, for as many of them as the setting says.

1. Only what `backup` made is counted or removed: a real folder, whose name is the time in its manifest, and which holds
   the files that the manifest names and nothing else. Everything else in the folder is left alone.
2. Never the newest one, and nothing unless the backup before it has just succeeded.
3. Of a day, the last backup stays that was sound; one that does not fit together only if there is no other.
4. A backup is renamed before it is removed, so that one that is removed halfway cannot be taken for a whole one. What a
   killed process has left of that goes with the next thinning.
5. No link is followed: one in the place of a folder or a file makes it no backup.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from setactions.operations.backups.engine import BackupError
from setactions.operations.backups.manifest import NAME, Manifest
from tmsdash.db.files import sync

NAME_FORMAT = "%Y-%m-%dT%H-%M-%SZ"  # of the folder of a backup, by the moment that it shows
_NAME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z"
_FOLDER = re.compile(rf"({_NAME})(-[0-9]+)?")
_REMOVING = ".removing-"
_LEFT = re.compile(rf"{re.escape(_REMOVING)}{_NAME}(-[0-9]+)?")
PERIODS: dict[str, Callable[[datetime], tuple[int, ...]]] = {
    "daily": lambda moment: (moment.year, moment.month, moment.day),
    "weekly": lambda moment: tuple(moment.isocalendar()[:2]),
    "monthly": lambda moment: (moment.year, moment.month),
}


@dataclass(frozen=True, order=True)
class Kept:
    """A complete backup: the moment that it shows (UTC), its folder, and whether jobs and audit fit together in it."""

    made_at: datetime
    folder: Path
    is_sound: bool


def thin(folder: Path, keep: Mapping[str, int]) -> list[str]:
    """Remove the backups in `folder` that `keep` (such as 7 `daily` ones) has no use for; return their names.

    Does nothing if `keep` is empty. Raises BackupError, with what was not removed, if the system does not let us.
    """
    if not any(keep.values()):
        return []
    try:
        _remove_what_is_left(folder)
        names = []
        for backup in superseded(_complete_ones(folder), keep):
            aside = folder / f"{_REMOVING}{backup.folder.name}"
            with suppress(FileNotFoundError):  # another process was faster
                backup.folder.rename(aside)
                sync(folder)
                names.append(backup.folder.name)
        _remove_what_is_left(folder)
    except OSError as error:
        raise BackupError(f"Older backups in {folder} could not be removed: {error.strerror or error}.") from None
    return names


def superseded(backups: Iterable[Kept], keep: Mapping[str, int]) -> list[Kept]:
    """Return the backups that are neither the newest one nor the one of a period that is kept, the oldest first."""
    newest_first = sorted(backups, reverse=True)
    kept = set(newest_first[:1])
    for period, count in keep.items():
        best: dict[tuple[int, ...], Kept] = {}
        for backup in newest_first:
            key = PERIODS[period](backup.made_at)
            if key not in best or (backup.is_sound and not best[key].is_sound):
                best[key] = backup
        kept |= set(list(best.values())[:count])  # periods, the latest first: as they were met
    return [backup for backup in reversed(newest_first) if backup not in kept]


def _complete_ones(folder: Path) -> Iterator[Kept]:
    for path in folder.iterdir():
        match = _FOLDER.fullmatch(path.name)
        if not match or path.is_symlink() or not path.is_dir():
            continue
        try:
            manifest = Manifest.load(path)
            made_at = datetime.fromisoformat(manifest.made_at).astimezone(UTC)
        except (BackupError, ValueError):
            continue  # incomplete, damaged, or of a later version
        files = {NAME, *(entry.file for entry in manifest.databases.values())}
        are_ours = all(file.name in files and file.is_file() and not file.is_symlink() for file in path.iterdir())
        if are_ours and made_at.strftime(NAME_FORMAT) == match[1]:
            yield Kept(made_at, path, not manifest.disagreements)


def _remove_what_is_left(folder: Path) -> None:
    """Remove what was renamed for that, now or by a process that was killed over it."""
    for path in folder.iterdir():
        if _LEFT.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)  # which removes links and does not follow them
