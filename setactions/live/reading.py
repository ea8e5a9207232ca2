"""One reading of a cluster serves everybody.

Whoever asks for a reading gets the newest whole one if it began less than FRESH_S ago; waits for the one that is being
made, by whichever process; or else makes it. So however many look at a cluster at once, it is read once. A token that
the cluster does not take fails only for the user who gave it: the next in line reads with another one.
"""

import threading
import time
import uuid
from collections import defaultdict
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.views.decorators.debug import sensitive_variables

from jobs.live import states
from jobs.live.pace import locked_cluster
from jobs.models import LiveCluster, LiveReading
from jobs.models.live import PROBLEM_LENGTH
from setactions.reads import ALL, ReadingFailedError, codes_in, read_codes
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster
from setactions.token import Token
from tmsdash import strict_json
from tmsdash.db import clock
from tmsdash.db.transactions import drop_if_broken, write_transaction
from tmsdash.text import counted

FRESH_S = 10
STORING_S = 30  # that writing down a fleet takes at most
LOOK_EVERY_S = 0.2

# Threads of a process stand in line here, so that only the first of them looks into the database over and over.
_line: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
_BAD_TOKEN = (401, 403)


@sensitive_variables("token")
def read_whole(cluster: Cluster, token: Token, user_id: str, *, since: datetime | None = None) -> LiveReading:
    """Return a whole reading of the cluster that began FRESH_S ago at most, made for `user_id` if there is none.

    One that began before `since` does not do. Raises ReadingFailedError, and Refusal (503) if the cluster must not be
    read now or a database fails.
    """
    asked_at = clock.now("jobs")
    end = time.monotonic() + _longest_s()
    with drop_if_broken("jobs", raising=_unusable):
        lock = _line[cluster.origin]
        if not lock.acquire(timeout=_longest_s()):
            raise _still_reading(cluster)
        try:
            while not (reading := _newest_since(cluster, asked_at, since)):
                if reader := _lead(cluster):
                    try:  # somebody may have read between the two
                        return _newest_since(cluster, asked_at, since) or _read(cluster, token, user_id)
                    finally:
                        _release(cluster, reader)
                if time.monotonic() > end:
                    raise _still_reading(cluster)
                time.sleep(LOOK_EVERY_S)  # another process reads, which tells nobody when it is done
            return reading
        finally:
            lock.release()


@sensitive_variables("token")
def read_one(cluster: Cluster, cid: str, token: Token, user_id: str, *, since: datetime | None = None) -> LiveReading:
    """Read one customer and return the reading; raises as `read_whole` does.

    That TMS does not list a customer must be seen in the list of all, which is read then, as `read_whole` does.
    """
    if cid == ALL:  # TMS takes it for everybody, and so do all who look for whole readings
        return read_whole(cluster, token, user_id, since=since)
    reading = LiveReading(cluster_url=cluster.origin, asked=cid, user_id=user_id, began_at=clock.now("jobs"))
    with drop_if_broken("jobs", raising=_unusable):
        codes = _codes(cluster, reading, token)
        if cid in codes:
            reading.customer_count = 1
            states.keep_one(reading, codes[cid])
            return reading
    return read_whole(cluster, token, user_id, since=since)


@sensitive_variables("token")
def _read(cluster: Cluster, token: Token, user_id: str) -> LiveReading:
    reading = LiveReading(cluster_url=cluster.origin, asked=ALL, user_id=user_id, began_at=clock.now("jobs"))
    codes = _codes(cluster, reading, token)
    keep_given(reading, codes, cluster)
    return reading


def take_answer(
    cluster: Cluster, content: bytes, read_at: datetime, user_id: str, *, may_be_fewer: bool = False
) -> LiveReading:
    """Write down an answer to get/action for ALL that a user read elsewhere at `read_at`, and return the reading.

    It is marked as given by that user. Raises ReadingFailedError, and nothing is changed, unless it is such an answer;
    or, without `may_be_fewer`, if it lists less than half of those who are known: it may be that of one customer.
    """
    try:
        data = strict_json.loads(content)
    except ValueError:
        raise ReadingFailedError("This is not the whole answer of get/action, as JSON. Copy it again.") from None
    codes = codes_in(data, cluster, answer="This answer")
    known = sum(states.count_codes(row).values()) if (row := states.cluster_row(cluster.origin)) else 0
    if not codes or (not may_be_fewer and 2 * len(codes) < known):
        raise ReadingFailedError(
            f"This answer lists {counted(len(codes), 'customer')}, but {known:,} are known of {cluster.name}. Whoever "
            "is not listed would count as not known to TMS. Give the answer for cid=ALL."
        )
    reading = LiveReading(
        cluster_url=cluster.origin,
        asked=ALL,
        source=LiveReading.Source.GIVEN,
        user_id=user_id,
        began_at=read_at,
        ended_at=clock.now("jobs"),
    )
    with drop_if_broken("jobs", raising=_unusable):
        keep_given(reading, codes, cluster)
    return reading


