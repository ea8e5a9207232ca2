"""Sentences of a refusal in which the attempts and batches that they name are links, for those who may open them."""

import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.urls import reverse

from audit.models import Attempt
from audit.selectors import may_view_attempt_of
from jobs.models import Batch
from jobs.selectors import may_view_job_of

_NAMED = re.compile(r"\b(attempt|batch) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")


class Part(NamedTuple):
    """A part of a sentence, and the address that it leads to, "" if it leads nowhere."""

    text: str
    address: str = ""


def with_links(user: Any, sentences: Iterable[str]) -> list[list[Part]]:
    """Return the sentences in parts; what they name and `user` may open is a part with an address."""
    kept = [*sentences]
    named = {(kind, uuid.UUID(name)) for sentence in kept for kind, name in _NAMED.findall(sentence)}
    addresses = dict(_addresses(user, named)) if named else {}
    return [_parts(sentence, addresses) for sentence in kept]


def _addresses(user: Any, named: set[tuple[str, uuid.UUID]]) -> Iterator[tuple[str, str]]:
    attempt_ids, batch_ids = ([name for kind, name in named if kind == of] for of in ("attempt", "batch"))
    for attempt_id, user_id in Attempt.objects.filter(attempt_id__in=attempt_ids).values_list("attempt_id", "user_id"):
        if may_view_attempt_of(user, user_id):
            yield str(attempt_id), reverse("attempt", args=[attempt_id])
    for batch_id, user_id in Batch.objects.filter(batch_id__in=batch_ids).values_list("batch_id", "user_id"):
        if may_view_job_of(user, user_id):
            yield str(batch_id), reverse("batch", args=[batch_id])


def _parts(sentence: str, addresses: dict[str, str]) -> list[Part]:
    parts, end = [], 0
    for match in _NAMED.finditer(sentence):
        if address := addresses.get(match[2]):
            parts += [Part(sentence[end : match.start(2)]), Part(match[2], address)]
            end = match.end()
    return [*parts, Part(sentence[end:])]
