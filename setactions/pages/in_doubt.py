"""The work queue of those who may check or decide: attempts of which nobody knows what became."""

import re
from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.models import Attempt
from jobs.batches.selectors import chunks_sent_as
from jobs.models import BatchChunk
from jobs.selectors import may_view_job_of
from jobs.signatures import signed_jobs
from setactions.resolving.queue import may_resolve, next_step, queue_of
from setactions.resolving.rulings import may_decide
from tmsdash.web.paging import Page

ATTEMPTS_PER_PAGE = 50
NOTHING_TO_DO = (
    "Your account can neither check nor decide on attempts in doubt. Activity shows those that you may see, under "
    "Unknown or being sent. Ask an administrator if you need more."
)


@dataclass(frozen=True)
class DoubtLine:
    """An attempt in doubt, the chunk that it is of if it is one's, and what is to be done next."""

    attempt: Attempt
    chunk: BatchChunk | None
    next_step: str
    may_view_batch: bool


@never_cache
@require_safe
def in_doubt(request: HttpRequest) -> HttpResponse:
    """List attempts in doubt, the oldest first: the user's own, or everybody's for those who may decide."""
    user, after = request.user, request.GET.get("after", "")
    if not may_resolve(user):
        raise PermissionDenied(NOTHING_TO_DO)
    queue = queue_of(user)
    if is_behind := bool(re.fullmatch("[0-9]{1,18}", after)):
        queue = queue.filter(pk__gt=int(after))
    read = list(queue[: ATTEMPTS_PER_PAGE + 1])
    attempts = read[:ATTEMPTS_PER_PAGE]
    ids = [attempt.attempt_id for attempt in attempts]
    chunks, recorded = chunks_sent_as(ids), signed_jobs(ids)
    address = reverse("in_doubt")
    page = Page(
        rows=[
            DoubtLine(
                attempt,
                chunks.get(attempt.attempt_id),
                next_step(user, attempt, is_recorded=attempt.attempt_id in recorded),
                may_view_job_of(user, attempt.user_id),
            )
            for attempt in attempts
        ],
        back=address if is_behind else "",
        onward=f"{address}?after={attempts[-1].pk}" if len(read) > len(attempts) else "",
    )
    return render(request, "setactions/in_doubt.html", {"page": page, "of_everybody": may_decide(user)})
