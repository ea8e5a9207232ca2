"""Guessing at the password in a session that was taken over: a few tries, then it is over."""

import json

import pytest
from django.conf import settings
from django.test import Client

from audit.choices import Kind
from audit.models import AuditEntry
from tmsdash.models import Session
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import at_once, table_missing, text_of

pytestmark = pytest.mark.pages

ADDRESS = "203.0.113.7"
NEW_PASSWORD = "another battery staple horse"
PATHS = ["/password/", "/admin/password_change/", "/sessions/"]


def guess(client, old="wrong", path="/password/", address=ADDRESS):
    form = {"old_password": old, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    if path == "/sessions/":
        form = {"end": "others", "password": old}
    return client.post(path, form, REMOTE_ADDR=address)


def sign_in(password, address=ADDRESS):
    return Client().post("/login/", {"username": "olivia", "password": password}, REMOTE_ADDR=address).status_code


def facts():
    rows = AuditEntry.objects.order_by("sequence").values_list("kind", "user_id", "ip_address", "body")
    return [(kind, user, address, json.loads(body)) for kind, user, address, body in rows]


@pytest.mark.parametrize("path", PATHS)
def test_after_five_wrong_ones_the_session_ends_and_the_right_one_has_to_wait(olivia, path):
    client = signed_in(olivia)
    answers = [guess(client, path=path) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
    assert answers[-1]["Retry-After"] == "900"
    assert "so you were signed out. Wait 15 minutes" in text_of(answers[-1])
    assert guess(client, PASSWORD, path).url == f"/login/?next={path}"
    assert not Session.objects.exists()
    assert sign_in(PASSWORD) == 429
    assert sign_in(PASSWORD, "203.0.113.8") == 302


@pytest.mark.parametrize(("path", "at"), [("/password/", "change of password"), ("/sessions/", "sessions")])
def test_the_audit_has_each_guess_and_how_the_session_ended(olivia, path, at):
    client = signed_in(olivia)
    for _ in range(5):
        guess(client, path=path)
    *failures, end = facts()
    assert {entry[:3] for entry in failures} == {(Kind.SIGN_IN_FAILED, "olivia", ADDRESS)}
    assert {entry[3]["at"] for entry in failures} == {at}
    assert [entry[3]["throttled_from_now_on"] for entry in failures] == [False] * 4 + [True]
    assert end[:3] == (Kind.SIGNED_OUT, "olivia", ADDRESS)
    assert (end[3]["at"], end[3]["because"]) == (at, "wrong passwords")


def test_failures_at_sign_in_count_and_nothing_is_looked_at_any_more(olivia):
    client = signed_in(olivia)
    for _ in range(5):
        sign_in("wrong")
    assert guess(client, PASSWORD).status_code == 429
    olivia.refresh_from_db()
    assert olivia.check_password(PASSWORD)
    assert client.get("/jobs/").status_code == 302


@pytest.mark.parametrize("paths", [PATHS[:1] * 6, PATHS[2:] * 6, PATHS * 2])
def test_from_many_addresses_and_on_several_pages_it_is_the_same_session(olivia, paths):
    client = signed_in(olivia)
    codes = [guess(client, path=path, address=f"203.0.113.{at}").status_code for at, path in enumerate(paths)]
    assert codes == [200, 200, 200, 200, 429, 302]


def test_a_burst_from_many_addresses_has_no_more_guesses_than_a_row(olivia):
    client = signed_in(olivia)
    client.get("/jobs/")
    key = client.cookies[settings.SESSION_COOKIE_NAME].value

    def burst(number):
        thief = Client()
        thief.cookies["sessionid"] = key
        return guess(thief, address=f"203.0.113.{number}").status_code

    codes = at_once(10, burst)
    assert codes.count(200) == 4
    assert AuditEntry.objects.filter(kind=Kind.SIGN_IN_FAILED).count() == 5


def test_noting_the_use_of_a_session_does_not_forget_its_failures(olivia):
    client = signed_in(olivia)
    guess(client)
    session = client.session
    session["anything"] = 1
    session.save()
    assert Session.objects.get().wrong_passwords == 1


@pytest.mark.parametrize("path", PATHS)
def test_the_right_one_clears_the_count(olivia, path):
    client = signed_in(olivia)
    for _ in range(4):
        guess(client)
    assert guess(client, PASSWORD, path).status_code == 302
    assert [guess(client).status_code for _ in range(4)] == [200] * 4


def test_an_administrator_does_not_get_round_the_old_one(adam):
    form = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "set-password": "1"}
    client = signed_in(adam)
    for spelling in (f"{adam.pk}", f"0{adam.pk}", f"+{adam.pk}"):
        assert client.post(f"/admin/auth/user/{spelling}/password/", form).url == "/password/"
    adam.refresh_from_db()
    assert adam.check_password(PASSWORD)


@pytest.mark.parametrize("form", [{}, {"new_password1": "x"}, {"old_password": ""}])
def test_an_incomplete_form_is_no_guess(olivia, form):
    client = signed_in(olivia)
    assert [client.post("/password/", form).status_code for _ in range(6)] == [200] * 6
    assert not AuditEntry.objects.exists()


def test_the_session_ends_though_the_audit_fails(olivia):
    client = signed_in(olivia)
    with table_missing("audit", "audit_auditentry"):
        assert [guess(client).status_code for _ in range(5)][-1] == 429
    assert client.get("/jobs/").status_code == 302
