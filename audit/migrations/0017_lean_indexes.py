"""Fewer indexes: none by time, whose place the ranges of days took, and of kinds and outcomes only for the seldom ones."""

from functools import reduce
from operator import or_

from django.db import migrations, models

from tmsdash.db.tables import DropIndexOfColumn

SELDOM_KINDS = (
    *("REFUSED", "REJECTED", "NOT_SENT", "UNKNOWN", "APPLIED", "NOT_APPLIED", "DECIDED", "IMPORTED"),
    *("SIGNED_IN", "SIGN_IN_FAILED", "SIGNED_OUT", "EXPORTED", "SETTING_CHANGED", "ARCHIVED"),
)
SELDOM_OUTCOMES = (
    *("rejected", "not_sent", "refused", "applied", "not_applied", "decided_applied", "decided_not_applied"),
    *("legacy_success", "legacy_failed", "legacy_unknown"),
)
UNFINISHED = models.Q(is_open=True) | models.Q(outcome="pending") | models.Q(outcome="unknown")


def any_of(field, values):
    return reduce(or_, (models.Q(**{field: value}) for value in values))


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0016_confirmed_by_time"),
    ]

    operations = [
        DropIndexOfColumn("auditentry", "created_at", models.DateTimeField("time")),
        migrations.RemoveIndex("auditentry", "entry_by_kind"),
        migrations.RemoveIndex("attempt", "attempt_open"),
        migrations.RemoveIndex("attempt", "attempt_open_by_user"),
        migrations.RemoveIndex("attempt", "attempt_by_outcome"),
        migrations.RemoveIndex("attempt", "attempt_by_time"),
        migrations.AddIndex(
            "auditentry",
            models.Index(fields=["kind", "sequence"], name="entry_by_seldom_kind", condition=any_of("kind", SELDOM_KINDS)),
        ),
        migrations.AddIndex(
            "attempt",
            models.Index(
                fields=["outcome", "id"], name="attempt_by_seldom_outcome", condition=any_of("outcome", SELDOM_OUTCOMES)
            ),
        ),
        migrations.AddIndex("attempt", models.Index(fields=["created_at"], name="attempt_at_time")),
        migrations.AddIndex("attempt", models.Index(fields=["id"], name="attempt_unfinished", condition=UNFINISHED)),
    ]
