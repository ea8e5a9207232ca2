"""Whether this process has the site's keys: all hosts of a site need the same ones.

A host with a SECRET_KEY of its own would end everybody's session, and one with another TOKEN_KEY could not open what
the others sealed. So the database keeps the id of each key from its first use on, and a process that has another one
does not start. `audit` adds a check for AUDIT_KEY, which the audit's chain itself knows.
"""

import hmac
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, Error, IntegrityError, connections
from django.utils import timezone

from tmsdash.db.transactions import file_is_there
from tmsdash.models import SiteKey
from tmsdash.web.plain_text import Application

KEPT = ("SECRET_KEY", "TOKEN_KEY")  # whose ids the database keeps
ALL = (*KEPT, "AUDIT_KEY")
TAG = "site_keys"
NOT_COMPARED = "tmsdash.W010"
RETRY_S = 1  # between looks while a database does not answer

logger = logging.getLogger(__name__)


class WrongKeyError(ImproperlyConfigured):
    """A key of this process is not the site's. The text says which, and what to do."""


def id_of(name: str) -> str:
    """Return the id of a key of this process: 16 hex digits that do not reveal the key."""
    key = str(getattr(settings, name))
    return hmac.digest(key.encode(), f"tmsdash site key {name}".encode("ascii"), "sha256").hex()[:16]


def remember() -> bool:
    """Store the ids of keys that the database does not know yet, and tell whether there were any.

    Of several processes the first one counts.
    """
    kept = set(SiteKey.objects.values_list("name", flat=True))
    unknown = [name for name in KEPT if name not in kept]
    for name in unknown:
        with suppress(IntegrityError):  # another process was first; its keys are compared with ours
            SiteKey.objects.create(name=name, key_id=id_of(name), since=timezone.now())
    return bool(unknown)


def assert_ours(names: Collection[str] = ALL) -> bool:
    """Compare the keys `names` of this process with the site's; raises WrongKeyError if one differs.

    Returns False if not all can be compared now, because a database does not answer or has no tables yet.
    """
    if not names:
        return True
    messages = _compared()
    # Whoever has one wrong key is a stranger: its others must not become the site's.
    if not any(message.is_serious() for message in messages):
        with suppress(Error):  # no answer, no tables yet, or read-only: we compare what we can
            if file_is_there(connections[DEFAULT_DB_ALIAS]) and remember():
                messages = _compared()
    wrong = [f"{message.msg} {message.hint}" for message in messages if message.is_serious() and message.obj in names]
    if wrong:
        raise WrongKeyError(" ".join(wrong))
    return all(message.id != NOT_COMPARED for message in messages)


def _compared() -> list[checks.CheckMessage]:
    return checks.run_checks(tags=[TAG], databases=list(connections))


@checks.register(TAG, checks.Tags.database)
def check_site_keys(databases: Iterable[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """A further host of the site must have been given the keys of the first one."""
    return compared(DEFAULT_DB_ALIAS, databases, _wrong_keys)


def compared(
    alias: str, databases: Iterable[str] | None, compare: Callable[[], list[checks.CheckMessage]]
) -> list[checks.CheckMessage]:
    """Return what `compare` finds in a database, if a check may ask it; a warning if it does not answer."""
    if alias not in (databases or ()):
        return []
    try:
        if file_is_there(connections[alias]):  # connecting would create the file
            return compare()
        reason = "its file is not there"
    except Error as error:
        reason = str(error).strip()
    hint = "Run manage.py migrate_all if this is a new site."
    return [checks.Warning(f"The keys cannot be compared with database {alias!r}: {reason}.", hint, id=NOT_COMPARED)]


def _wrong_keys() -> list[checks.CheckMessage]:
    kept = dict(SiteKey.objects.filter(name__in=KEPT).values_list("name", "key_id"))
    return [
        checks.Error(
            f"{name} is not this site's: its id is {id_of(name)}, and the site's is {kept[name]}.",
            f"Copy {name.lower()} from the VAR_DIR of the site's first host, or set {name} as it is set there. If the "
            f"key was changed on purpose: manage.py site_keys --accept {name}",
            obj=name,
            id="tmsdash.E010",
        )
        for name in KEPT
        if name in kept and kept[name] != id_of(name)
    ]


def guarded(application: Application) -> Application:
    """Return a WSGI application that serves nothing under wrong keys; it tries to compare them until it can."""
    lock, is_ours, next_look, problem = threading.Lock(), False, 0.0, ""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        nonlocal is_ours, next_look, problem
        if not is_ours and time.monotonic() >= next_look and lock.acquire(blocking=False):
            try:
                next_look = time.monotonic() + RETRY_S
                is_ours, problem = assert_ours(), ""
            except WrongKeyError as error:
                problem = str(error)
                logger.critical("[SITE_KEYS] This server answers nothing. %s", problem)
            finally:
                lock.release()
        if problem:
            start_response("503 Service Unavailable", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"This server does not have the keys of its site. Its log says which.\n"]
        return application(environ, start_response)

    return call
