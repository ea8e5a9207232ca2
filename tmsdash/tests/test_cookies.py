"""Two sites on two ports of a host, in one browser, and scripts that know the plain names of cookies."""

import re

import pytest
from django.conf import settings as django_settings
from django.test import Client

from tmsdash.models import Session
from tmsdash.tests.fixtures import PASSWORD

pytestmark = pytest.mark.pages

NAMES = ["SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "PLAIN_COOKIE_NAMES"]
KEY, TOKEN = "k" * 32, "t" * 32


@pytest.fixture
def at(settings, settings_of):
    """What makes the process one of two sites, by its name; each has sessions of its own."""
    found = {site: settings_of(SECRET_KEY=site * 50) for site in "ab"}
    sessions, now = {"a": [], "b": []}, ["a"]

    def go(site):
        sessions[now[0]] = list(Session.objects.all())
        Session.objects.all().delete()
        Session.objects.bulk_create(sessions[site])
        now[0] = site
        for name in NAMES:
            setattr(settings, name, found[site][name])

    go("a")
    return go


class Browser(Client):
    """Asks for CSRF tokens; `submit` fills in a form of a page."""

    def __init__(self, **options):
        super().__init__(enforce_csrf_checks=True, **options)

    def submit(self, page, address, **typed):
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(page).content.decode())
        return self.post(address, typed | {"csrfmiddlewaretoken": found[1]})

    def sign_in(self):
        answer = self.submit("/login/", "/login/", username="olivia", password=PASSWORD)
        assert answer.status_code == 302

    def is_signed_in(self):
        """Whether a page and a form of one that is signed in work."""
        if self.get("/jobs/").status_code == 302:
            return False
        assert self.submit("/jobs/", "/display/", theme="dark").status_code == 302
        return True


def test_two_sites_on_two_ports_of_a_host_leave_each_other_alone(at, olivia, caplog):
    browser = Browser()
    for site in "aba":
        at(site)
        if site != "a" or not browser.cookies:
            browser.sign_in()
        assert browser.is_signed_in()
    for out, other in ("ab", "ba"):
        at(out)
        browser.submit("/jobs/", "/logout/")
        assert not browser.is_signed_in()
        at(other)
        assert browser.is_signed_in()
        at(out)
        assert not browser.is_signed_in()
        browser.sign_in()
        assert browser.is_signed_in()
        at(other)
        assert browser.is_signed_in()
    assert "corrupt" not in caplog.text


def test_a_script_that_knows_the_plain_names_alone_signs_in_works_and_signs_out(at, olivia):
    script = Browser()
    script.get("/login/")
    for path, typed in (
        ("/login/", {"username": "olivia", "password": PASSWORD}),
        ("/display/", {"theme": "dark"}),
        ("/logout/", {}),
    ):
        plain = {name: script.cookies[name].value for name in ("sessionid", "csrftoken") if name in script.cookies}
        alone = Browser()
        alone.cookies.load(plain)
        answer = alone.post(path, typed, headers={"X-CSRFToken": plain["csrftoken"]})
        assert answer.status_code == 302
        assert alone.get("/api/jobs/mine").status_code == (401 if path == "/logout/" else 200)
        script.cookies.update(alone.cookies)
    assert not Session.objects.exists()


def test_a_session_from_before_is_kept_when_a_neighbour_takes_the_plain_name(at, olivia):
    browser = Browser()
    browser.sign_in()
    del browser.cookies[django_settings.SESSION_COOKIE_NAME]
    browser.get("/jobs/")
    own, plain = (browser.cookies[name] for name in (django_settings.SESSION_COOKIE_NAME, "sessionid"))
    assert (own.value, dict(own)) == (plain.value, dict(plain))
    browser.cookies["sessionid"] = KEY
    assert browser.is_signed_in()


def test_what_a_neighbour_has_under_the_plain_names_is_not_used_kept_or_deleted(at, olivia, caplog):
    browser = Browser()
    browser.cookies["sessionid"], browser.cookies["csrftoken"] = KEY, TOKEN
    assert browser.get("/jobs/").status_code == 302
    assert (browser.cookies["sessionid"].value, Session.objects.exists(), caplog.text) == (KEY, False, "")
    browser.sign_in()
    browser.cookies["sessionid"], browser.cookies["csrftoken"] = KEY, TOKEN
    refused = browser.post("/display/", {"theme": "dark"}, headers={"X-CSRFToken": TOKEN})
    assert (refused.status_code, browser.is_signed_in()) == (403, True)
    Session.objects.all().delete()
    browser.get("/jobs/")
    assert browser.cookies["sessionid"].value == KEY
    assert browser.cookies[django_settings.SESSION_COOKIE_NAME].value == ""
