"""The bodies of requests, each of which is kept once, and given up as soon as it is not needed any more.

Django's requests refer to themselves in circles. So what they hold stays until Python looks for such circles, which may
be many requests later; a fleet's body is a megabyte, and the server's stream holds it, too.
"""

from io import BytesIO

from django.http import HttpRequest, QueryDict
from django.utils.datastructures import MultiValueDict


def receive_body(request: HttpRequest) -> bytes:
    """Return the whole body, which Django keeps for later readers. Raises UnreadablePostError if it breaks off."""
    body = request.body
    request.META["wsgi.input"] = BytesIO()
    return body


def take_body(request: HttpRequest) -> bytes:
    """Return the body, of which the request has nothing any more."""
    body = request.body
    request._body, request._stream = b"", BytesIO()
    return body


def forget_body(request: HttpRequest) -> None:
    """Let a request that is answered keep nothing of its body."""
    if "_body" in vars(request):
        take_body(request)
        request._post, request._files = QueryDict(), MultiValueDict()  # type: ignore[attr-defined]
        request._upload_handlers = []  # type: ignore[attr-defined] # they hold the files