def being_read_since(row: LiveCluster | None) -> datetime | None:
    """Return since when somebody has been reading all customers of a cluster, or None if nobody is."""
    if row is None or not row.reader or row.reader_until is None or row.reader_until <= clock.now("jobs"):
        return None
    return row.reader_until - timedelta(seconds=_longest_s())


def keep_given(reading: LiveReading, codes: dict[str, int], cluster: Cluster) -> None:
    """Write down what a whole reading shows; raises ReadingFailedError if that is nobody."""
    if not codes:
        message = f"{cluster.name} listed no customers at all, so nothing here was changed. Try again later."
        raise _note_failed(reading, ReadingFailedError(message))
    reading.customer_count = len(codes)
    states.keep_whole(reading, codes)


@sensitive_variables("token")
def _codes(cluster: Cluster, reading: LiveReading, token: Token) -> dict[str, int]:
    try:
        return read_codes(cluster, reading.asked, token)
    except ReadingFailedError as error:
        raise _note_failed(reading, error) from None
    finally:
        reading.ended_at = clock.now("jobs")


def _note_failed(reading: LiveReading, error: ReadingFailedError) -> ReadingFailedError:
    reading.problem, reading.http_status = str(error)[:PROBLEM_LENGTH], error.http_status
    reading.ended_at = reading.ended_at or clock.now("jobs")
    states.keep_failed(reading)
    return error


def _newest_since(cluster: Cluster, asked_at: datetime, since: datetime | None = None) -> LiveReading | None:
    """Return the reading that serves whoever asked then; raises ReadingFailedError if it failed, None if there is none.

    One that began before `since` serves nobody.

    That somebody else's token was not taken says nothing of this one's.
    """
    readings = LiveReading.objects.filter(cluster_url=cluster.origin, asked=ALL, source=LiveReading.Source.TMS)
    fresh = readings.filter(began_at__gt=asked_at - timedelta(seconds=FRESH_S), problem="")
    failed = readings.filter(ended_at__gt=asked_at).exclude(Q(problem="") | Q(http_status__in=_BAD_TOKEN))
    if since:
        fresh = fresh.filter(began_at__gte=since)
    if reading := fresh.order_by("-pk").first():
        return reading
    if reading := failed.order_by("-pk").first():
        raise ReadingFailedError(reading.problem, http_status=reading.http_status)
    return None


def _lead(cluster: Cluster) -> str | None:
    """Become the one who reads the cluster, and return the name to do so under; None while somebody else reads it."""
    name, now = uuid.uuid4().hex, clock.now("jobs")
    until = now + timedelta(seconds=_longest_s())
    with write_transaction("jobs"):
        row = LiveCluster.objects.filter(pk=locked_cluster(cluster.origin).pk)
        is_free = Q(reader="") | Q(reader_until=None) | Q(reader_until__lte=now)
        return name if row.filter(is_free).update(reader=name, reader_until=until) else None


def _release(cluster: Cluster, reader: str) -> None:
    with write_transaction("jobs"):
        LiveCluster.objects.filter(cluster_url=cluster.origin, reader=reader).update(reader="", reader_until=None)


def _longest_s() -> float:
    """Return how many seconds a reading of all customers takes at most, until it is written down."""
    return 2 * settings.TMS_DEADLINE_S + STORING_S


def _still_reading(cluster: Cluster) -> Refusal:
    return Refusal(503, "request", f"{cluster.name} is being read by somebody else. Try again in a minute.")


def _unusable(_: Exception) -> Refusal:
    return Refusal(503, "request", "The jobs database cannot be used, so nothing was read. Try again in a minute.")
