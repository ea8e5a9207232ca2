"""The manifest of a backup: what it holds, so that a restore can tell whether it is all there."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from setactions.operations.backups.engine import BackupError, Contents, Entry

NAME = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """A backup: the moment that it shows (UTC, ISO 8601), the version of the product that made it, and its databases.

    `disagreements` are sentences about what was inconsistent in the databases themselves.
    """

    made_at: str
    version: str
    databases: dict[str, Entry]
    disagreements: list[str]

    def save(self, folder: Path) -> None:
        """Write the manifest into the folder of the backup."""
        file = folder / NAME
        file.touch(mode=0o600)
        file.write_text(json.dumps({"format": FORMAT} | asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read the manifest of a backup; raises BackupError if it is missing or cannot be understood."""
        try:
            stored = json.loads((folder / NAME).read_text())
        except FileNotFoundError:
            raise BackupError(
                f"{folder} is no backup: there is no {NAME}. Name a folder that the command backup made."
            ) from None
        except (OSError, ValueError) as error:
            raise BackupError(f"{folder / NAME} cannot be read. {error}") from None
        try:
            if stored["format"] != FORMAT:
                raise BackupError(f"{folder / NAME} is of another version of this program: format {stored['format']}.")
            entries = {alias: _entry(entry) for alias, entry in stored["databases"].items()}
            return cls(str(stored["made_at"]), str(stored["version"]), entries, list(stored["disagreements"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BackupError(f"{folder / NAME} is damaged: {type(error).__name__}: {error}.") from None


def _entry(stored: dict[str, Any]) -> Entry:
    contents = stored["contents"]
    migrations = [(str(app), str(name)) for app, name in contents["migrations"]]
    if Path(stored["file"]).name != stored["file"]:
        raise ValueError(f"{stored['file']!r} is not the name of a file")
    rows = {str(table): int(count) for table, count in contents["rows"].items()}
    return Entry(stored["engine"], stored["file"], int(stored["bytes"]), stored["sha256"], Contents(rows, migrations))
