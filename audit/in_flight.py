"""How many calls are in flight on all hosts that share an audit on PostgreSQL.

A call is in flight from the INTENT of its attempt to its answer. They are counted by whoever has locked the head of the
chain to write another INTENT, as all have to, so no two count the same room as theirs. An attempt whose process died
counts for as long as its call could have lasted, and no longer.
"""

from datetime import timedelta

from django.conf import settings
from django.db.backends.utils import CursorWrapper

from audit.choices import Outcome
from tmsdash.db import clock

RECORDING_S = 15  # that an answer, and what comes before the call, may wait for locks

# Those without an outcome are open, of which there is an index. More than there is room for need not be counted.
_COUNT = (
    "SELECT count(*) FROM (SELECT 1 FROM audit_attempt "
    "WHERE is_open AND outcome = %s AND created_at > %s LIMIT %s) AS in_flight"
)


class NoRoomError(Exception):
    """As many calls are in flight as may be."""


def assert_room(cursor: CursorWrapper, at_most: int) -> None:
    """Raise NoRoomError if `at_most` calls are in flight; in the transaction that goes on to write an INTENT."""
    since = clock.now("audit") - timedelta(seconds=settings.TMS_DEADLINE_S + RECORDING_S)
    cursor.execute(_COUNT, [Outcome.PENDING, since, at_most])
    if cursor.fetchone()[0] >= at_most:
        raise NoRoomError
