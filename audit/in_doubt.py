"""How many attempts are in doubt: every page asks, and Django's ORM takes ten times as long for it."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connections

from audit.chain import DATABASE
from audit.choices import IN_DOUBT_OUTCOMES, Outcome
from tmsdash.clocks import CLOCK_SKEW_S
from tmsdash.db import clock

# Few are open, of whoever it is: the index of those is read. The one of a user leads to all that they ever made, so
# the name is compared in a way in which that index does not serve.
_OF_USER = "AND user_id || '' = %s"
COUNT = f"""SELECT COUNT(*) FROM (
  SELECT 1 FROM audit_attempt WHERE is_open {{of_user}}
  AND outcome IN ({", ".join(["%s"] * len(IN_DOUBT_OUTCOMES))})
  AND NOT (outcome = %s AND created_at > %s AND created_at <= %s) LIMIT %s
) AS doubtful"""  # noqa: S608 (constants)


def count(user: Any | None, most: int) -> int:
    """Return how many attempts of the user, or of everybody for None, are in doubt; not more than `most`."""
    connection = connections[DATABASE]
    name = [] if user is None else [user.get_username()]
    times = [connection.ops.adapt_datetimefield_value(at) for at in running()]
    with connection.cursor() as cursor:
        statement = COUNT.format(of_user=_OF_USER if name else "")
        cursor.execute(statement, [*name, *map(str, IN_DOUBT_OUTCOMES), str(Outcome.PENDING), *times, most])
        [number] = cursor.fetchone()
    return int(number)


def running() -> tuple[datetime, datetime]:
    """Return after and until which times an attempt has begun that may still be running."""
    now = clock.now(DATABASE)
    return now - timedelta(seconds=settings.TMS_OPEN_AFTER_S), now + timedelta(seconds=CLOCK_SKEW_S)
