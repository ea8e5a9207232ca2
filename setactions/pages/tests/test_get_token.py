"""Get a token: client id and secret become a token that goes sealed into the form, and are kept nowhere."""

import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from audit.models import Attempt, AuditEntry
from jobs.models import Job
from setactions import limits
from setactions.pages import get_token
from setactions.pages.tests.test_given_lists import upload
from setactions.pages.tests.test_late_posts import late, sign_in
from setactions.pages.tests.test_new_action import hidden_fields, proceed
from setactions.tms import client
from tmsdash.server.shared import Cell, mine
from tmsdash.tests.fixtures import PASSWORD, TOKEN, signed_in
from tmsdash.tests.tools import stored_bytes, text_of

pytestmark = pytest.mark.pages
SECRET = "s3cret-of-the-client-0123456789"
CLIENT = {"cluster": "evian3", "client_id": "my-client", "client_secret": SECRET}


@pytest.fixture
def operator(tms, olivia, settings):
    settings.TMS_TOKEN_URLS = {"evian3": f"{tms.url}/oauth2/token"}
    return signed_in(olivia)


@pytest.fixture
def endpoint(settings):
    """Let another endpoint than the simulator's give an answer."""
    servers = []

    def answer(status, body=b"", **headers):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        settings.TMS_TOKEN_URLS = {"evian3": f"http://127.0.0.1:{server.server_port}/token"}

    yield answer
    for server in servers:
        server.shutdown()
        server.server_close()


def test_what_was_typed_goes_along_and_comes_back_with_a_token_that_is_used(operator, tms, caplog):
    typed = {"cluster": "evian3", "action": "T-Enable", "note": "CHG-1", "token": "", "cids": ""}
    page = operator.post("/token/", typed | {"csv_file": upload("fleet.csv", "cid\na1\nb2\n")})
    assert page.status_code == 200
    carried = hidden_fields(page)
    form = operator.post("/token/", carried | CLIENT | {"client_id": "fault:not-ready"})
    assert "use the token that was fetched" in text_of(form)
    assert "From the file fleet.csv" in text_of(form)
    fields = hidden_fields(form)
    assert {"fetched", "list_name", "list_digest"} <= {*fields}
    review = operator.post("/review/", typed | fields | {"cids": "cid\r\na1\r\nb2\r\n"}, follow=True)
    assert review.status_code == 200, text_of(review)
    proceed(operator, review)
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.note, attempt.action_name) == ("rejected", "CHG-1", "T-Enable")
    assert not Job.objects.exists()
    pages = [answer.content.decode() for answer in (page, form, review)]
    held = [*pages, caplog.text, *AuditEntry.objects.values_list("body", flat=True)]
    assert not any(SECRET in text or "fault:not-ready" in text for text in held)
    assert "[TOKEN] asked for a token: cluster=evian3, answer=200" in caplog.text


def test_a_web_token_of_the_endpoint_sends_the_action(operator, tms):
    form = operator.post("/token/", CLIENT)
    assert re.search("A token for evian3 was fetched. It expires in (59|60) minutes.", text_of(form))
    data = {"cluster": "evian3", "action": "PE-Enable", "cids": "a1", "fetched": hidden_fields(form)["fetched"]}
    proceed(operator, operator.post("/review/", data, follow=True))
    assert Attempt.objects.get().outcome == "accepted"
    # One that is typed wins; and nothing but the user's own, for this cluster, is taken.
    assert operator.post("/review/", data | {"token": TOKEN, "cids": "b2"}).status_code == 303
    for wrong in ({"fetched": data["fetched"][:-4] + "AAAA"}, {"fetched": "x"}, {"fetched": ""}):
        page = operator.post("/review/", data | wrong | {"cids": "c3"})
        assert page.status_code == 400


