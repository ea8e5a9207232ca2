"""What is kept of a request's body: once while it is read, and nothing after that."""

import weakref
from io import BytesIO

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import RequestFactory

from tmsdash import heavy_work
from tmsdash.tests.tools import in_thread
from tmsdash.web.bodies import take_body
from tmsdash.web.middleware import RequestBodyMiddleware

LONG = b"x" * (RequestBodyMiddleware.LONG_BODY + 1)


class Stream(BytesIO):
    """The server's stream, which holds the whole body."""


def post(body=None, data=None, view=lambda request: HttpResponse("received")):
    """Let a user post; return the request and the answer."""
    request = (
        RequestFactory().post("/", data) if body is None else RequestFactory().generic("POST", "/proxy_fetch", body)
    )
    request.user = User(username="olivia")
    return request, RequestBodyMiddleware(view)(request)


def test_the_servers_stream_is_let_go_once_the_body_is_there():
    request = RequestFactory().generic("POST", "/proxy_fetch", LONG)
    stream = Stream(LONG)
    request.META["wsgi.input"] = request._stream._stream = stream
    held, request.user = weakref.ref(stream), User(username="olivia")
    del stream
    read = []
    RequestBodyMiddleware(lambda request: read.append((held(), request.body)) or HttpResponse())(request)
    assert read == [(None, LONG)]


def test_whoever_takes_a_body_has_the_only_one():
    _, answer = post(LONG, view=lambda request: HttpResponse(take_body(request)[:1] + request.body + request.read()))
    assert answer.content == b"x"


def test_an_answered_request_holds_nothing_of_what_was_posted():
    files = []

    def view(request):
        files.append(weakref.ref(request.FILES["file"].file))
        return HttpResponse(request.POST["cids"])

    request, answer = post(data={"cids": "a1", "file": SimpleUploadedFile("list.csv", LONG)}, view=view)
    assert answer.content == b"a1"
    assert (request.body, request.POST, request.FILES, request.read()) == (b"", {}, {}, b"")
    assert files[0]() is None


def test_a_body_is_dropped_whatever_its_view_raises():
    request = RequestFactory().generic("POST", "/proxy_fetch", LONG)
    request.user = User(username="olivia")

    def view(request):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        RequestBodyMiddleware(view)(request)
    assert request.body == b""


def test_long_bodies_reach_their_views_one_after_the_other_and_short_ones_at_once(monkeypatch, caplog):
    monkeypatch.setattr(heavy_work, "WAIT_S", 0.05)
    with heavy_work.turn():
        _, short = in_thread(post, b"x")
        request, long = in_thread(post, LONG)
    assert (short.status_code, long.status_code) == (200, 503)
    assert long["Retry-After"]
    assert b"Nothing was sent" in long.content
    assert request.body == b""
    assert "its body was not taken (503)" in caplog.text
    assert post(LONG)[1].status_code == 200
