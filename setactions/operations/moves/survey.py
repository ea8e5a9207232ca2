"""What is looked at before a move changes anything: whether these sources can go to these targets."""

import shutil
import uuid
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.core import checks
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from setactions.operations.backups.creation import ALIASES, SPARE_BYTES, database_of
from setactions.operations.backups.engine import Database
from setactions.operations.moves.places import MoveError, Place, used
from setactions.operations.moves.source import mark_at
from setactions.operations.moves.tables import Table, tables_of
from tmsdash import site_keys
from tmsdash.db.moves import Mark, Role

OTHER_VERSION = (
    "is of another version of this program: it {}. Move it with the version that it is of, or run migrate_all."
)


@dataclass(frozen=True)
class Plan:
    """The move of one database: from where to where, under which mark, and the source as sessions are opened with it.

    `is_over` if the source is marked as moved already, `is_used` if its target can be used, too.
    """

    alias: str
    source: Place
    target: Place
    mark: Mark
    database: Database
    tables: list[Table]
    is_over: bool
    is_used: bool

    @property
    def target_mark(self) -> Mark:
        """The mark of the target."""
        return Mark(self.mark.move_id, Role.TARGET, str(self.source), self.mark.at)


def surveyed(from_places: list[Place], to_places: list[Place]) -> list[Plan]:
    """Return a plan for each pair of databases. Raises MoveError if one of them cannot be moved like that."""
    pairs = _paired(from_places, to_places)
    sources = {alias: source for alias, (source, _) in pairs.items()}
    with used(sources):
        marks = {alias: _source_mark(alias, *pair) for alias, pair in pairs.items()}
        for alias, source in sources.items():
            _assert_of_this_version(alias, source)
        assert_own_keys(list(sources))
        databases = {alias: database_of(alias) for alias in sources}
    plans = []
    for alias, (source, target) in pairs.items():
        mark, is_over = marks[alias], marks[alias].role == Role.MOVED
        is_used = is_usable(alias, target, mark)
        plans.append(Plan(alias, source, target, mark, databases[alias], tables_of(alias), is_over, is_used))
    _assert_room([plan for plan in plans if not plan.is_over])
    return plans


def _paired(from_places: list[Place], to_places: list[Place]) -> Mapping[str, tuple[Place, Place]]:
    if len(from_places) != len(to_places):
        raise MoveError("Name as many databases with --to as with --from, in the same order.")
    if len({str(place) for place in (*from_places, *to_places)}) < 2 * len(to_places):
        raise MoveError("--from and --to name the same database twice.")
    pairs = {place.alias(): (place, other) for place, other in zip(from_places, to_places, strict=True)}
    if len(pairs) < len(from_places):
        raise MoveError("--from names two databases of the same kind. Name those of one installation.")
    return {alias: pairs[alias] for alias in ALIASES if alias in pairs}


def _source_mark(alias: str, source: Place, target: Place) -> Mark:
    """Return the mark that the source has, or the one that it will get."""
    mark = mark_at(alias)
    if mark is None:
        at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        return Mark(str(uuid.uuid4()), Role.SOURCE, str(target), at)
    if mark.role == Role.TARGET or mark.other != str(target):
        raise MoveError(f"{source} cannot be moved to {target}. {mark.sentence}")
    return mark


def is_usable(alias: str, target: Place, mark: Mark) -> bool:
    """Tell whether a target can be used, because its move is over. Raises MoveError if it is not for this move.

    `mark` is that of the source.
    """
    if target.folder and not target.folder.is_dir():
        raise MoveError(f"There is no folder {target.folder}. Make it, for the site's user only.")
    tables = target.tables()
    if not target.is_sqlite:
        with used({alias: target}):
            database_of(alias).connect().close()  # which refuses a pooler
    if not tables:
        if mark.role == Role.MOVED:
            raise MoveError(
                f"{target} is empty, and was not when everything had been moved there. Is it the right one?"
            )
        return False
    with used({alias: target}):
        found = mark_at(alias)
    if found is None and mark.role == Role.MOVED:
        return True
    if found is None:
        raise MoveError(f"{target} holds tables already. Name an empty database with --to.")
    if found.move_id != mark.move_id:
        raise MoveError(f"{target} holds what another move left. Empty it, or name another database with --to.")
    return False


def _assert_room(plans: list[Plan]) -> None:
    """Raise MoveError if a disk of this host, on which SQLite's files are to be, is too small for them.

    A copy takes about as much as its source, and less if that is PostgreSQL's. What PostgreSQL has left only it knows.
    """
    needed: defaultdict[int, int] = defaultdict(int)  # by the file system
    folders: dict[int, Path] = {}
    for plan in plans:
        if folder := plan.target.folder:
            device = folder.stat().st_dev
            folders[device] = folder
            needed[device] += plan.database.size()
            with suppress(FileNotFoundError):  # what was copied before the move was interrupted
                needed[device] -= Path(plan.target.described["NAME"]).stat().st_size
    for device, folder in folders.items():
        free = shutil.disk_usage(folder).free
        if free < needed[device] + SPARE_BYTES:
            raise MoveError(
                f"The disk of {folder} has {free >> 20:,} MiB free, and what is copied there can take "
                f"{needed[device] + SPARE_BYTES >> 20:,} MiB. Make room, or name files in another folder with --to."
            )


def _assert_of_this_version(alias: str, source: Place) -> None:
    connection = connections[alias]
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise MoveError(f"{source} {OTHER_VERSION.format('lacks migrations')}")
    if set(executor.loader.applied_migrations) - set(executor.loader.disk_migrations):
        raise MoveError(f"{source} {OTHER_VERSION.format('has migrations that are not known here')}")
    with connection.cursor() as cursor:
        for table in tables_of(alias):
            described = connection.introspection.get_table_description(cursor, table.name)
            if {column.name for column in described} != set(table.columns):
                raise MoveError(f"{source}: the table {table.name} has not the columns that it should have.")


def assert_own_keys(aliases: list[str]) -> None:
    """Raise MoveError if a key of this process is not that of the databases used as `aliases`."""
    messages = checks.run_checks(tags=[site_keys.TAG], databases=aliases)
    wrong = [f"{message.msg} {message.hint}" for message in messages if message.is_serious()]
    if wrong:
        raise MoveError(" ".join(wrong))
