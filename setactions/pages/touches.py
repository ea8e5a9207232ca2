"""The review page once more, before a list is sent whose customers others touched since it was compared."""

from dataclasses import replace

from django.http import HttpRequest, HttpResponse

from setactions.live.before_sending import touches_since
from setactions.pages.review import review_page, typed_in
from setactions.pages.sealing import Review
from setactions.pages.sent_reviews import is_sent
from tmsdash.text import counted


def page_about_touches(request: HttpRequest, review: Review, sealed: str) -> HttpResponse | None:
    """Return the page that names the attempts since the review's comparison; None if there is nothing to tell.

    Its user may send then: the page that comes back was told of them. Raises Refusal (503) if the audit cannot tell.
    """
    comparison, submission = review.comparison, review.submission
    if comparison is None:
        return None
    touches = touches_since(comparison, submission.cluster.origin, submission.cids)
    # If this very review was sent at the same moment, these are its own: whoever sends it is led to what it became.
    if not touches or is_sent(review, request.user.get_username()):
        return None
    told, customers = (
        replace(review, comparison=comparison.told(touches.attempts)),
        counted(len(touches.cids), "customer"),
    )
    what = f"Other attempts touched {customers} of this list since you compared it; they are named below."
    error = f"{what} Compare again, or press Yes, Proceed once more to send all the same."
    return review_page(request, told, sealed, status=409, error=error, typed=typed_in(request), touches=touches)
