"""Restoring a backup: everything is verified before anything is touched, and the old contents are kept."""

import io
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from django.core.management import CommandError, call_command
from django.db import Error as AnyDatabaseError
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from audit.actors import command_actor
from audit.chain import ChainBroken
from audit.choices import Kind
from audit.proof.acknowledgements import NotLostError, acknowledge
from audit.proof.archives import ArchiveError
from audit.proof.seals import last_numbers
from audit.services import record_fact
from jobs.batches import ledger
from setactions.operations.backups.creation import ALIASES, Backup, database_of
from setactions.operations.backups.engine import BackupError, Database, Entry, Kept, NotPutBackError, sha256_of
from setactions.operations.backups.manifest import Manifest
from tmsdash.db.migration import migrating_alone
from tmsdash.db.transactions import BUSY_TIMEOUT_S
from tmsdash.models import Session
from tmsdash.version import product_version

UNCHANGED = "The databases are what they were before."
Say = Callable[[str], None]


def verified(folder: Path) -> Backup:
    """Return the backup in `folder`, having proven that everything in it is what its manifest says.

    Raises BackupError if anything is missing, damaged or altered, if it is for other engines than those in the
    settings, or if it holds migrations that this version of the product does not know.
    """
    manifest = Manifest.load(folder)
    if sorted(manifest.databases) != sorted(ALIASES):
        raise BackupError(f"{folder} does not hold the databases {', '.join(ALIASES)}, and no others.")
    for alias, entry in manifest.databases.items():
        _assert_fits(alias, entry)
    for alias, entry in manifest.databases.items():
        _assert_whole(folder / entry.file, entry)
        database_of(alias).verify(folder / entry.file)
    return Backup(folder, manifest)


def restore(backup: Backup, say: Say, lost_key: tuple[str, str] | None = None) -> dict[str, Kept]:
    """Replace the three databases with a verified backup, migrate them, and return where the old contents are kept.

    `lost_key` acknowledges that the key with which the backup's audit ends is lost: its id, and why. Nobody may
    be connected to any database. If anything fails, they are as they were before, and BackupError says what went
    wrong. The one exception is NotPutBackError.
    """
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")  # so precise that no kept file has this name yet
    databases = [database_of(alias) for alias in ALIASES]
    connections.close_all()
    try:
        with ExitStack() as kept_out:
            for database in databases:
                kept_out.enter_context(database.kept_out())
            try:
                return _replace(databases, backup, moment, say, lost_key)
            except NotPutBackError:
                raise
            except (BackupError, CommandError) as error:
                raise BackupError(f"{str(error).strip()} {UNCHANGED}") from error
    except OSError as error:
        raise BackupError(f"{error.filename or 'A file'}: {error.strerror or error}. {UNCHANGED}") from error
    except AnyDatabaseError as error:
        raise BackupError(f"{str(error).strip()} {UNCHANGED}") from error


def _replace(
    databases: list[Database], backup: Backup, moment: str, say: Say, lost_key: tuple[str, str] | None
) -> dict[str, Kept]:
    keep_in = backup.folder.parent / f"{moment}-before-restore"
    kept: dict[str, Kept] = {}
    with ExitStack() as replaced:
        with migrating_alone(say):
            for database in databases:
                entry = backup.manifest.databases[database.alias]
                replacement = database.replaced(backup.folder / entry.file, keep_in, moment)
                kept[database.alias] = replaced.enter_context(replacement)
                with database.present() as source:
                    if source.contents() != entry.contents:
                        raise BackupError(f"The restored database {database.alias} is not what the backup holds.")
        entries = {alias: copy.entry for alias, copy in kept.items() if copy.entry}
        if entries:  # a manifest makes these copies a backup
            Manifest(moment, product_version(), entries, []).save(keep_in)
        # With any key: a lost one is acknowledged below, and under a wrong one the restore cannot be noted anyway.
        call_command("migrate_all", verbosity=0, stdout=io.StringIO(), any_key=True)
        Session.objects.all().delete()  # otherwise sessions that were ended since the backup would come back
        # What seems to be waiting may have been sent since the backup, so no batch goes on by itself.
        ledger.stop_all(
            f"The databases were restored to {backup.manifest.made_at}, and chunks that wait here may have been sent "
            "since. Find out with manage.py reconcile --full what TMS shows before you go on."
        )
        if lost_key:
            _acknowledge(*lost_key)
        _note(backup)
    return kept


def _acknowledge(key_id: str, reason: str) -> None:
    try:
        acknowledge(key_id, reason, command_actor())
    except (NotLostError, ArchiveError) as error:
        raise BackupError(f"The lost key cannot be acknowledged. {error}") from None


def _note(backup: Backup) -> None:
    """Note the restore in the restored audit; if that fails, so does the restore, and everything is put back."""
    body = {
        "change": "restored",
        "made_at": backup.manifest.made_at,
        "name": backup.folder.resolve().name,
        "seals": last_numbers(),  # of the replaced databases: they cannot fit the restored ones
        "sha256": {alias: entry.sha256 for alias, entry in backup.manifest.databases.items()},
        "what": "databases",
    }
    try:
        record_fact(Kind.SETTING_CHANGED, body, actor=command_actor(), wait_s=BUSY_TIMEOUT_S)
    except ChainBroken as error:
        raise BackupError(
            f"The restore cannot be noted in the backup's audit: {error}. If the key is lost: restore again with "
            "--acknowledge-lost KEY_ID --reason TEXT."
        ) from None


def _assert_fits(alias: str, entry: Entry) -> None:
    engine = database_of(alias).engine
    if entry.engine != engine:
        raise BackupError(
            f"The backup of the database {alias} is for {entry.engine}, but the settings name {engine}. "
            "Restore it with the settings as they were when it was made."
        )
    known = MigrationLoader(None).disk_migrations.keys()
    unknown = [f"{app}.{name}" for app, name in entry.contents.migrations if (app, name) not in known]
    if unknown:
        raise BackupError(
            f"The backup of the database {alias} holds migrations that this version of the product does not know: "
            f"{', '.join(unknown)}. Restore it with the version that made it, or a later one."
        )


def _assert_whole(file: Path, entry: Entry) -> None:
    try:
        present = (file.stat().st_size, sha256_of(file))
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror}.") from None
    if present != (entry.bytes, entry.sha256):
        raise BackupError(f"{file} is not the file that the backup wrote: size or SHA-256 differ from the manifest.")
