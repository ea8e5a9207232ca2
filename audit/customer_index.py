"""Which attempts asked for a customer: the look-ups in the segments of AttemptCustomer."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Max, Q, QuerySet

from audit.chain import DATABASE
from audit.models import Attempt, AttemptCustomer, segment_of
from tmsdash.db.bulk import insert_list, owners_of_list, parts

TABLE = AttemptCustomer._meta.db_table


def add_customers(attempt_pk: int, cids: Sequence[str]) -> None:
    """Insert the customers of a new attempt. Raises DatabaseError unless every row went in."""
    insert_list(DATABASE, TABLE, "attempt_id", attempt_pk, cids, segment=segment_of(attempt_pk))


def segments() -> list[int]:
    """Return all segments, the oldest first."""
    return _segments_between(0, Attempt.objects.aggregate(last=Max("pk"))["last"] or 0)


def asking_for(cids: Sequence[str], last: int | None = None) -> QuerySet[AttemptCustomer]:
    """Return the rows of some hundred customers, in no order; up to the attempt with the key `last` at least."""
    known = [cid for cid in cids if "\0" not in cid]  # no id holds it, and PostgreSQL takes no such text
    places = segments() if last is None else _segments_between(0, last)
    return AttemptCustomer.objects.filter(segment__in=places, cid__in=known).order_by()


def pks_asking_for(cid: str) -> QuerySet[Any]:
    """Return the primary keys of the attempts that asked for exactly this customer, as a subquery."""
    return asking_for([cid]).values("attempt_id")


def asked_for(cid: str) -> Q:
    """Return the condition that attempts asked for exactly this customer."""
    return Q(pk__in=pks_asking_for(cid))


def is_known(cid: str) -> bool:
    """Tell whether anybody ever asked for exactly this customer."""
    return asking_for([cid]).exists()


def indexed_cids(attempt_pk: int, cids: Sequence[str]) -> list[str]:
    """Return those of `cids`, however many, that the index holds for an attempt."""
    of_attempt = AttemptCustomer.objects.filter(segment=segment_of(attempt_pk), attempt_id=attempt_pk)
    rows = (of_attempt.filter(cid__in=part) for part in parts(cids))
    return [cid for found in rows for cid in found.values_list("cid", flat=True)]


def owners_between(first: int, last: int, cids: Sequence[str]) -> list[tuple[int, str]]:
    """Return (attempt, customer) of the attempts with these primary keys that asked for any of `cids`, however many."""
    return owners_of_list(
        DATABASE, TABLE, "attempt_id", cids, from_owner_id=first, segments=_segments_between(first, last)
    )


def _segments_between(first: int, last: int) -> list[int]:
    return [*range(segment_of(first), segment_of(last) + 1)]
