"""The way back to the tables of an earlier version of the product, and what tells that there is a later one."""

import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import Error, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from tmsdash.text import one_line

Targets = dict[str, str | None]
"""The last migration of each app, None to have none of it."""


class NoWayBack(Exception):
    """A folder holds no earlier version; the text says why."""


def later_migrations() -> list[str]:
    """Return the migrations in the databases that are later than all that this version has; none if one is silent."""
    last = {label: names[-1] for label, names in _ours().items()}
    try:
        applied = {node for connection in connections.all() for node in MigrationLoader(connection).applied_migrations}
    except Error:
        return []
    # Others that are not here had another name once.
    return [
        f"{label} {name}" for label, name in sorted(applied) if label in last and _number(name) > _number(last[label])
    ]


def targets_of(folder: Path) -> Targets:
    """Return the last migration that the earlier version in a folder has of each app; None for apps that it has not.

    It is asked itself, by its own manage.py. Raises NoWayBack if it does not answer, or is no earlier version.
    """
    earlier, own = _migrations_of(folder), MigrationLoader(None).disk_migrations
    if unknown := [node for node in earlier if node not in own]:
        raise NoWayBack(f"{folder} is no earlier version: it has {' '.join(unknown[0])}, which this one has not.")
    return {label: dict(earlier).get(label) for label in sorted({label for label, _ in own})}


def _migrations_of(folder: Path) -> list[tuple[str, str]]:
    """Return the app and name of each migration of the version in a folder, in their order."""
    python = folder / ".venv" / "bin" / "python"
    command = [str(python) if python.exists() else sys.executable, "manage.py", "showmigrations", "--plan"]
    try:
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise NoWayBack(f"{folder} holds no version of the dashboard: {error}") from None
    migrations: list[tuple[str, str]] = re.findall(r"^\[.\]  (\w+)\.(\w+)", ended.stdout, re.MULTILINE)
    if ended.returncode or not migrations:
        why = one_line(ended.stderr.strip().rpartition("\n")[2], 500)
        raise NoWayBack(f"{folder} holds no version of the dashboard whose manage.py answers. {why}")
    return migrations


def undone_by(alias: str, targets: Targets) -> list[str]:
    """Return the apps that have something to be undone in a database."""
    plan = MigrationExecutor(connections[alias]).migration_plan([*targets.items()])
    return [label for label in targets if any(migration.app_label == label and is_back for migration, is_back in plan)]


def _ours() -> dict[str, list[str]]:
    """Return the migrations of each app of the product, the first one first."""
    configs = [config for config in apps.get_app_configs() if Path(config.path).parent == settings.BASE_DIR]
    migrations = {config.label: _names(Path(config.path) / "migrations") for config in configs}
    return {label: names for label, names in migrations.items() if names}


def _names(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("[0-9]*.py"))


def _number(name: str) -> int:
    return int("".join(takewhile(str.isdecimal, name)) or 0)
