"""How long a session lasts, and that noting its use costs nobody anything."""

import re

import pytest
from django.db import OperationalError, connections
from django.test import Client

from tmsdash.models import Session, SessionStore
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import Clock
from tmsdash.web import sessions

IDLE_S, MAX_S = 900, 43_200
START = 1_000_000.0


@pytest.fixture
def clock(monkeypatch):
    """What the time is for sessions."""
    clock = Clock(START)
    monkeypatch.setattr(sessions, "time", clock)
    return clock


@pytest.fixture
def at(clock, olivia):
    """Ask for a page some seconds after the start; tells whether olivia is signed in still."""
    client = signed_in(olivia)

    def ask(seconds, path="/api/jobs/mine", **request):
        clock.now = START + seconds
        return client.get(path, **request).status_code == 200

    ask.client, ask.clock = client, clock
    assert ask(0)
    return ask


def test_a_session_ends_without_requests(at):
    assert at(IDLE_S)
    assert not at(2 * IDLE_S + 1)
    assert not at(2 * IDLE_S + 2)  # and does not come back
    assert not Session.objects.exists()


def test_each_request_keeps_it(at):
    for seconds in range(0, 10 * IDLE_S, IDLE_S - 100):
        assert at(seconds)


def test_a_page_that_asks_by_the_clock_does_not_keep_it(at):
    for seconds in range(0, IDLE_S, 60):
        assert at(seconds, headers={"HX-Request": "true"})
    assert not at(IDLE_S + 1, headers={"HX-Request": "true"})


def test_a_page_that_asks_by_the_clock_is_loaded_anew_when_the_session_is_over(at):
    assert not at(IDLE_S + 1)
    answer = at.client.get("/batches/", headers={"HX-Request": "true"})
    assert (answer.headers["HX-Refresh"], answer.content) == ("true", b"")
    assert at.client.get("/batches/").headers["Location"] == "/login/?next=/batches/"


def test_it_ends_at_last_however_busy(at):
    for seconds in range(0, MAX_S + 1, 600):
        assert at(seconds)
    assert not at(MAX_S + 1)


@pytest.mark.parametrize(("idle_s", "max_s", "ends"), [(5, 100, 6), (900, 7, 8)])
def test_both_limits_are_settings(at, settings, idle_s, max_s, ends):
    settings.SESSION_IDLE_S, settings.SESSION_MAX_S = idle_s, max_s
    assert at(ends - 1)
    at.client.get("/jobs/")
    assert not at(ends + (ends - 1 if idle_s < max_s else 0) + 1)


def test_pages_lead_to_sign_in_and_back(at):
    at(2 * IDLE_S)
    assert at.client.get("/jobs/?whose=all").url == "/login/?next=/jobs/%3Fwhose%3Dall"


def test_its_use_is_written_once_a_minute(at, monkeypatch):
    saved = []
    save = SessionStore.save_unless_ended
    monkeypatch.setattr(SessionStore, "save_unless_ended", lambda store: saved.append(1) or save(store))
    for seconds in range(1, 121):
        assert at(seconds)
    assert len(saved) == 2


def test_that_its_use_cannot_be_written_costs_nobody_the_answer(at, monkeypatch, caplog):
    def fail(*args, **values):
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT nonsense")

    with monkeypatch.context() as patch:
        patch.setattr(SessionStore, "save_unless_ended", fail)
        assert at(100)
    assert "The session could not be saved" in caplog.text
    assert at(101)


def test_a_session_that_was_ended_elsewhere_meanwhile_is_over(at, monkeypatch):
    save = SessionStore.save_unless_ended

    def signed_out_meanwhile(store):
        Session.objects.all().delete()
        return save(store)

    monkeypatch.setattr(SessionStore, "save_unless_ended", signed_out_meanwhile)
    assert not at(100)


@pytest.mark.parametrize("words", ["DELETE", "UPDATE"])
def test_a_database_that_takes_no_writes_neither_prolongs_nor_ends_a_session(at, fetch, tms, words):
    def refuse(execute, sql, *args):
        if sql.startswith(words) and "tmsdash_session" in sql:
            raise OperationalError("disk is full")
        return execute(sql, *args)

    with connections["default"].execute_wrapper(refuse):
        assert at(100)
        assert at(IDLE_S - 1)
        answer = fetch(client=at.client)
        assert answer.status_code == 200
        at(3 * IDLE_S)
        assert fetch(client=at.client).status_code == 401
        assert at.client.get("/jobs/").status_code == 302
    assert len(tms.calls()) == 1


