"""Reviews between their page and the moment when they are sent, see `jobs.models.StoredReview`."""

import uuid
from datetime import timedelta

from django.conf import settings

from jobs.models import StoredReview
from tmsdash.db import clock
from tmsdash.db.transactions import write_transaction

REVIEWS_OF_A_USER = 30  # one of a fleet takes half a megabyte


def keep_review(review_id: uuid.UUID, user_id: str, signed: str) -> None:
    """Keep a user's review, or what it has become since it was kept before.

    With a new one, those are dropped that are older than TMS_REVIEW_MAX_S, and those that are too many of this user.
    Raises DatabaseError when the jobs database cannot be written.
    """
    now = clock.now("jobs")
    with write_transaction("jobs"):
        if StoredReview.objects.filter(review_id=review_id, user_id=user_id).update(signed=signed):
            return
        StoredReview.objects.filter(created_at__lt=now - timedelta(seconds=settings.TMS_REVIEW_MAX_S)).delete()
        StoredReview.objects.create(review_id=review_id, user_id=user_id, created_at=now, signed=signed)
        of_user = StoredReview.objects.filter(user_id=user_id).order_by("-pk").values_list("pk", flat=True)
        StoredReview.objects.filter(pk__in=[*of_user[REVIEWS_OF_A_USER:]]).delete()


def signed_review(review_id: uuid.UUID, user_id: str) -> str | None:
    """Return what was kept; None if there is none (any more), or it belongs to somebody else."""
    return StoredReview.objects.filter(review_id=review_id, user_id=user_id).values_list("signed", flat=True).first()


def forget_review(review_id: uuid.UUID, user_id: str) -> None:
    """Drop a review that must not be shown again. Raises DatabaseError as above."""
    StoredReview.objects.filter(review_id=review_id, user_id=user_id).delete()
