"""System checks that keep a process away from an audit that is not its own, or that only seems to be gone."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import Error as AnyDatabaseError
from django.db import connections

from audit.chain import DATABASE, known_keys
from audit.models import AuditEntry, ChainHead
from audit.proof.archives import find_archives
from audit.proof.heads import stored_head
from audit.proof.seals import read_all
from tmsdash import site_keys
from tmsdash.db.migration import NEW_INSTALLATION
from tmsdash.db.transactions import file_is_there
from tmsdash.text import one_line


@register(NEW_INSTALLATION)
def check_audit_is_not_lost(**kwargs: Any) -> list[CheckMessage]:
    """Seals beside an empty database usually mean that a disk is not mounted."""
    if not _sealed() or not _is_empty():
        return []
    return [
        Error(
            f"The audit's database is empty, but {settings.AUDIT_SEAL_DIR} holds seals or archives that this site's "
            "keys signed. A new audit would contradict them.",
            hint="Is a disk or folder not mounted? Look at VAR_DIR and AUDIT_DATABASE_URL, or restore a backup. "
            "To start a new audit anyway, run manage.py migrate_all --new-installation.",
            id="audit.E001",
        )
    ]


def _sealed() -> list[Path]:
    """Return the files in AUDIT_SEAL_DIR that prove that there was an audit under the keys in use."""
    try:
        files = [file.path for file in read_all() if file.seals]
        return files + [archive.path for archive in find_archives()]
    except (OSError, ValueError):
        return []  # audit_verify says what is wrong with them


def _is_empty() -> bool:
    """Tell whether the audit has no tables; False if its database does not answer."""
    connection = connections[DATABASE]
    if not file_is_there(connection):
        return True
    was_open = connection.connection is not None
    try:
        # An audit from before there was a chain has entries, and no head yet.
        made = {ChainHead._meta.db_table, AuditEntry._meta.db_table}
        return made.isdisjoint(connection.introspection.table_names())
    except AnyDatabaseError:
        return False
    finally:
        if not was_open:
            connection.close()


@register(site_keys.TAG, Tags.database)
def check_audit_key_is_the_sites(databases: Iterable[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """A process with another AUDIT_KEY can add nothing to the audit, and so it can send nothing."""
    return site_keys.compared(DATABASE, databases, _unknown_key)


def _unknown_key() -> list[CheckMessage]:
    head = stored_head()
    if head is None or head.key_id in known_keys():
        return []
    return [
        Error(
            f"AUDIT_KEY is not this site's: the audit's chain ends with the key {one_line(head.key_id, 40)}, which is "
            "neither AUDIT_KEY nor in AUDIT_OLD_KEYS.",
            "Copy audit_key from the VAR_DIR of the site's first host, or set AUDIT_KEY as it is set there. If the key "
            "was changed on purpose, put the one before into AUDIT_OLD_KEYS; if it is lost, manage.py audit_keys says "
            "more.",
            obj="AUDIT_KEY",
            id="audit.E002",
        )
    ]