@pytest.mark.sqlite
def test_health_names_the_database_of_sessions_to_users_too(olivia, monkeypatch, tmp_path):
    client = signed_in(olivia)
    connections["default"].close()
    with monkeypatch.context() as patch:
        patch.setitem(connections["default"].settings_dict, "NAME", str(tmp_path / "nothing" / "app.db"))
        answer = client.get("/health")
        connections["default"].close()
    assert (answer.status_code, answer.json()["databases"]) == (503, "default")


def test_the_cookie_ends_with_the_browser_and_is_out_of_reach_of_scripts(olivia):
    cookies = Client().post("/login/", {"username": "olivia", "password": PASSWORD}).cookies
    for name in ("sessionid", "csrftoken"):
        assert (cookies[name]["httponly"], cookies[name]["samesite"]) == (True, "Lax")
    assert cookies["sessionid"]["max-age"] == cookies["sessionid"]["expires"] == ""


def test_the_site_sets_no_other_cookies(adam, olivia, settings):
    client = signed_in(adam)
    client.post(f"/admin/auth/user/{olivia.pk}/delete/", {"post": "yes"})  # which leaves a message for the next page
    assert "was deleted successfully" in client.get("/admin/auth/user/").content.decode()
    client.get("/password/")
    names = {settings.SESSION_COOKIE_NAME: "sessionid", settings.CSRF_COOKIE_NAME: "csrftoken"}
    assert set(client.cookies) == {*names, *names.values()}


def test_a_session_survives_a_new_secret_key_while_the_old_one_is_a_fallback(olivia, settings):
    client, old = signed_in(olivia), settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another-key-" * 5, [old]
    assert client.get("/api/jobs/mine").status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert client.get("/api/jobs/mine").status_code == 200  # that request signed it anew
    other = signed_in(olivia)
    settings.SECRET_KEY = "yet-another-key-" * 4
    assert other.get("/api/jobs/mine").status_code == 401


FORGOTTEN = '"storage"'


def test_the_browser_forgets_what_a_session_left_when_it_ends(at, olivia):
    assert signed_in(olivia).post("/logout/")["Clear-Site-Data"] == FORGOTTEN
    assert signed_in(olivia).post("/admin/logout/")["Clear-Site-Data"] == FORGOTTEN
    assert "Clear-Site-Data" not in at.client.get("/jobs/")
    at.clock.now += IDLE_S + 1
    answer = at.client.get("/jobs/")
    assert (answer.status_code, answer["Clear-Site-Data"]) == (302, FORGOTTEN)
    assert "Clear-Site-Data" not in at.client.get("/login/")


@pytest.mark.parametrize("path", ["/", "/jobs/", "/nonsense/", "/admin/", "/admin/jobs/job/"])
def test_every_page_of_somebody_knows_when_to_empty_itself(adam, path):
    page = signed_in(adam).get(path).content.decode()
    data = 'data-session="/api/session" data-sign-in="/login/" data-keep="/keep/" data-left-s="900" data-idle-s="900"'
    assert re.search(rf'<script src="/static/session\S*" {data} defer>', page)


def test_pages_of_nobody_do_not_empty_themselves(databases):
    assert b"session.js" not in Client().get("/login/").content


def test_a_page_hears_how_long_its_session_lasts_which_prolongs_nothing_until_somebody_stays(at):
    def ask(seconds, verb="get"):
        at.clock.now = START + seconds
        answer = getattr(at.client, verb)("/api/session", headers={"HX-Request": "true"})
        return answer.json()["seconds_left"] if answer.status_code == 200 else answer.status_code

    assert [ask(seconds) for seconds in (60, IDLE_S - 1)] == [IDLE_S - 60, 1]
    assert [ask(IDLE_S - 1, "post"), ask(2 * IDLE_S - 2), ask(2 * IDLE_S)] == [IDLE_S, 1, 401]


def test_a_page_hears_when_the_session_ends_whatever_its_user_does(at):
    for seconds in range(0, MAX_S, 800):
        assert at(seconds)
    at.clock.now = START + MAX_S - 60
    answer = at.client.post("/api/session").json()
    assert (answer["seconds_left"], answer["is_last"], answer["max_hours"]) == (60, True, 12)
