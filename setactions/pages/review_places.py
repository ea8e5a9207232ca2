"""Where a review is between its pages: the list at the server, its token and the reason to come back at the browser.

- A review has its own address, `/review/<id>/`, with the id of the attempt or batch that it may become. What it is
  about stays in the jobs database, signed, and is its user's alone.
- The token crosses sealed, in a cookie of that address, and is never in the database.
- What the page is to say about the step before crosses signed, in another cookie: every step ends in a redirect, so
  that no reload, and no way back, asks to send a form again.
"""

import uuid
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables

from jobs.reviews import forget_review, keep_review, signed_review
from setactions.pages.sealing import INVALID, Review, as_shown, load_review, sign_review, unseal_token
from setactions.refusal import Refusal, Unverified
from tmsdash.db.transactions import drop_if_broken
from tmsdash.seals import SEALED_FOR_S
from tmsdash.web.access_log import log_refused

NOTICE_KEPT_S = 600
ERROR_LENGTH = 1500  # a cookie has 4 KB
LONGEST_SEAL = 4000  # characters: browsers drop a cookie that has, with its name, more than 4,096
TOO_LONG = (
    "Your token is longer than what a browser keeps between two pages. Enter it here once more: it is used with the "
    "button that you press."
)
_TOKEN, _NOTICE = "review_token", "review_notice"
_NOTICE_SALT = "setactions.review.notice"

Response = TypeVar("Response", bound=HttpResponse)


class NoReview(Refusal):
    """There is no such review, or it is not this user's, or it is not kept any more."""


@dataclass(frozen=True)
class Notice:
    """What the page of a review says about the step before: why nothing was sent, in which field, and what was typed.

    `status` is the HTTP status of the page then, `typed` the number of customers, and `unchecked` says that the box of
    a batch was empty.
    """

    status: int = 200
    error: str = ""
    field: str = ""
    typed: str = ""
    unchecked: bool = False


NOTHING_TO_SAY = Notice()


def keep(review: Review, user_id: str) -> None:
    """Keep a review until it is sent; raises Refusal (503) if the jobs database cannot be written."""
    with drop_if_broken("jobs", raising=_unwritable):
        keep_review(review.attempt_id, user_id, sign_review(review, user_id))


def _unwritable(_: Exception) -> Refusal:
    message = "The jobs database cannot be written, so nothing can be reviewed or sent. Try again, then tell the admin."
    return Refusal(503, "request", message)


def find(request: HttpRequest, review_id: uuid.UUID) -> Review:
    """Return a review of this user's, with what its page showed if this comes from there; a forgery is logged.

    Raises NoReview (404); Refusal (400) if it is not valid any more, Unverified if it was forged; and Refusal (503) if
    the jobs database cannot be read.
    """
    user_id = request.user.get_username()
    try:
        with drop_if_broken("jobs", raising=_unreadable):
            signed = signed_review(review_id, user_id)
        if signed is None:
            gone = "There is no such review, or it belongs to somebody else, or it is not kept any more."
            raise NoReview(404, "review", f"{gone} Nothing was sent by coming here. Fill in the form again.")
        review = load_review(signed, user_id)
        if review.attempt_id != review_id:
            raise Unverified(400, "review", INVALID)
    except Unverified:
        log_refused(request, "its review does not verify")
        raise
    try:
        return as_shown(review, request.POST.get("shown", ""), user_id)
    except Unverified:  # so it told its user nothing
        log_refused(request, "what its page showed does not verify")
        return review


def _unreadable(_: Exception) -> Refusal:
    return Refusal(503, "request", "The jobs database cannot be read now. Nothing was sent. Try again in a minute.")


def forget(request: HttpRequest, review_id: uuid.UUID) -> None:
    """Drop a review that must not be shown again, since a token stands in it; raises Refusal (503) if that fails."""
    with drop_if_broken("jobs", raising=_unwritable):
        forget_review(review_id, request.user.get_username())


def address_of(review_id: uuid.UUID) -> str:
    return reverse("review_page", args=[review_id])


@sensitive_variables()
def lead_to(
    request: HttpRequest, review_id: uuid.UUID, *, sealed: str = "", notice: Notice = NOTHING_TO_SAY, step: str = ""
) -> HttpResponse:
    """Redirect to a review's page, or to what is behind its `step`, with its token and with what it is to say.

    Without `sealed`, its page asks for the token: a cookie that was there is gone. So it does, and says why, if the
    token is too long for a cookie.
    """
    if len(sealed) > LONGEST_SEAL:
        error, field = f"{notice.error} {TOO_LONG}".strip(), notice.field or "token"
        sealed, notice = "", replace(notice, error=error, field=field)
    answer = HttpResponseRedirect(address_of(review_id) + step, status=303)
    path, flags = address_of(review_id), _flags()
    if sealed:
        answer.set_cookie(_name(_TOKEN, review_id), sealed, max_age=SEALED_FOR_S, path=path, **flags)
    elif _name(_TOKEN, review_id) in request.COOKIES:
        answer.delete_cookie(_name(_TOKEN, review_id), path=path, samesite="Strict")
    if notice != NOTHING_TO_SAY:
        state = [notice.status, notice.error[:ERROR_LENGTH], notice.field, notice.typed, notice.unchecked]
        signed = signing.dumps([request.user.get_username(), str(review_id), *state], salt=_NOTICE_SALT, compress=True)
        answer.set_cookie(_name(_NOTICE, review_id), signed, max_age=NOTICE_KEPT_S, path=path, **flags)
    elif _name(_NOTICE, review_id) in request.COOKIES:
        answer.delete_cookie(_name(_NOTICE, review_id), path=path, samesite="Strict")
    return answer


def _name(kind: str, review_id: uuid.UUID) -> str:
    return f"{kind}_{review_id.hex}"


def _flags() -> dict[str, Any]:
    return {"httponly": True, "samesite": "Strict", "secure": settings.HTTPS_ONLY}


def used(response: Response, review_id: uuid.UUID) -> Response:
    """Let the browser forget a review's token, and what was said: it was sent, or its user went back to the form."""
    for kind in (_TOKEN, _NOTICE):
        response.delete_cookie(_name(kind, review_id), path=address_of(review_id), samesite="Strict")
    return response


def sealed_token(request: HttpRequest, review_id: uuid.UUID) -> str:
    """Return the sealed token that the browser keeps for a review; "" if it has none."""
    return request.COOKIES.get(_name(_TOKEN, review_id), "")


@sensitive_variables()
def has_token(request: HttpRequest, review_id: uuid.UUID) -> bool:
    """Tell whether the browser keeps a token for a review that can still be used."""
    try:
        unseal_token(sealed_token(request, review_id), request.user.get_username(), review_id)
    except Refusal:
        return False
    return True


def notice_for(request: HttpRequest, review_id: uuid.UUID) -> Notice:
    """Return what a review's page is to say about the step before, for ten minutes or until the next step."""
    try:
        signed = request.COOKIES.get(_name(_NOTICE, review_id), "")
        user_id, of_review, *state = signing.loads(signed, salt=_NOTICE_SALT, max_age=NOTICE_KEPT_S)
    except signing.BadSignature:
        return NOTHING_TO_SAY
    is_own = (user_id, of_review) == (request.user.get_username(), str(review_id))
    return Notice(*state) if is_own else NOTHING_TO_SAY
