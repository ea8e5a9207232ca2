"""Changes to accounts, groups and permissions: each is in the audit, or is not made; auditors make none."""

import json
import re
from io import StringIO
from unittest.mock import patch

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command

from audit.choices import Kind
from audit.models import AuditEntry
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import table_missing, text_of

NEW_PASSWORD = "another battery staple horse"
OPERATOR = {
    "name": "olivia",
    "has_password": True,
    "permissions": [],
    "groups": ["Operators"],
    "is_active": True,
    "is_staff": False,
    "is_superuser": False,
}


def form_of(client, path, **changes):
    """The fields of the admin's form as the page shows them, with `changes`; None takes one away."""
    form = client.get(path).context["adminform"].form
    data = {}
    for field in form:
        value = field.value()
        if hasattr(value, "all") or isinstance(value, list):
            data[field.html_name] = [getattr(item, "pk", item) for item in value]
        elif value not in (None, False):
            data[field.html_name] = value
    data |= changes
    return {name: value for name, value in data.items() if value is not None}


def facts():
    """What the audit has of the last change: who made it, and what it was."""
    entry = AuditEntry.objects.latest("sequence")
    assert (entry.kind, entry.attempt_id) == (Kind.SETTING_CHANGED, None)
    return entry.user_id, json.loads(entry.body)


@pytest.fixture
def admin(adam):
    return signed_in(adam, REMOTE_ADDR="203.0.113.7")


def page_of(user):
    return f"/admin/auth/user/{user.pk}/change/"


def test_deactivating_a_user_is_audited(admin, olivia):
    path = page_of(olivia)
    assert admin.post(path, form_of(admin, path, is_active=None)).status_code == 302
    assert facts() == (
        "adam",
        {
            "what": "user",
            "name": "olivia",
            "change": "changed",
            "fields": ["Active"],
            "before": OPERATOR,
            "after": OPERATOR | {"is_active": False},
        },
    )
    assert AuditEntry.objects.latest("sequence").ip_address == "203.0.113.7"


def test_groups_and_permissions_of_a_user_are_audited(admin, olivia):
    path = page_of(olivia)
    view = Permission.objects.get(codename="view_job")
    auditors = Group.objects.get(name="Auditors")
    admin.post(path, form_of(admin, path, groups=[auditors.pk], user_permissions=[view.pk]))
    _, body = facts()
    assert (body["before"]["groups"], body["after"]["groups"]) == (["Operators"], ["Auditors"])
    assert (body["before"]["permissions"], body["after"]["permissions"]) == ([], ["jobs.view_job"])


