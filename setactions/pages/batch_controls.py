"""What the buttons of a batch do. Each leads to the batch's page; what cannot be done is said there."""

import uuid
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from audit.actors import actor_of
from audit.choices import Source
from jobs.models import Batch
from setactions.batches import service
from setactions.pages.batches import batch_page, load
from setactions.pages.forms import NewActionForm
from setactions.pages.new_action import check_confirmed, form_page, kept_seal, review_of, review_page, token_of
from setactions.permissions import may_set_action
from setactions.refusal import Refusal
from setactions.token import Token


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def start(request: HttpRequest) -> HttpResponse:
    """Run what was reviewed as a batch, and lead to its page; what is refused comes back for review."""
    if request.method == "GET":
        return redirect("new_action")
    if not may_set_action(request.user):
        raise PermissionDenied
    user_id = request.user.get_username()
    try:
        reviewed = review_of(request)
    except Refusal as refusal:
        return form_page(request, NewActionForm(), status=refusal.code, error=refusal.message)
    try:
        check_confirmed(request, reviewed.submission)
        token = token_of(request, user_id, reviewed.attempt_id)
        batch = service.start_batch(
            user=request.user,
            actor=actor_of(request, Source.BATCH),
            batch_id=reviewed.attempt_id,
            submission=reviewed.submission,
            token=token,
            file_name=reviewed.file_name,
            first_only="first_only" in request.POST,
        )
    except Refusal as refusal:
        sealed = kept_seal(request, user_id, reviewed.attempt_id)
        return review_page(request, reviewed, sealed, status=refusal.code, error=refusal.message)
    return redirect("batch", batch_id=batch.batch_id)


@never_cache
@require_http_methods(["GET", "POST"])
def pause(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    """Let it send nothing new for now."""
    return _do(request, batch_id, lambda batch: service.pause_batch(user=request.user, batch=batch))


@never_cache
@require_http_methods(["GET", "POST"])
def stop(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    """Let it end after the running calls."""
    return _do(request, batch_id, lambda batch: service.stop_batch(user=request.user, batch=batch))


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def resume(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    """Let it go on with what waits."""

    @sensitive_variables()
    def work(batch: Batch) -> None:
        actor = actor_of(request, Source.BATCH)
        service.resume_batch(user=request.user, actor=actor, batch=batch, token=_typed_token(request))

    return _do(request, batch_id, work)


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def rest(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    """Run what was not sent, and with `without_unknown` what was rejected, without the ids that TMS does not know."""

    @sensitive_variables()
    def work(batch: Batch) -> None:
        service.run_rest(
            user=request.user,
            actor=actor_of(request, Source.BATCH),
            batch=batch,
            token=_typed_token(request),
            without_unknown="without_unknown" in request.POST,
        )

    return _do(request, batch_id, work)


def _do(request: HttpRequest, batch_id: uuid.UUID, work: Callable[[Batch], Any]) -> HttpResponse:
    batch = load(request, batch_id)
    if request.method == "GET":  # the way back from the sign-in page
        return redirect("batch", batch_id=batch_id)
    try:
        work(batch)
    except Refusal as refusal:
        if refusal.code == 403:
            raise PermissionDenied(refusal.message) from None
        return batch_page(request, load(request, batch_id), status=refusal.code, error=refusal.message)
    return redirect("batch", batch_id=batch_id)


@sensitive_variables()
def _typed_token(request: HttpRequest) -> Token | None:
    typed = request.POST.get("token", "").strip()
    return Token(typed) if typed else None
