"""The cluster and the action that a user chose last, for the New action form: in a signed cookie of their browser.

A production cluster is never remembered, so that nobody sends anything there without having chosen it just now; nor is
a token. What another user left in the same browser counts for nothing.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from setactions.payload import Submission
from setactions.tms.clusters import cluster_named
from setactions.tms.spellings import find_action
from tmsdash.web.cookies import cookie_name

_SALT = "setactions.last_use"
_KEPT_S = 180 * 86_400
# Between the two in the cookie: no cluster's name has one. Newer Pythons take no control characters in cookies.
_THEN = "|"


def remember(request: HttpRequest, response: HttpResponse, submission: Submission) -> None:
    """Let the browser keep what a submission chose, in place of what was chosen before."""
    cluster = "" if submission.cluster.is_production else submission.cluster.name
    choice = _THEN.join([cluster, submission.action.label])
    response.set_signed_cookie(
        cookie_name("last_use"),
        choice,
        salt=_salt_for(request),
        max_age=_KEPT_S,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )


def last_use(request: HttpRequest) -> dict[str, str]:
    """Return the first values of the form; none of what is not configured any more, or is of production by now."""
    name, salt = cookie_name("last_use"), _salt_for(request)
    choice = request.get_signed_cookie(name, "", salt=salt, max_age=_KEPT_S) or ""
    name, _, action_name = choice.partition(_THEN)
    cluster, action = cluster_named(name), find_action(action_name)
    initial = {"action": action.label} if action else {}
    return initial | ({"cluster": cluster.name} if cluster and not cluster.is_production else {})


def _salt_for(request: HttpRequest) -> str:
    return f"{_SALT}\n{request.user.get_username()}"
