"""The way back to the tables of an earlier version of the product, and what tells that there is a later one."""

from itertools import takewhile
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import Error, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

Targets = dict[str, str]
"""The last migration of each app."""


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
    """Return the last migration of each app in the folder of an earlier version, for apps that are ours in both.

    Raises NoWayBack if it holds no such version.
    """
    targets = {}
    for label, names in _ours().items():
        there = _names(folder / label / "migrations")
        if unknown := sorted(set(there) - set(names)):
            raise NoWayBack(f"{folder} is no earlier version: it has {label} {unknown[0]}, which this one has not.")
        if there:
            targets[label] = there[-1]
    if not targets:
        raise NoWayBack(f"{folder} holds no version of the dashboard: name the folder that has its manage.py.")
    return targets


def undone_by(alias: str, targets: Targets) -> list[str]:
    """Return the apps that have something to be undone in a database."""
    plan = MigrationExecutor(connections[alias]).migration_plan([*targets.items()])
    return [label for label in targets if any(each.app_label == label and is_back for each, is_back in plan)]


def _ours() -> dict[str, list[str]]:
    """Return the migrations of each app of the product, the first one first."""
    configs = [config for config in apps.get_app_configs() if Path(config.path).is_relative_to(settings.BASE_DIR)]
    migrations = {config.label: _names(Path(config.path) / "migrations") for config in configs}
    return {label: names for label, names in migrations.items() if names}


def _names(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("[0-9]*.py"))


def _number(name: str) -> int:
    return int("".join(takewhile(str.isdecimal, name)) or 0)
