"""Who keeps accounts without being a superuser: raises nobody's rights, and gets at no superuser."""

import json

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User

from audit.accounts.admin import PRIVILEGES
from audit.accounts.tests.test_changes import NEW_PASSWORD, form_of, page_of
from audit.accounts.tests.test_sessions_page import is_in, sign_in
from audit.models import AuditEntry
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.pages

GIVEN_PASSWORD = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "set-password": "1"}


@pytest.fixture
def kate(databases):
    """A keeper of accounts: staff with every right to users and groups."""
    user = User.objects.create_user("kate", password=PASSWORD, is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="auth"))
    return user


def rights_of(user):
    user = User.objects.get(pk=user.pk)
    return user.is_staff, user.is_superuser, list(user.groups.all()), list(user.user_permissions.order_by("pk"))


def test_the_privileges_are_all_fields_of_an_account_that_give_rights():
    shown = {name for _, options in admin.site._registry[User].fieldsets for name in options["fields"]}
    assert shown - set(PRIVILEGES) == {
        *("username", "first_name", "last_name", "email", "is_active", "signed_in_last", "added")
    }


@pytest.mark.parametrize("whose", ["own", "another's"])
def test_they_give_rights_to_nobody_themselves_included(kate, olivia, whose):
    account, client = (kate if whose == "own" else olivia), signed_in(kate)
    before, path = rights_of(account), page_of(account)
    raised = {
        "is_staff": "on",
        "is_superuser": "on",
        "groups": [group.pk for group in Group.objects.all()],
        "user_permissions": [permission.pk for permission in Permission.objects.all()],
        "first_name": "Given",
    }
    assert client.post(path, form_of(client, path) | raised).status_code == 302
    assert rights_of(account) == before
    account.refresh_from_db()
    assert account.first_name == "Given"  # the rest of the form is taken
    new = {"username": "nadia", **GIVEN_PASSWORD, **raised}
    assert client.post("/admin/auth/user/add/", new).status_code == 302
    assert rights_of(User.objects.get(username="nadia")) == (False, False, [], [])


def test_the_rights_are_shown_to_them_as_text(kate, olivia):
    page = signed_in(kate).get(page_of(olivia))
    assert "Operators" in text_of(page)
    assert [name for name in PRIVILEGES if f'name="{name}"' in page.content.decode()] == []


def test_superusers_are_out_of_their_reach(kate, adam):
    client, admins = signed_in(kate), sign_in("adam")
    before = User.objects.values().get(pk=adam.pk)
    account = f"/admin/auth/user/{adam.pk}"
    posts = [
        (f"{account}/change/", {"username": "adam", "is_active": "", "email": "kate@example.com"}),
        (f"{account}/password/", GIVEN_PASSWORD),
        (f"{account}/password/", {"usable_password": "false", "unset-password": "1"}),
        (f"{account}/delete/", {"post": "yes"}),
        (f"{account}/sessions/", {"end": "all"}),
        ("/admin/auth/user/", {"action": "end_sessions_of_chosen", "_selected_action": [adam.pk]}),
    ]
    for path, form in posts:
        assert client.post(path, form).status_code == 403, path
    chosen = {"action": "delete_selected", "_selected_action": [adam.pk], "post": "yes"}
    client.post("/admin/auth/user/", chosen)
    assert User.objects.values().get(pk=adam.pk) == before | {"last_login": User.objects.get(pk=adam.pk).last_login}
    assert is_in(admins)


def test_one_superuser_among_the_chosen_keeps_all_their_sessions(kate, adam, olivia):
    clients = [sign_in("adam"), sign_in()]
    chosen = {"action": "end_sessions_of_chosen", "_selected_action": [adam.pk, olivia.pk]}
    answer = signed_in(kate).post("/admin/auth/user/", chosen)
    assert (answer.status_code, "No session was ended." in text_of(answer)) == (403, True)
    assert all(is_in(client) for client in clients)


def test_groups_are_changed_by_superusers_only(kate, adam):
    group = Group.objects.create(name="Friends")
    every = [
        *Permission.objects.filter(content_type__app_label="auth", codename__endswith="r").values_list("pk", flat=True)
    ]
    posts = [
        ("/admin/auth/group/add/", {"name": "Fiends", "permissions": every}),
        (f"/admin/auth/group/{group.pk}/change/", {"name": "Friends", "permissions": every}),
        (f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"}),
    ]
    client = signed_in(kate)
    for path, form in posts:
        assert client.post(path, form).status_code == 403, path
    client.post("/admin/auth/group/", {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"})
    assert client.get("/admin/auth/group/").status_code == 200  # to look at
    assert {group.name for group in Group.objects.all()} == {"Operators", "Auditors", "Friends"}
    assert not group.permissions.exists()
    assert signed_in(adam).post(*posts[1]).status_code == 302


def test_they_keep_other_accounts_and_the_audit_says_so(kate, olivia):
    client, olivias = signed_in(kate), sign_in()
    assert client.post(f"/admin/auth/user/{olivia.pk}/sessions/", {"end": "all"}).status_code == 302
    assert not is_in(olivias)
    assert client.post(f"/admin/auth/user/{olivia.pk}/password/", GIVEN_PASSWORD).status_code == 302
    path = page_of(olivia)
    assert client.post(path, form_of(client, path, is_active=None)).status_code == 302
    assert client.post(f"/admin/auth/user/{olivia.pk}/delete/", {"post": "yes"}).status_code == 302
    facts = AuditEntry.objects.filter(kind="SETTING_CHANGED", user_id="kate").order_by("sequence")
    assert [json.loads(entry.body)["change"] for entry in facts] == ["sessions ended", "changed", "changed", "deleted"]
