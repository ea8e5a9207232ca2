"""A password that somebody else gave is good for choosing one's own, and for nothing else."""

from datetime import timedelta
from io import StringIO
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.utils import timezone

from audit.accounts.tests.test_changes import NEW_PASSWORD, change_own
from tmsdash.models import InitialPassword
from tmsdash.passwords.initial import INITIAL_PASSWORD_DAYS
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import table_missing, text_of

pytestmark = pytest.mark.pages

GIVEN = "yellow submarine seven"


def set_by_admin(admin, user, **fields):
    form = {"usable_password": "true", "password1": GIVEN, "password2": GIVEN, "set-password": "1"}
    return signed_in(admin).post(f"/admin/auth/user/{user.pk}/password/", form | fields)


def sign_in(name, password):
    client = Client()
    assert client.post("/login/", {"username": name, "password": password}).status_code == 302
    return client


@pytest.fixture
def newcomer(adam, olivia):
    """olivia's client, who has signed in with a password that adam gave her."""
    assert set_by_admin(adam, olivia).status_code == 302
    return sign_in("olivia", GIVEN)


def must_choose(client):
    return client.get("/jobs/").get("Location") == "/password/"


def test_every_page_leads_to_the_page_that_changes_the_password(newcomer):
    for path in (
        "/",
        "/jobs/",
        "/batches/",
        "/customers/",
        "/attempts/0f5c2d8e-0000-4000-8000-000000000000/",
        "/login/",
    ):
        page = newcomer.get(path, follow=True)
        assert page.redirect_chain[-1][0] == "/password/", path
    assert "An administrator gave you this password and knows it." in text_of(page)
    assert "See where you are signed in" not in text_of(page)  # that would lead back here


def test_nothing_is_sent_and_json_says_why(newcomer, fetch, tms):
    for answer in (fetch(client=newcomer), newcomer.get("/api/jobs/mine"), newcomer.get("/api/audit/customer/a1")):
        assert (answer.status_code, answer.json()["outcome"]) == (403, "refused")
        assert "Choose one of your own first" in answer.json()["message"]
    form = {"cluster": "evian3", "action": "PE-Enable", "token": "x", "cids": "a1"}
    assert newcomer.post("/review/", form).url == "/password/"
    assert tms.calls() == []


def test_a_part_of_a_page_that_asks_again_reloads_the_page(newcomer):
    assert newcomer.get("/jobs/", headers={"HX-Request": "true"})["HX-Refresh"] == "true"


def test_the_admin_is_closed_too(adam, audrey):
    set_by_admin(adam, audrey)
    client = sign_in("audrey", GIVEN)
    for path in ("/admin/", "/admin/audit/attempt/", "/admin/auth/user/add/", "/admin/audit/attempt/export.csv"):
        assert client.get(path).url == "/password/"
        assert client.post(path).url == "/password/"
    assert client.get("/admin/password_change/").status_code == 200


def test_signing_out_and_health_go_on(newcomer):
    assert newcomer.get("/health").status_code == 200
    assert newcomer.post("/logout/").url == "/login/"
    assert newcomer.get("/jobs/").url == "/login/?next=/jobs/"


@pytest.mark.parametrize("path", ["/password/", "/admin/password_change/"])
def test_who_chose_a_password_of_their_own_goes_on(newcomer, path):
    assert "Your password was changed." in text_of(change_own(newcomer, GIVEN, path=path))
    assert newcomer.get("/jobs/").status_code == 200
    assert not must_choose(sign_in("olivia", NEW_PASSWORD))


def test_the_given_password_is_no_choice_of_ones_own(newcomer):
    page = change_own(newcomer, GIVEN, GIVEN)
    assert "This is your old password. Choose another one." in text_of(page)
    assert must_choose(newcomer)


def test_a_new_account_has_to_choose(adam):
    form = {"username": "nadia", "usable_password": "true", "password1": GIVEN, "password2": GIVEN}
    assert signed_in(adam).post("/admin/auth/user/add/", form).status_code == 302
    assert must_choose(sign_in("nadia", GIVEN))


def test_an_account_without_a_password_has_none_to_choose_until_it_gets_one(adam, olivia):
    form = {"username": "nadia", "usable_password": "false"}
    assert signed_in(adam).post("/admin/auth/user/add/", form).status_code == 302
    set_by_admin(adam, olivia)
    set_by_admin(adam, olivia, **{"usable_password": "false", "unset-password": "1"})
    assert not InitialPassword.objects.exists()


def test_administrators_choose_their_own_password_where_everybody_does(adam):
    assert set_by_admin(adam, adam).url == "/password/"
    client = sign_in("adam", PASSWORD)
    change_own(client)
    assert not must_choose(client)
    assert not must_choose(sign_in("adam", NEW_PASSWORD))


def test_a_password_that_the_form_refused_changes_nothing(adam, olivia):
    for password in ("short", "dashboard2026"):
        assert set_by_admin(adam, olivia, password1=password, password2=password).status_code == 200
    assert not must_choose(sign_in("olivia", PASSWORD))


def test_who_gets_a_password_by_command_has_to_choose(olivia):
    with patch("getpass.getpass", return_value=GIVEN):  # it insists on a terminal
        call_command("changepassword", "olivia", stdout=StringIO())
    assert must_choose(sign_in("olivia", GIVEN))


def test_who_makes_their_own_account_by_command_has_not(databases, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", GIVEN)
    call_command("createsuperuser", "--noinput", "--username", "root2", "--email", "", stdout=StringIO())
    assert not must_choose(sign_in("root2", GIVEN))


def test_accounts_that_were_there_before_go_on(olivia):
    assert not must_choose(sign_in("olivia", PASSWORD))


def test_after_some_days_a_given_password_is_good_for_nothing(adam, olivia, newcomer):
    given_at = timezone.now() - timedelta(days=INITIAL_PASSWORD_DAYS, minutes=-5)
    InitialPassword.objects.update(given_at=given_at)
    assert must_choose(newcomer)
    InitialPassword.objects.update(given_at=given_at - timedelta(minutes=10))
    for path in ("/password/", "/jobs/", "/admin/"):
        page = newcomer.get(path)
        assert (page.status_code, "Ask an administrator for a new one." in text_of(page)) == (403, True)
    assert "Ask an administrator" in newcomer.get("/api/jobs/mine").json()["message"]
    assert change_own(newcomer, GIVEN).status_code == 403
    assert newcomer.post("/logout/").url == "/login/"
    set_by_admin(adam, olivia)
    assert must_choose(sign_in("olivia", GIVEN))


def test_without_the_audit_no_password_is_given(adam, olivia):
    client = signed_in(adam, raise_request_exception=False)
    form = {"usable_password": "true", "password1": GIVEN, "password2": GIVEN, "set-password": "1"}
    with table_missing("audit", "audit_auditentry"):
        assert client.post(f"/admin/auth/user/{olivia.pk}/password/", form).status_code // 100 == 5
    assert not InitialPassword.objects.exists()


def test_a_user_with_a_given_password_can_be_deleted(adam, olivia, newcomer):
    assert signed_in(adam).post(f"/admin/auth/user/{olivia.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(username="olivia").exists()


def test_the_migration_leaves_accounts_alone_both_ways(adam, newcomer):
    before = list(User.objects.order_by("pk").values())
    call_command("migrate", "tmsdash", "zero", verbosity=0, discard=["tmsdash_initialpassword"])
    assert "tmsdash_initialpassword" not in connections["default"].introspection.table_names()
    call_command("migrate", verbosity=0)
    assert list(User.objects.order_by("pk").values()) == before
    assert not InitialPassword.objects.exists()
