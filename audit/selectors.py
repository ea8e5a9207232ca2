"""Reads of the audit."""

import json
import uuid
from collections.abc import Iterable
from typing import Any

from audit.models import OUTCOME_OF_KIND, Attempt, AuditEntry


def find_attempt(attempt_id: uuid.UUID) -> Attempt | None:
    """Return the attempt, whoever it belongs to, or None."""
    return Attempt.objects.filter(attempt_id=attempt_id).first()


def attempt_for(user: Any, attempt_id: uuid.UUID) -> Attempt | None:
    """Return the attempt if `user` may see it: its owner, and holders of `audit.view_attempt`. Else None."""
    attempt = find_attempt(attempt_id)
    if attempt and (attempt.user_id == user.get_username() or user.has_perm("audit.view_attempt")):
        return attempt
    return None


def opening_body(attempt: Attempt) -> dict[str, Any]:
    """Return the body of the event that opened the attempt (INTENT or REFUSED), with its ids."""
    entry = AuditEntry.objects.filter(attempt_id=attempt.attempt_id).order_by("id")[0]
    return dict(json.loads(entry.body))


def outcome_body(attempt: Attempt) -> dict[str, Any]:
    """Return the body of the event that the attempt's outcome rests on; empty if the audit missed it."""
    kinds = [kind for kind, outcome in OUTCOME_OF_KIND.items() if outcome == attempt.outcome]
    entry = AuditEntry.objects.filter(attempt_id=attempt.attempt_id, kind__in=kinds).order_by("-id").first()
    return dict(json.loads(entry.body)) if entry else {}


def attempts_of_customer(cid: str, limit: int) -> Iterable[Attempt]:
    """Return the newest `limit` attempts that asked for exactly this customer id, newest first."""
    if "\0" in cid:  # no id holds it, and PostgreSQL takes no such text
        return []
    return Attempt.objects.filter(customers__cid=cid).order_by("-id")[:limit]
