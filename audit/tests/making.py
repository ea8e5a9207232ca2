"""Attempts for tests, made by the services that make them in production."""

import uuid
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum, auto
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connections
from django.utils import timezone

from audit import chain, services
from audit.actors import Actor
from audit.choices import Action, Kind, Source
from audit.digests import digest, list_digest
from audit.models import Attempt, AttemptCustomer, AuditEntry
from audit.overlap import OverlapError
from audit.proof import append_only
from tmsdash.db.fields import bytes_of

CLUSTER = "https://evian3.example"


class Request(NamedTuple):
    """What `services.open_attempt` and `refuse_attempt` take."""

    attempt_id: uuid.UUID
    actor: Actor
    body: dict[str, Any]


def make_request(
    *,
    cids=("a1", "b2"),
    action=Action.PE_ENABLE,
    cluster_url=CLUSTER,
    attempt_id=None,
    user_id="olivia",
    source=Source.FORM,
    ip_address="203.0.113.7",
    body=None,
    **values,
):
    """olivia's request of PE-Enable for two customers; `body` and `values` go into the event."""
    opening = {
        "action_code": action.value,
        "action_name": action.label,
        "cids": tuple(cids),
        "cluster_url": cluster_url,
        "customer_count": len(cids),
        "list_digest": list_digest(cluster_url, action.value, cids),
        "payload_digest": digest([cluster_url, action.label, list(cids)]),
        "source": source,
    }
    actor = Actor(user_id=user_id, ip_address=ip_address, source=source)
    return Request(attempt_id or uuid.uuid4(), actor, opening | (body or {}) | values)


class Opened(Enum):
    """What opening an attempt came upon."""

    NEW = auto()
    KNOWN = auto()
    OVERLAP = auto()


def open_(request=None, *, window_s=600, overlap_allowed=False, wait_s=20, **values):
    """Open an attempt; returns what there was and the attempt, or the newest that shares customers with it."""
    accepted_since = timezone.now() - timedelta(seconds=window_s)
    request = request or make_request(**values)
    try:
        attempt, is_new = services.open_attempt(
            *request, accepted_since=accepted_since, covers=lambda *_: overlap_allowed, wait_s=wait_s
        )
    except OverlapError as error:
        return Opened.OVERLAP, next(iter(error.shared))
    return Opened.NEW if is_new else Opened.KNOWN, attempt


def make_attempt(*kinds, message="", http_status=200, **values):
    """An attempt that was opened, and to which then these kinds of events happened."""
    found, attempt = open_(overlap_allowed=True, **values)
    assert found is Opened.NEW
    return record(attempt, *kinds, message=message, http_status=http_status) if kinds else attempt


def record(attempt, *kinds, **body):
    rulings = {Kind.DECIDED: {"ruling": "applied"}}
    events = [(kind, rulings.get(kind, {}) | body) for kind in kinds]
    return services.record_events(attempt.attempt_id, events, wait_s=20)


def refuse(*, message="The list is empty.", **values):
    return services.refuse_attempt(*make_request(message=message, **values), wait_s=20)


@contextmanager
def tampering():
    """A cursor of somebody who writes to the audit's tables past the product, without its triggers."""
    connection = connections["audit"]
    append_only.remove(connection)
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        append_only.install(connection)


def sign_again(attempt, kind):
    """Sign an entry that was changed, as only somebody with the key can."""
    entry = AuditEntry.objects.get(attempt_id=attempt.attempt_id, kind=kind)
    with tampering() as cursor:
        mac = chain.mac_of(settings.AUDIT_KEY, entry)
        cursor.execute("UPDATE audit_auditentry SET mac = %s WHERE sequence = %s", [bytes_of(mac), entry.sequence])


def kinds_of(attempt):
    return list(
        AuditEntry.objects.filter(attempt_id=attempt.attempt_id).order_by("sequence").values_list("kind", flat=True)
    )


def customers_of(attempt):
    return sorted(AttemptCustomer.objects.filter(attempt=attempt).values_list("cid", flat=True))


def row(attempt):
    """Every value of the attempt's row as it is in the database."""
    return Attempt.objects.filter(pk=attempt.pk).values().get()


ANSWERS = (Kind.ACCEPTED, Kind.REJECTED, Kind.NOT_SENT, Kind.UNKNOWN)
