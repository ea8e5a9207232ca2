"""Whether a review was sent, or may be sent still.

A review is used once, in the way that its page offered:

- sent a second time, it shows the attempt or the batch that it became;
- sent in the other way, after TMS_REVIEW_MAX_S, to a cluster that the settings name otherwise by now, or with damaged
  ids that nobody was asked about, it is refused, and the same list is shown for another review, or on the form.
"""

import time
import uuid
from contextlib import suppress

from django.conf import settings
from django.db import Error as AnyDatabaseError

from audit.selectors import find_attempt
from jobs.batches.lists import ListDigest
from jobs.models import Batch
from setactions.pages.sealing import Review
from setactions.payload import check_fits_one_call, new_chunk
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster, cluster_named
from tmsdash.clocks import CLOCK_SKEW_S
from tmsdash.db.transactions import drop_if_broken


def is_configured(cluster: Cluster) -> bool:
    """Tell whether the settings have this cluster, with this very origin, under this name."""
    return cluster_named(cluster.name) == cluster


class ReviewEnded(Refusal):
    """A review of this user's that is not sent any more. The same list may be reviewed anew."""


def was_sent(review: Review, user_id: str, *, is_batch: bool) -> bool | None:
    """Tell whether the user sent this review before, in this way: as a batch if `is_batch`; None if nobody can tell.

    Raises ReviewEnded unless it was, or may be sent now.
    """
    if is_batch != review.is_batch:
        offered = "a batch" if review.is_batch else "a single call"
        message = f"This review was for {offered}, and a review is sent only as its page offered. Check it once more."
        raise ReviewEnded(409, "review", message)
    if sent := is_sent(review, user_id):
        return True
    _check_not_ended(review)
    return sent


def is_sent(review: Review, user_id: str) -> bool | None:
    """Tell whether its attempt or batch exists; raises ReviewEnded if its id stands for something else.

    None without the databases: sending then says so.
    """
    try:
        with drop_if_broken("audit", "jobs"):
            attempt = find_attempt(review.attempt_id)
            batch = Batch.objects.filter(batch_id=review.attempt_id).first()
    except AnyDatabaseError:
        return None
    if attempt is None and batch is None:
        return False
    submission = review.submission
    if review.is_batch:
        digest = str(ListDigest([new_chunk(submission, submission.cids)]))
        is_same = attempt is None and batch is not None and batch.list_digest == digest
    else:
        is_same = batch is None and attempt is not None and attempt.payload_digest == submission.payload_digest
    if not is_same or user_id not in {sent.user_id for sent in (attempt, batch) if sent}:
        raise ReviewEnded(409, "review", "The id of this review was used for something else. Check the list once more.")
    return True


def sent_as(review_id: uuid.UUID, user_id: str) -> bool | None:
    """Return whether a review of this user's became a batch (True) or an attempt, though it is kept no more.

    None if it became neither, or nobody can tell now.
    """
    with suppress(AnyDatabaseError), drop_if_broken("audit", "jobs"):
        if Batch.objects.filter(batch_id=review_id, user_id=user_id).exists():
            return True
        attempt = find_attempt(review_id)
        return False if attempt and attempt.user_id == user_id else None
    return None


def _check_not_ended(review: Review) -> None:
    if not is_configured(cluster := review.submission.cluster):
        message = f"The cluster {cluster.name} has another address than when you reviewed this list, or none any more."
        raise ReviewEnded(400, "review", f"{message} Choose the cluster again; the list is kept.")
    age_s = time.time() - review.made_at
    if age_s > settings.TMS_REVIEW_MAX_S:
        raise ReviewEnded(400, "review", "This review was made too long ago to be sent. Check the list once more.")
    if age_s < -CLOCK_SKEW_S:
        message = "By the clock of this server, this review was made in the future. Check the list once more."
        raise ReviewEnded(400, "review", message)
    if review.submission.lacks_word:
        message = "Ids of this list look damaged, and nobody gave their word for them. Check the list once more."
        raise ReviewEnded(400, "review", message)
    if not review.is_batch:
        try:
            check_fits_one_call(review.submission)
        except Refusal as refusal:  # TMS_MAX_CIDS_PER_CALL was lowered
            raise ReviewEnded(refusal.code, "review", refusal.message) from None
