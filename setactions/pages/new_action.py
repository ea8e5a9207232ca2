"""The first step of a Set Action: the form, and on to the review of what it asks for."""

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from audit.choices import IN_DOUBT_OUTCOMES
from audit.models import Attempt
from audit.selectors import may_view_all_attempts, open_attempts_of
from jobs.selectors import may_view_all_jobs
from jobs.signatures import signed_jobs
from setactions.inputs.csv_table import as_text
from setactions.pages.forms import NewActionForm
from setactions.pages.given_lists import digest_of, shown_name
from setactions.pages.last_use import last_use, remember
from setactions.pages.review_places import keep, lead_to
from setactions.pages.sealing import Review, seal_token
from setactions.pages.sent_reviews import is_configured
from setactions.payload import Submission
from setactions.permissions import may_set_action
from setactions.refusal import Refusal
from tmsdash.db.transactions import drop_if_broken
from tmsdash.rates import WINDOW_S
from tmsdash.web.kept_forms import Fields, Kept, authored, keeps, kept_of

REMINDERS_SHOWN = 10
TYPED = Fields(
    texts=("cluster", "action", "note", "allow_unusual", "list_name", "list_digest"),
    lists=("cids",),
    file="csv_file",
    file_is="cids",
)


@require_safe
def new_action(request: HttpRequest) -> HttpResponse:
    """Show the form; who may not send Set Actions is led to what they may see, or told that this is nothing."""
    if may_set_action(request.user):
        return form_page(request, NewActionForm(initial=last_use(request)))
    if request.user.is_staff and may_view_all_jobs(request.user):
        return redirect("admin:jobs_job_changelist")
    if may_view_all_jobs(request.user) or may_view_all_attempts(request.user):
        return redirect("activity")
    return render(request, "setactions/no_permission.html")


@keeps(TYPED)
@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def review(request: HttpRequest) -> HttpResponse:
    """Check the form and lead to the review of what would be sent. Nothing is sent or recorded yet.

    On a GET, which is the way back from the sign-in page, the form shows what was typed before.
    """
    if request.method == "GET":
        kept = kept_of(request) if may_set_action(request.user) else None
        return form_page(request, kept_form(kept), kept=kept) if kept else redirect("new_action")
    if not may_set_action(request.user):
        raise PermissionDenied
    form = NewActionForm(request.POST, request.FILES, user=request.user)
    if not form.is_valid():
        form.keep_upload()
        return form_page(request, form, status=400)
    user_id, to_review = request.user.get_username(), Review.of(form.submission, form.file_name)
    try:
        keep(to_review, user_id)
    except Refusal as refusal:
        form.keep_upload()
        return form_page(request, form, status=refusal.code, error=refusal.message)
    sealed = seal_token(form.secret, user_id, to_review.attempt_id)
    answer = lead_to(request, to_review.attempt_id, sealed=sealed)
    remember(request, answer, form.submission)
    return answer


def filled_in_form(submission: Submission, file_name: str = "") -> NewActionForm:
    """Return the form with everything but the token, and without a cluster that the settings lack.

    `file_name` is that of the file that the list came from, if it did.
    """
    text = as_text(submission.cids)
    initial = {
        "action": submission.action.label,
        "cids": text,
        "list_name": file_name,
        "list_digest": digest_of(text) if file_name else "",
        "note": submission.note,
        "allow_unusual": submission.allow_unusual,
    }
    cluster = submission.cluster
    return NewActionForm(initial=initial | ({"cluster": cluster.name} if is_configured(cluster) else {}))


def kept_form(kept: Kept) -> NewActionForm:
    """Return the form as it was typed; the content of a file is marked as such, so that another one replaces it."""
    text, name = kept.fields["cids"], shown_name(kept.file_name)
    return NewActionForm(initial=kept.fields | ({"list_name": name, "list_digest": digest_of(text)} if name else {}))


def form_page(
    request: HttpRequest,
    form: NewActionForm,
    *,
    status: int = 200,
    error: str = "",
    notice: str = "",
    kept: Kept | None = None,
) -> HttpResponse:
    """Show the form, below a reminder of the user's attempts in doubt.

    `notice` is what was done, `error` what was not; `kept` is what came back of an earlier form.
    """
    context = {
        "form": form,
        "error": error,
        "notice": notice,
        "kept": kept,
        "max_cids": settings.TMS_MAX_CIDS_PER_CALL,
        "max_bytes": settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        "get_token_at": authored(reverse("get_token"), request.user) if settings.TMS_TOKEN_URLS else "",
        "chunk": settings.TMS_BATCH_CHUNK,
        "calls": settings.TMS_BATCH_CALLS,
        "in_doubt": _in_doubt_of(request.user),
    }
    page = render(request, "setactions/new_action.html", context, status=status)
    if status == 429:
        page["Retry-After"] = str(WINDOW_S)
    return page


def _in_doubt_of(user: Any) -> list[Attempt]:
    """Return the user's attempts with an unknown outcome; none, too, without the database: sending then says so."""
    with suppress(AnyDatabaseError), drop_if_broken("audit", "jobs"):
        oldest = open_attempts_of(user).filter(outcome__in=IN_DOUBT_OUTCOMES)[:REMINDERS_SHOWN]
        in_doubt = [attempt for attempt in oldest if attempt.is_in_doubt]  # those that still run are the newest
        recorded = signed_jobs([attempt.attempt_id for attempt in in_doubt])  # their outcome is known after all
        return [attempt for attempt in in_doubt if attempt.attempt_id not in recorded]
    return []
