"""axe-core looks at signing in, sessions and errors, and at what frames every page."""

import pytest
from django.db import OperationalError, connections
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect

from audit.accounts.second_factors.middleware import MISSING
from audit.accounts.second_factors.tests.test_second_factors import PAGE as SECOND_FACTOR
from audit.accounts.second_factors.tests.test_second_factors import clock, enter, field, set_up  # noqa: F401 (a fixture)
from audit.accounts.tests.test_sign_in import sign_in
from audit.accounts.tests.test_sign_in_throttling import fail
from audit.choices import Kind
from audit.models import AuditEntry
from audit.tests.making import make_attempt
from setactions.pages.tests.test_late_posts import HERE, TYPED, late
from setactions.pages.tests.test_without_databases import fail as database_error
from tmsdash import banners
from tmsdash.models import Banner, TimerRun
from tmsdash.passwords.initial import note_given
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


def test_second_factor(accessible, olivia, clock):  # noqa: F811
    client, form = signed_in(olivia), {"password": PASSWORD}
    add = {"do": "add", "sealed": field(client.get(SECOND_FACTOR), "sealed"), "code": "000000"}
    accessible(client.post(SECOND_FACTOR, form | add), "with a wrong code")
    set_up(client, clock)
    accessible(client.get(SECOND_FACTOR), "that is set up")
    accessible(client.post(SECOND_FACTOR, form | {"do": "renew"}), "with recovery codes")
    accessible(client.post(SECOND_FACTOR, {"do": "remove", "password": "wrong"}), "with the wrong password")
    browser = Client()
    accessible(sign_in(client=browser), "and a code")
    accessible(enter("000000", browser), "and a wrong code")
    session = client.session
    session[MISSING] = True
    session.save()
    client.post(SECOND_FACTOR, form | {"do": "remove"})
    accessible(client.get(SECOND_FACTOR), "that is missing")


def test_password_that_was_given(accessible, olivia):
    note_given(olivia)
    accessible(signed_in(olivia).get("/password/"), "that was given")


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
    accessible(Client().post("/review/", {"cids": "a" * (70 << 10)}), "that is too large", 413)
    attempt = make_attempt(Kind.ACCEPTED)
    monkeypatch.setattr("audit.views.entries_of", lambda _: AuditEntry.objects.none())
    accessible(signed_in(olivia).get(f"/attempts/{attempt.attempt_id}/evidence.zip"), "that is archived", 410)


def test_header(draw, no_violations, olivia, audrey, adam):
    """Of other pages the main part counts: what frames it is the same for each role, and looked at here."""
    for user in (olivia, audrey, adam):
        no_violations(draw(signed_in(user).get("/jobs/")), f"{user}'s jobs")
    no_violations(draw(Client().get("/login/")), "signing in")


def test_announcements_and_shortcuts(draw, no_violations, adam):
    for kind in Banner.Kind:
        Banner.objects.create(kind=kind, text="Back at ten.", changed_at=timezone.now())
    TimerRun.objects.create(name="backup", ended_at=timezone.now(), succeeded=False)
    banners.forget()
    page = draw(signed_in(adam).get("/help/"))
    expect(page.locator(".banner")).to_have_count(len(Banner.Kind) + 1)
    no_violations(page, "help, with announcements and a timer that failed")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    no_violations(page, "help, with the shortcuts open")
    no_violations(draw(signed_in(adam).get("/styles/")), "styles, with announcements of its own")


def test_display_that_was_chosen(draw, no_violations, olivia):
    client = signed_in(olivia)
    chosen = {"theme": "light", "time_zone": "Europe/Zurich", "shortcuts": "off", "next": "/display/"}
    page = draw(client.post("/display/", chosen, follow=True))
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    no_violations(page, "display, chosen")
    no_violations(draw(client.post("/display/", {"time_zone": "Mars/Olympus"})), "display, wrong")


def test_file_that_was_chosen(draw, no_violations, olivia, tms):
    page = draw(signed_in(olivia).get("/"))
    for name, content in {"good.csv": b"customer_id\nc1\nc2\nc1\n", "bad.csv": b"town\nRome\n"}.items():
        page.locator("[name=csv_file]").set_input_files({"name": name, "mimeType": "text/csv", "buffer": content})
        expect(page.locator("[data-file]").get_by_text(name)).to_be_visible()
        expect(page.get_by_role("button", name="Remove the file")).to_be_visible()
        no_violations(page, f"New action, {name}")