def test_adding_and_deleting_a_user_is_audited(admin, olivia):
    new = {"username": "nadia", "usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert admin.post("/admin/auth/user/add/", new).status_code == 302
    who, body = facts()
    assert (who, body["name"], body["change"], body["after"]["groups"]) == ("adam", "nadia", "added", [])
    assert NEW_PASSWORD not in str(body)

    admin.post(f"/admin/auth/user/{olivia.pk}/delete/", {"post": "yes"})
    assert facts()[1] == {"what": "user", "name": "olivia", "change": "deleted", "before": OPERATOR}


def test_deleting_many_users_is_audited_one_by_one(admin, olivia, oscar):
    chosen = {"action": "delete_selected", "_selected_action": [olivia.pk, oscar.pk], "post": "yes"}
    admin.post("/admin/auth/user/", chosen)
    names = [json.loads(body)["name"] for body in AuditEntry.objects.values_list("body", flat=True)]
    assert sorted(names) == ["olivia", "oscar"]
    assert not User.objects.filter(username__in=names).exists()


def test_permissions_of_a_group_are_audited(admin):
    group = Group.objects.get(name="Operators")
    path = f"/admin/auth/group/{group.pk}/change/"
    decide = Permission.objects.get(codename="decide_attempt")
    data = form_of(admin, path)
    admin.post(path, data | {"permissions": [*data["permissions"], decide.pk]})
    _, body = facts()
    assert (body["what"], body["name"], body["fields"]) == ("group", "Operators", ["Permissions"])
    assert body["before"] == {"name": "Operators", "permissions": ["jobs.set_action"]}
    assert body["after"] == {"name": "Operators", "permissions": ["audit.decide_attempt", "jobs.set_action"]}


def test_permissions_that_nothing_asks_for_are_offered_to_those_alone_that_have_them(admin):
    group, unasked = Group.objects.create(name="Friends"), Permission.objects.get(codename="add_job")
    path = f"/admin/auth/group/{group.pk}/change/"

    def offered():
        keys = re.findall(r'name="permissions" value="([0-9]+)"', admin.get(path).content.decode())
        return {*Permission.objects.filter(pk__in=keys).values_list("codename", flat=True)}

    before = offered()
    asked_for = {"set_action", "decide_attempt", "view_job", "view_jobcustomer", "view_auditentry"}
    assert before > asked_for | {f"{does}_{what}" for does in ("view", "add") for what in ("user", "group", "banner")}
    assert before.isdisjoint({"add_job", "change_attempt", "view_session", "add_permission", "view_authenticator"})
    group.permissions.add(unasked)
    assert offered() == before | {"add_job"}
    admin.post(path, form_of(admin, path))
    assert group.permissions.get() == unasked


def test_a_new_name_of_a_group_is_audited_with_the_old_one(admin):
    path = f"/admin/auth/group/{Group.objects.create(name='Friends').pk}/change/"
    admin.post(path, form_of(admin, path, name="Fiends"))
    _, body = facts()
    assert (body["name"], body["before"]["name"], body["after"]["name"]) == ("Fiends", "Friends", "Fiends")


def test_nobody_gets_anothers_name_and_with_it_their_jobs(admin, olivia):
    path = page_of(olivia)
    assert admin.post(path, form_of(admin, path) | {"username": "oscar"}).status_code == 302
    olivia.refresh_from_db()
    assert olivia.username == "olivia"


@pytest.mark.parametrize("name", ["Operators", "Auditors"])
def test_groups_that_mean_something_keep_their_name_and_stay(admin, name):
    group = Group.objects.get(name=name)
    path = f"/admin/auth/group/{group.pk}/"
    admin.post(f"{path}change/", {"name": "Harmless", "permissions": []})
    assert admin.post(f"{path}delete/", {"post": "yes"}).status_code == 403
    admin.post("/admin/auth/group/", {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"})
    assert Group.objects.filter(name=name).exists()
    other = Group.objects.create(name="Friends")
    assert admin.post(f"/admin/auth/group/{other.pk}/delete/", {"post": "yes"}).status_code == 302


def test_a_password_that_is_taken_away_is_audited(admin, olivia):
    admin.post(f"/admin/auth/user/{olivia.pk}/password/", {"usable_password": "false", "unset-password": "1"})
    _, body = facts()
    assert (body["before"]["has_password"], body["after"]["has_password"]) == (True, False)


def test_a_password_that_an_administrator_sets_is_audited_and_not_kept(admin, olivia):
    form = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "set-password": "1"}
    assert admin.post(f"/admin/auth/user/{olivia.pk}/password/", form).status_code == 302
    who, body = facts()
    assert (who, body["name"], body["fields"]) == ("adam", "olivia", ["password"])
    assert NEW_PASSWORD not in str(body)
    olivia.refresh_from_db()
    assert olivia.check_password(NEW_PASSWORD)


# -- One's own password -------------------------------------------------------------------------------------------


def change_own(client, old=PASSWORD, new=NEW_PASSWORD, path="/password/"):
    return client.post(path, {"old_password": old, "new_password1": new, "new_password2": new}, follow=True)


@pytest.mark.parametrize("path", ["/password/", "/admin/password_change/"])
def test_users_change_their_own_password_and_stay_signed_in_only_here(audrey, path):
    here, elsewhere = signed_in(audrey), signed_in(audrey)
    assert "Your password was changed." in text_of(change_own(here, path=path))
    assert facts() == ("audrey", {"what": "user", "name": "audrey", "change": "password"})
    assert here.get("/jobs/").status_code == 200
    assert elsewhere.get("/jobs/").status_code == 302


@pytest.mark.parametrize(("old", "new"), [("wrong", NEW_PASSWORD), (PASSWORD, "short"), (PASSWORD, "olivia12345")])
def test_what_is_no_good_password_changes_nothing(olivia, old, new):
    page = change_own(signed_in(olivia), old, new)
    assert "Your password was not changed" in text_of(page)
    assert AuditEntry.objects.filter(kind=Kind.SIGN_IN_FAILED).count() == (old == "wrong")
    assert not AuditEntry.objects.filter(kind=Kind.SETTING_CHANGED).exists()
    olivia.refresh_from_db()
    assert olivia.check_password(PASSWORD)


# -- When the audit fails -----------------------------------------------------------------------------------------


def test_without_the_audit_nothing_is_changed(adam, olivia):
    client = signed_in(adam)
    client.raise_request_exception = False
    path = page_of(olivia)
    changed = form_of(client, path, is_superuser="on", is_active=None)
    new = {"username": "nadia", "usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    posts = [
        (path, changed),
        ("/admin/auth/user/add/", new),
        (f"/admin/auth/user/{olivia.pk}/delete/", {"post": "yes"}),
        ("/admin/auth/user/", {"action": "delete_selected", "_selected_action": [olivia.pk], "post": "yes"}),
        (f"/admin/auth/user/{olivia.pk}/password/", new | {"set-password": "1"}),
        ("/admin/auth/group/add/", {"name": "Friends"}),
    ]
    with table_missing("audit", "audit_auditentry"):
        assert {client.post(*post).status_code // 100 for post in posts} == {5}
        assert change_own(signed_in(olivia, raise_request_exception=False)).status_code // 100 == 5
    assert set(User.objects.values_list("username", flat=True)) == {"adam", "olivia"}
    assert not Group.objects.filter(name="Friends").exists()
    olivia.refresh_from_db()
    assert (olivia.is_active, olivia.is_superuser, olivia.check_password(PASSWORD)) == (True, False, True)


# -- Auditors -----------------------------------------------------------------------------------------------------


def test_an_auditor_changes_nothing_whatever_else_they_are(adam, olivia):
    adam.groups.add(Group.objects.get(name="Auditors"))
    client = signed_in(adam)
    path = page_of(olivia)
    assert client.get(path).status_code == 200
    assert 'name="_save"' not in client.get(path).content.decode()
    for target in (
        path,
        "/admin/auth/user/add/",
        f"/admin/auth/user/{olivia.pk}/delete/",
        f"/admin/auth/user/{olivia.pk}/password/",
    ):
        assert client.post(target, {"username": "olivia", "post": "yes"}).status_code == 403
    client.post("/admin/auth/user/", {"action": "delete_selected", "_selected_action": [olivia.pk], "post": "yes"})
    assert User.objects.filter(pk=olivia.pk, is_active=True).exists()
    assert not AuditEntry.objects.exists()


# -- Commands -----------------------------------------------------------------------------------------------------


def test_an_administrator_made_by_command_is_audited(databases, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", NEW_PASSWORD)
    call_command("createsuperuser", "--noinput", "--username", "root2", "--email", "", stdout=StringIO())
    who, body = facts()
    assert re.fullmatch(r".+@.+", who)
    assert (body["name"], body["change"], body["after"]["is_superuser"]) == ("root2", "added", True)


def test_a_weak_password_of_the_environment_gets_a_warning_that_does_not_show_it(databases, monkeypatch):
    told = StringIO()
    for name, password in (("root2", "dashboard-1"), ("root3", NEW_PASSWORD)):
        monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
        call_command("createsuperuser", "--noinput", "--username", name, "--email", "", stdout=StringIO(), stderr=told)
    assert told.getvalue().count("Warning: DJANGO_SUPERUSER_PASSWORD is weak. This password is too short.") == 1
    assert "dashboard-1" not in told.getvalue()


def test_a_password_changed_by_command_is_audited(olivia):
    with patch("getpass.getpass", return_value=NEW_PASSWORD):  # it insists on a terminal
        call_command("changepassword", "olivia", stdout=StringIO())
    assert facts()[1]["change"] == "password"
    olivia.refresh_from_db()
    assert olivia.check_password(NEW_PASSWORD)


def test_a_command_says_when_the_audit_could_not_be_written(olivia):
    with table_missing("audit", "audit_auditentry"), patch("getpass.getpass", return_value=NEW_PASSWORD):
        with pytest.raises(CommandError, match="The account was changed, but the audit could not be written"):
            call_command("changepassword", "olivia", stdout=StringIO())
