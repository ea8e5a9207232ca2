"""Lists under review: what their users looked at, before they send it or leave it."""

from django.db import models

from audit.models import USER_ID_LENGTH
from tmsdash.db.broken_rows import CheckedRow


class StoredReview(CheckedRow):
    """A review that waits to be sent, without the token. `review_id` is the id of the attempt or batch to be.

    `signed` is what `setactions.pages.sealing.sign_review` made of it: who writes to this table can forge none.
    """

    review_id = models.UUIDField(unique=True, editable=False)
    user_id = models.CharField("user", max_length=USER_ID_LENGTH)
    created_at = models.DateTimeField("time", db_index=True)
    signed = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["user_id", "id"], name="review_by_user")]

    def __str__(self) -> str:
        return str(self.review_id)
