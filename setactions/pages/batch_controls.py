"""What the buttons of a batch do. Each leads to the batch's page, which says what could not be done."""

import uuid

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from audit.actors import actor_of
from audit.choices import Source
from jobs.batches.lists import NewBatch
from jobs.batches.scopes import Scope
from jobs.models import Batch
from setactions.batches import service
from setactions.batches.chunks import chunks_of
from setactions.overlap import NO_OVERLAP, Overlap, united
from setactions.pages.batch_view import NAMED, REPEATS, SEND_AGAIN, SKIP, WITHOUT_UNKNOWN
from setactions.pages.batches import batch_page, load
from setactions.pages.review import check_confirmed, check_touches, review_token, word_of
from setactions.pages.review_places import used
from setactions.pages.review_steps import refused_step, reviewed_step
from setactions.pages.sealing import Review
from setactions.pages.sent_reviews import was_sent
from setactions.permissions import may_set_action
from setactions.refusal import Refusal
from setactions.typed_token import typed_token
from setactions.word import NO_WORD, Named


@reviewed_step
@sensitive_variables()
def start(request: HttpRequest, reviewed: Review) -> HttpResponse:
    """Run what was reviewed as a batch, and lead to its page; what is refused comes back for review."""
    if not may_set_action(request.user):
        raise PermissionDenied
    sealed, first_only = "", "first_only" in request.POST
    try:
        if was_sent(reviewed, request.user.get_username(), is_batch=True):
            return used(redirect("batch", batch_id=reviewed.attempt_id), reviewed.attempt_id)
        token, sealed = review_token(request, reviewed)
        check_confirmed(request, reviewed.submission)
        check_touches(request, reviewed)
        batch = service.start_batch(
            user=request.user,
            actor=actor_of(request, Source.BATCH),
            new=NewBatch(
                batch_id=reviewed.attempt_id,
                chunks=chunks_of(reviewed.submission, first_only=first_only),
                file_name=reviewed.file_name,
                repeated=reviewed.submission.repeated,
                first_only=first_only,
                allow_unusual=reviewed.submission.allow_unusual,
                compared=reviewed.to_send.compared,
                note=reviewed.submission.note,
            ),
            token=token,
            word=word_of(request, reviewed),
            check=reviewed.check_afterwards,
        )
    except Refusal as refusal:
        return refused_step(request, reviewed, sealed, refusal)
    return used(redirect("batch", batch_id=batch.batch_id), reviewed.attempt_id)


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def control(request: HttpRequest, batch_id: uuid.UUID, verb: str) -> HttpResponse:
    """Do to a batch what the button with this verb says: pause, stop, resume or rest."""
    batch = load(request, batch_id)
    if request.method == "POST":  # else it is the way back from the sign-in page
        try:
            _do(request, batch, verb)
        except Refusal as refusal:
            if refusal.code == 403:
                raise PermissionDenied(refusal.message) from None
            overlap = _overlap(request, batch, verb) if refusal.overlap else NO_OVERLAP
            batch, named = load(request, batch_id), overlap.named
            return batch_page(request, batch, status=refusal.code, error=refusal.message, named=named)
    return redirect("batch", batch_id=batch_id)


@sensitive_variables()
def _do(request: HttpRequest, batch: Batch, verb: str) -> None:
    if verb == "pause":
        service.pause_batch(user=request.user, batch=batch)
    elif verb == "stop":
        service.stop_batch(user=request.user, batch=batch)
    else:
        named = Named.parse(request.POST.get(NAMED, ""))
        typed, repeats = request.POST.get("token", "").strip(), request.POST.get(REPEATS)
        service.go_on(
            user=request.user,
            actor=actor_of(request, Source.BATCH),
            batch=batch,
            token=typed_token(typed, request.user) if typed else None,
            scope=_scope(request, verb),
            word=named.word(_overlap(request, batch, verb).cids) if repeats == SEND_AGAIN else NO_WORD,
            skip=repeats == SKIP,
        )


def _scope(request: HttpRequest, verb: str) -> Scope:
    if verb == "resume":
        return Scope.WAITING
    return Scope.REST_WITHOUT_UNKNOWN_IDS if WITHOUT_UNKNOWN in request.POST else Scope.REST


def _overlap(request: HttpRequest, batch: Batch, verb: str) -> Overlap:
    return united(service.overlaps_of_rest(batch, _scope(request, verb)))
