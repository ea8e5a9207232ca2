"""The names of the site's cookies: browsers send them to every port and path of a host, so sites beside it differ."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from tmsdash.web.base import Middleware


def cookie_name(kind: str) -> str:
    """Return the name of a cookie of a kind, with the prefix and the suffix that the session's has."""
    return settings.SESSION_COOKIE_NAME.replace("sessionid", kind, 1)


def shared_cookie_name(kind: str) -> str:
    """Return the name of a cookie that sites beside each other may share, and that no new key may rename."""
    name: str = settings.SESSION_COOKIE_NAME
    return settings.PLAIN_COOKIE_NAMES.get(name, name).replace("sessionid", kind, 1)


class PlainNamesMiddleware(Middleware):
    """Let whoever knows the cookies of session and CSRF token by their plain names, without a suffix, go on with them.

    They are taken where the site's own are missing, and set with these. Sites beside each other overwrite each other's
    plain ones, and need none: a session of a neighbour is unknown here, and left alone.
    """

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent, plain_names = request.COOKIES, settings.PLAIN_COOKIE_NAMES
        taken = {own: sent[plain] for own, plain in plain_names.items() if plain in sent and own not in sent}
        request.COOKIES = sent | taken
        response = self.get_response(request)
        for own, plain in plain_names.items():
            cookie = response.cookies.get(own)
            # One that is deleted has no value. A neighbour's is not ours to delete.
            if cookie is not None and (cookie.value or sent.get(own) == sent.get(plain)):
                response.cookies[plain] = cookie.value
                response.cookies[plain].update(cookie)
        if settings.SESSION_COOKIE_NAME in taken:
            _keep_session(request, response, taken[settings.SESSION_COOKIE_NAME])
        return response


def _keep_session(request: HttpRequest, response: HttpResponse, key: str) -> None:
    """Set the own cookie, before a neighbour takes the plain name, if the key turned out to be one of this site."""
    name, session = settings.SESSION_COOKIE_NAME, getattr(request, "session", None)
    if session is None or not session.accessed or session.session_key != key or name in response.cookies:
        return
    response.set_cookie(
        name,
        key,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