def test_a_fetched_token_is_for_its_user_and_its_cluster_only(operator, oscar, tms, settings):
    fetched = hidden_fields(operator.post("/token/", CLIENT))["fetched"]
    settings.TMS_CLUSTERS = {**settings.TMS_CLUSTERS, "brooke": "http://127.0.0.1:2"}
    data = {"cluster": "brooke", "action": "PE-Enable", "cids": "a1", "fetched": fetched}
    for asker, changes in ((operator, {}), (signed_in(oscar), {"cluster": "evian3"})):
        page = asker.post("/review/", data | changes)
        assert (page.status_code, "Get another one, or paste one." in text_of(page)) == (400, True)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b'{"error": "invalid_client"}', "The client id or the secret is not right"),
        (400, b'{"error": "invalid_scope"}', "asks for a scope"),
        (400, b'{"error": "temporarily_sad", "error_description": "%s"}' % SECRET.encode(), "refused: temporarily_sad"),
        (400, b'{"error": "%s"}' % SECRET.encode(), "HTTP 400"),
        (403, b"<html>", "not accepted (HTTP 403)"),
        (302, b"", "answers with a redirect, which is not followed"),
        (404, b"<html>", "HTTP 404. Ask an administrator"),
        (429, b"", "busy or does not work just now (HTTP 429)"),
        (500, b"", "busy or does not work just now (HTTP 500)"),
        (200, b"<html>", "no usable token. This looks like JSON, but is cut short"),
        (200, b'{"token": "abc"}', "holds no access_token"),
        (200, b'{"access_token": "a b"}', "no usable token"),
        (200, b'{"access_token": "abc", "token_type": "mac"}', "another type"),
        (200, b"x" * 70_000, "no usable answer"),
    ],
)
def test_whatever_the_endpoint_answers_is_said_in_words(operator, endpoint, tms, status, body, words):
    endpoint(status, body, Location=f"{tms.url}/oauth2/token")
    page = operator.post("/token/", CLIENT)
    assert page.status_code in (400, 502)
    assert words in text_of(page)
    assert SECRET not in page.content.decode()


def test_an_endpoint_that_is_not_there_is_named_as_what_it_is(operator, settings):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.TMS_TOKEN_URLS = {"evian3": f"http://127.0.0.1:{closed.getsockname()[1]}/token"}
        page = operator.post("/token/", CLIENT)
    assert page.status_code == 502
    assert "Ask whoever runs the token endpoint whether it is running" in text_of(page)
    assert "TMS_TOKEN_URLS" in text_of(page)


def test_who_may_not_send_and_sites_without_an_endpoint_have_no_such_page(operator, audrey, tms, settings):
    assert "Get a token" in text_of(operator.get("/"))
    assert operator.get("/token/?cluster=evian3").status_code == 200
    assert signed_in(audrey).post("/token/", CLIENT).status_code == 403
    settings.TMS_TOKEN_URLS = {}
    assert operator.post("/token/", CLIENT).status_code == 404
    assert "Get a token" not in text_of(operator.get("/"))


def test_enter_in_a_field_of_the_form_asks_for_no_token(operator):
    html = operator.get("/").content.decode()
    pressed, *others = re.findall(r'<button type="submit"[^>]*>', html.partition('action="/review/')[2])
    assert "formaction" not in pressed  # a browser presses the first one
    assert any("formaction" in button for button in others)


def test_the_password_of_the_account_is_not_sent_as_a_secret_and_nobody_can_guess_secrets(operator, tms):
    page = operator.post("/token/", CLIENT | {"client_secret": PASSWORD})
    assert (page.status_code, "This is the password of your account" in text_of(page)) == (400, True)
    for _ in range(get_token.PER_MINUTE):
        assert operator.post("/token/", CLIENT | {"client_secret": "wrong"}).status_code == 400
    answer = operator.post("/token/", CLIENT)
    assert (answer.status_code, answer["Retry-After"]) == (429, "60")


def test_no_more_endpoints_are_asked_at_once_than_clusters_are_read(operator, tms, monkeypatch):
    monkeypatch.setattr(limits, "READS_AT_ONCE", mine[Cell.READS])
    page = operator.post("/token/", CLIENT)
    assert (page.status_code, "The dashboard is busy" in text_of(page)) == (503, True)


def test_a_token_among_the_ids_does_not_go_along(operator, tms):
    page = operator.post("/token/", {"cids": f"a1\n{TOKEN}", "token": TOKEN})
    assert TOKEN not in page.content.decode()


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_report_holds_no_secret(olivia, tms, settings, monkeypatch, caplog, debug):
    settings.TMS_TOKEN_URLS, settings.DEBUG = {"evian3": f"{tms.url}/oauth2/token"}, debug

    def explode(*args, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr(client._Exchange, "answer_within", explode)
    answer = signed_in(olivia, raise_request_exception=False).post("/token/", CLIENT)
    assert answer.status_code == 500
    assert "RuntimeError" in caplog.text
    assert SECRET not in answer.content.decode() + caplog.text


def test_what_was_typed_is_not_lost_with_a_session_but_the_secret_is(operator):
    typed = {"cluster": "evian3", "action": "T-Enable", "note": "CHG-1", "cids": "zebra", "token": TOKEN}
    back = operator.get(sign_in(operator, late(operator, form="/token/", data=typed)).url)
    carried = {"action": "T-Enable", "note": "CHG-1", "cids": "zebra"}
    assert hidden_fields(back).items() >= carried.items()
    late_again = late(operator, "/token/", "/token/", carried | CLIENT)
    again = operator.get(sign_in(operator, late_again).url)
    assert hidden_fields(again).items() >= carried.items()
    assert SECRET not in again.content.decode()
    assert SECRET.encode() not in stored_bytes()
