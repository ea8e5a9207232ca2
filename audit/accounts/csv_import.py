"""Making and changing accounts as a CSV file says, all of them or none, each change with its entry in the audit."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from audit.accounts.changes import facts_of, record_change
from audit.accounts.csv_file import Change
from audit.accounts.oidc.identities import link
from audit.actors import Actor
from tmsdash.csv_text import csv_text
from tmsdash.passwords.initial import note_given
from tmsdash.web.sessions import end_sessions

PASSWORD_BYTES = 15  # 20 characters


@sensitive_variables()
def initial_passwords(changes: list[Change]) -> dict[str, str]:
    """Return a new password, by chance, for each account that the file adds."""
    return {change.name: secrets.token_urlsafe(PASSWORD_BYTES) for change in changes if change.user is None}


@sensitive_variables()
def write_passwords(path: Path, passwords: Mapping[str, str]) -> None:
    """Write a CSV file that only its owner can read. Raises OSError, FileExistsError if there is one of this name."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(csv_text([["username", "initial password"], *passwords.items()]))
        file.flush()
        os.fsync(file.fileno())


@sensitive_variables()
def apply(changes: list[Change], passwords: Mapping[str, str], actor: Actor) -> None:
    """Carry out all changes, or none. Raises DatabaseError, also if the audit cannot be written.

    Accounts that are not in `passwords` have none. Hashes are made before the database is locked.
    """
    hashes = {name: make_password(password) for name, password in passwords.items()}
    with transaction.atomic(using="default"):
        for change in changes:
            if change.user is None:
                _add(change, hashes.get(change.name, ""), actor)
            elif change.changed:
                _change(change, change.user, actor)


def _add(change: Change, password_hash: str, actor: Actor) -> None:
    user = User(username=change.name, password=password_hash or make_password(None), **change.fields)
    user.save(using="default")
    user.groups.set(change.groups or [])
    if password_hash:
        note_given(user)
    elif settings.OIDC_ISSUER_URL:  # for whom else would it be
        link(user)
    record_change(actor, user, "added", after=facts_of(user), by="import_accounts")


def _change(change: Change, user: User, actor: Actor) -> None:
    before = facts_of(User.objects.get(pk=user.pk))
    for field, value in change.fields.items():
        setattr(user, field, value)
    user.save(using="default", update_fields=list(change.fields))
    if change.groups is not None:
        user.groups.set(change.groups)
    if not user.is_active:
        end_sessions(user)
    after = facts_of(User.objects.get(pk=user.pk))
    record_change(actor, user, "changed", fields=change.changed, before=before, after=after, by="import_accounts")
