"""The outbox: what is to be told, to whom, and whether they have it.

- Whoever looks for events writes what is new and the note that it was told in one transaction, which comes to nothing
  if somebody else did so since. So each event is written once, and two who look at once do no harm.
- Whoever sends a notice leases it first, by moving the time at which it is due. If they die, it is due again then. It
  may have arrived: receivers know it by its id.
- A receiver that does not take a notice is left alone until the next round, so that one which is away costs one
  time-out a round, and gets the same notice again after longer and longer waits, for about a day.
"""

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min

from setactions.operations.notifications import events, mail, webhook
from setactions.operations.notifications.events import Event, Told
from tmsdash.db import clock
from tmsdash.db.transactions import write_transaction
from tmsdash.models import Notice, NoticeWatch

logger = logging.getLogger(__name__)

DATABASE = "default"
WRITE_WAIT_S = 5.0  # for other writers
LEASE = timedelta(minutes=2)  # longer than any try to send takes
# After how many seconds each further try follows. With the last one it is given up, about a day after the first.
RETRIES_S = (60, 5 * 60, 15 * 60, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
NOTED_EVERY = timedelta(minutes=10)  # that somebody has looked, if nothing was new
KEPT = timedelta(days=30)  # what was sent, or given up

Channel = Notice.Channel
_SENDERS: dict[str, Callable[[str, str], str]] = {Channel.WEBHOOK: webhook.send, Channel.MAIL: mail.send}


@dataclass(frozen=True)
class Failing:
    """How many notices could not be sent so far, and the age of the oldest one in seconds (0 if there is none)."""

    count: int
    oldest_s: float


def channels() -> list[str]:
    """Return over which channels people are told: none on a stand-by, which sends nothing."""
    given = {Channel.WEBHOOK: settings.NOTIFY_WEBHOOK_URL, Channel.MAIL: settings.NOTIFY_EMAIL}
    return [] if settings.TMS_PASSIVE else [str(channel) for channel, receiver in given.items() if receiver]


def failing() -> Failing:
    """Return what could not be sent and is tried again. Raises DatabaseError."""
    tried = Notice.objects.filter(due_at__isnull=False, channel__in=channels()).exclude(problem="")
    row = tried.aggregate(count=Count("pk"), oldest=Min("created_at"))
    age_s = (clock.now(DATABASE) - row["oldest"]).total_seconds() if row["oldest"] else 0.0
    return Failing(row["count"], max(0.0, age_s))


def content_of(event: Event, at: datetime, site: str | None = None) -> str:
    """Return a notice as it is sent: one JSON object. `site` is the address that it is about, by default this one's."""
    site = settings.SITE_URL if site is None else site
    notice = {
        "id": str(event.notice_id),
        "type": event.kind,
        "time": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "site": site,
        "summary": event.summary,
        "link": f"{site}{event.path}" if site else "",
        "data": event.facts,
    }
    return json.dumps(notice)


def write_news() -> int:
    """Write down what there is to tell, and return how many events that is. Raises DatabaseError."""
    names = channels()
    if not names:
        return 0
    watch = NoticeWatch.objects.filter(pk=1).first()
    if watch is None:
        NoticeWatch.objects.bulk_create([NoticeWatch(pk=1)], ignore_conflicts=True)
        watch = NoticeWatch.objects.get(pk=1)
    told = Told.from_json(watch.told)
    news, after = events.look(told)
    if not news and not _is_worth_noting(told, after):
        return 0
    now = clock.now(DATABASE)
    notices = [
        Notice(
            notice_id=event.notice_id,
            channel=channel,
            kind=event.kind,
            content=content_of(event, now),
            created_at=now,
            due_at=now,
        )
        for event in news
        for channel in names
    ]
    with write_transaction(DATABASE, WRITE_WAIT_S):
        unchanged = NoticeWatch.objects.filter(pk=1, version=watch.version)
        if not unchanged.update(version=watch.version + 1, told=after.as_json()):
            return 0  # somebody else has told it
        Notice.objects.bulk_create(notices, ignore_conflicts=True)
        Notice.objects.filter(due_at=None, created_at__lt=now - KEPT).delete()
    return len(news)


def _is_worth_noting(told: Told, after: Told) -> bool:
    """Tell whether something is gone that would be told if it came back, or that nothing is new was long not noted."""
    if told.is_nothing or (told.paused, told.timers, told.in_doubt) != (after.paused, after.timers, after.in_doubt):
        return True
    looked, before = datetime.fromisoformat(after.ended_until), datetime.fromisoformat(told.ended_until)
    return abs(looked - before) > NOTED_EVERY


def send_due(is_ending: Callable[[], bool] = lambda: False, round_s: float = math.inf) -> tuple[int, list[str]]:
    """Send what is due; return how many were sent, and the problems of receivers that failed. Raises DatabaseError.

    A receiver that takes longer than `round_s` gets the rest in the next round: the others wait for it.
    """
    sent, problems, names = 0, [], channels()
    if not names:
        return 0, []
    forgotten = Notice.objects.filter(due_at__isnull=False).exclude(channel__in=names)
    if forgotten.exists():
        with write_transaction(DATABASE, WRITE_WAIT_S):
            forgotten.update(due_at=None, problem="This channel was switched off.")
    for channel in names:
        until = time.monotonic() + round_s
        while not is_ending() and (notice := _lease(channel)):
            problem = _SENDERS[channel](str(notice.notice_id), notice.content)
            _settle(notice, problem)
            if problem:
                problems.append(problem)
                break
            sent += 1
            if time.monotonic() > until:
                break
    return sent, problems


def _lease(channel: str) -> Notice | None:
    """Return a notice that is due, and that nobody else sends meanwhile; None if there is none."""
    while True:
        now = clock.now(DATABASE)
        notice = Notice.objects.filter(channel=channel, due_at__lte=now).order_by("due_at", "pk").first()
        if notice is None:
            return None
        unleased = Notice.objects.filter(pk=notice.pk, due_at=notice.due_at)
        notice.tries += 1
        with write_transaction(DATABASE, WRITE_WAIT_S):
            if unleased.update(due_at=now + LEASE, tries=notice.tries):
                return notice


def _settle(notice: Notice, problem: str) -> None:
    now, try_number = clock.now(DATABASE), notice.tries
    facts = (notice.kind, notice.notice_id, notice.channel)
    if not problem:
        changes: dict[str, object] = {"due_at": None, "sent_at": now, "problem": ""}
        logger.info("[NOTIFY] sent: %s %s by %s", *facts)
    elif try_number <= len(RETRIES_S):
        due_at = now + timedelta(seconds=RETRIES_S[try_number - 1])
        changes = {"due_at": due_at, "problem": problem[:300]}
        logger.warning("[NOTIFY] WARNING: not sent: %s %s by %s, try %d: %s", *facts, try_number, problem)
    else:
        changes = {"due_at": None, "problem": problem[:300]}
        logger.error("[NOTIFY] FAILED: given up after %d tries: %s %s by %s: %s", try_number, *facts, problem)
    with write_transaction(DATABASE, WRITE_WAIT_S):
        Notice.objects.filter(pk=notice.pk, tries=try_number).update(**changes)


def send_test(at: datetime | None = None, site: str | None = None) -> dict[str, str]:
    """Send a notice that is none, as `send_at_once` does; the time is the database's, if none is given."""
    summary = "This is a test: notices of TMS Dashboard arrive here. Nothing has happened."
    return send_at_once(Event(events.TEST, summary), at or clock.now(DATABASE), site)


def send_at_once(event: Event, at: datetime, site: str | None = None) -> dict[str, str]:
    """Send a notice over each channel, now and once, past the outbox: it needs no database.

    Return why each channel did not take it, "" if it did. `site` is as for `content_of`.
    """
    content = content_of(event, at, site)
    return {channel: _SENDERS[channel](str(event.notice_id), content) for channel in channels()}
