"""Lists of customers that users pasted or uploaded to look at. Each is kept for its user, for KEPT at most."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from jobs.models import LiveList
from tmsdash.db import clock
from tmsdash.db.transactions import write_transaction

KEPT = timedelta(days=1)
LISTS_OF_A_USER = 20


def keep_list(user_id: str, cids: Sequence[str]) -> LiveList:
    """Keep a list, in the order given, and drop those that are too old, or too many of this user.

    Raises DatabaseError when the jobs database cannot be written.
    """
    now = clock.now("jobs")
    kept = LiveList(user_id=user_id, created_at=now, cids="\n".join(cids))
    with write_transaction("jobs"):
        kept.save(force_insert=True)
        of_user = LiveList.objects.filter(user_id=user_id).order_by("-pk").values_list("pk", flat=True)
        LiveList.objects.filter(pk__in=[*of_user[LISTS_OF_A_USER:]]).delete()
        LiveList.objects.filter(created_at__lt=now - KEPT).delete()
    return kept


def list_for(user: Any, list_id: uuid.UUID) -> list[str] | None:
    """Return the ids of a list; None if there is none (any more), or it belongs to somebody else."""
    kept = LiveList.objects.filter(list_id=list_id, user_id=user.get_username()).first()
    return kept.cids.split("\n") if kept and kept.created_at > clock.now("jobs") - KEPT else None
