"""What the audit keeps about changes to users and groups, whoever makes them and wherever."""

from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import CommandError
from django.db import Error as AnyDatabaseError

from audit.actors import Actor, command_actor
from audit.choices import Kind
from audit.services import record_fact

WAIT_S = 2.0  # for other writers of the audit


def facts_of(account: Any) -> dict[str, Any]:
    """Return the name and the rights of a user or a group, as they are stored now."""
    if isinstance(account, Group):
        return {"name": account.name, "permissions": _labels(account.permissions)}
    return {
        "name": account.get_username(),
        "has_password": account.has_usable_password(),
        "is_active": account.is_active,
        "is_staff": account.is_staff,
        "is_superuser": account.is_superuser,
        "groups": sorted(account.groups.values_list("name", flat=True)),
        "permissions": _labels(account.user_permissions),
    }


def _labels(permissions: Any) -> list[str]:
    pairs = permissions.values_list("content_type__app_label", "codename")
    return sorted(f"{app_label}.{codename}" for app_label, codename in pairs)


def record_change(actor: Actor, account: Any, change: str, **facts: Any) -> None:
    """Write to the audit what is done to a user or a group. If this raises DatabaseError, it may not be done."""
    body = {"what": account._meta.model_name, "name": str(account), "change": change} | facts
    record_fact(Kind.SETTING_CHANGED, body, actor=actor, wait_s=WAIT_S)


def record_by_command(account: Any, change: str) -> None:
    """Write to the audit what a command did to an account; raises CommandError if that fails."""
    try:
        record_change(command_actor(), account, change, after=facts_of(account))
    except AnyDatabaseError as error:
        raise CommandError(f"The account was changed, but the audit could not be written: {error}") from None
