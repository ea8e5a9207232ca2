"""axe-core looks at signing in, sessions and errors, and at what frames every page."""

import pytest
from django.db import OperationalError, connections
from django.test import Client

from audit.accounts.tests.test_sign_in import sign_in
from audit.accounts.tests.test_sign_in_throttling import fail
from setactions.pages.tests.test_late_posts import HERE, TYPED, late
from setactions.pages.tests.test_without_databases import fail as database_error
from tmsdash.tests.fixtures import PASSWORD, signed_in

pytestmark = [pytest.mark.chromium, pytest.mark.axe, pytest.mark.pages]


def test_signing_in(accessible, olivia):
    accessible(Client().get("/login/?next=/jobs/"), "to go on")
    accessible(sign_in(password="wrong"), "with the wrong password")
    fail()
    accessible(sign_in(), "locked", 429)
    accessible(late(signed_in(olivia)), "with a form that is kept", 401)


def test_password_and_sessions(accessible, olivia):
    client = signed_in(olivia)
    accessible(
        client.post("/password/", {"old_password": "wrong", "new_password1": "a", "new_password2": "b"}), "wrong"
    )
    accessible(
        client.post("/password/", {"old_password": PASSWORD, "new_password1": "a", "new_password2": "a"}), "weak"
    )
    sign_in()
    accessible(client.get("/sessions/"), "two")
    accessible(client.post("/sessions/", {"end": "others", "password": "wrong"}), "with the wrong password")
    accessible(client.post("/sessions/", {"end": "others", "password": PASSWORD}), "ended")


def test_errors(accessible, olivia, audrey, monkeypatch):
    for client in (Client(), signed_in(olivia, raise_request_exception=False)):
        accessible(client.get("/login/", headers={"Host": "evil.example"}), "of another host", 400)
    accessible(signed_in(audrey).post("/review/"), "not allowed", 403)
    accessible(signed_in(olivia).get("/nonsense/"), "not here", 404)
    accessible(Client(enforce_csrf_checks=True).post("/login/", TYPED, **HERE), "without its token", 403)
    with connections["audit"].execute_wrapper(lambda *_: database_error(OperationalError)):
        page = client.get("/activity/")
    accessible(page, "without a database", 503)
    monkeypatch.setattr("jobs.views.render", None)
    accessible(client.get("/jobs/"), "that went wrong", 500)


def test_header_and_banner(draw, no_violations, olivia, audrey, adam):
    """Of other pages the main part counts: what frames it is the same for each role, and looked at here."""
    for user in (olivia, audrey, adam):
        no_violations(draw(signed_in(user).get("/jobs/")), f"{user}'s jobs")
    no_violations(draw(Client().get("/login/")), "signing in")
