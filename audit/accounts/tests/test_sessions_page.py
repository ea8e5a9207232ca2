"""One's own sessions: which there are, and ending them."""

import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.backends.base import UpdateError
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from audit.accounts.tests.test_changes import form_of
from audit.choices import Kind
from audit.models import AuditEntry
from tmsdash.models import BEGUN, Session
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import table_missing, text_of

pytestmark = pytest.mark.pages

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def sign_in(name="olivia", address="203.0.113.7", agent=FIREFOX):
    client = Client(headers={"User-Agent": agent}, REMOTE_ADDR=address)
    assert client.post("/login/", {"username": name, "password": PASSWORD}).status_code == 302
    return client


def is_in(client):
    return client.get("/api/jobs/mine").status_code == 200


def end(client, chosen, password=PASSWORD, **kwargs):
    return client.post("/sessions/", {"end": chosen, "password": password}, **kwargs)


def ids_on(page):
    return re.findall(r'name="end"\s+value="([0-9a-f]{32})"', page.content.decode())


def last_entry():
    entry = AuditEntry.objects.latest("sequence")
    return entry.kind, entry.user_id, json.loads(entry.body)


def test_it_shows_where_one_is_signed_in(olivia, oscar):
    here = sign_in()
    sign_in(address="2001:db8::7", agent="python-requests/2.32.4")
    sign_in("oscar", address="198.51.100.1")
    page = here.get("/sessions/")
    text = text_of(page)
    assert (text.count("203.0.113.7"), text.count("This session")) == (1, 1)
    assert "Firefox 128 on Linux" in text
    assert "2001:db8::7 python-requests/2.32.4" in text
    assert "198.51.100.1" not in text
    assert len(ids_on(page)) == 1


def test_the_keys_of_sessions_are_in_no_page_address_or_log(olivia, adam, caplog):
    caplog.set_level("DEBUG")
    here, there = sign_in(), sign_in()
    admin = sign_in("adam")
    pages = [here.get("/sessions/"), admin.get(f"/admin/auth/user/{olivia.pk}/sessions/")]
    answers = [end(here, ids_on(pages[0])[0])]
    shown = "".join(page.content.decode() + page.get("Location", "") for page in (*pages, *answers)) + caplog.text
    for client in (here, there, admin):
        assert client.cookies["sessionid"].value not in shown
    assert not any(row.session_key in str(row) for row in Session.objects.all())


def test_one_is_ended_and_the_others_go_on(olivia):
    here, lost, other = sign_in(), sign_in(address="198.51.100.1"), sign_in()
    lost_id = Session.objects.get(address="198.51.100.1").public_id
    page = end(here, lost_id, follow=True)
    assert "The session was ended." in text_of(page)
    assert [is_in(client) for client in (here, lost, other)] == [True, False, True]
    kind, user, body = last_entry()
    assert (kind, user, body["at"], body["sessions"]) == (Kind.SIGNED_OUT, "olivia", "sessions", 1)


def test_all_others_are_ended(olivia, oscar):
    here, *others = sign_in(), sign_in(), sign_in()
    stranger = sign_in("oscar")
    assert "2 sessions were ended." in text_of(end(here, "others", follow=True))
    assert [is_in(client) for client in (here, stranger, *others)] == [True, True, False, False]


@pytest.mark.parametrize("password", ["", "wrong", "x" * 1025, f" {PASSWORD}"])
def test_who_does_not_know_the_password_ends_nothing(olivia, password):
    here, other = sign_in(), sign_in()
    for chosen in ("others", *ids_on(here.get("/sessions/"))):
        page = end(here, chosen, password)
        assert (page.status_code, "No session was ended" in text_of(page)) == (200, True)
        assert len(ids_on(page)) == 1  # they are listed all the same
    assert is_in(other)
    assert AuditEntry.objects.filter(kind=Kind.SIGN_IN_FAILED).count() == (
        2 if password.strip() and len(password) < 1025 else 0
    )


def test_the_password_is_asked_for_where_there_is_something_to_end(olivia):
    here = sign_in()
    assert 'type="password"' not in here.get("/sessions/").content.decode()
    sign_in()
    assert 'type="password"' in here.get("/sessions/").content.decode()


def test_what_a_request_in_flight_saves_does_not_bring_an_ended_session_back(olivia):
    here, lost = sign_in(), sign_in()
    in_flight = lost.session
    assert in_flight[BEGUN]  # it is loaded
    end(here, "others")
    in_flight["anything"] = 1
    with pytest.raises(UpdateError):
        in_flight.save()
    assert not is_in(lost)


def test_ending_this_very_session_is_signing_out(olivia):
    here = sign_in()
    assert end(here, Session.objects.get().public_id, follow=True).request["PATH_INFO"] == "/login/"
    assert not Session.objects.exists()


@pytest.mark.parametrize("nothing", ["", "nonsense", "0" * 32, "all"])
def test_what_is_no_session_of_ones_own_ends_nothing(olivia, oscar, nothing):
    here, stranger = sign_in(), sign_in("oscar")
    theirs = Session.objects.get(account_id=oscar.pk).public_id
    for chosen in (nothing, theirs):
        assert "was already over" in text_of(end(here, chosen, follow=True))
    assert is_in(here)
    assert is_in(stranger)
    assert AuditEntry.objects.filter(kind=Kind.SIGNED_OUT).count() == 0


def test_sessions_of_before_a_change_of_password_are_not_listed(olivia):
    here, other = sign_in(), sign_in()
    form = {"old_password": PASSWORD, "new_password1": "new battery horse", "new_password2": "new battery horse"}
    assert here.post("/password/", form).status_code == 302
    assert ids_on(here.get("/sessions/")) == []
    assert "Firefox 128 on Linux" in text_of(here.get("/sessions/"))  # the new key has the same facts
    assert not is_in(other)


@pytest.mark.parametrize("column", ["seen_at", "begun_at"])
def test_sessions_that_are_over_are_not_listed(olivia, column):
    here = sign_in()
    sign_in()
    others = Session.objects.exclude(session_key=here.cookies["sessionid"].value)
    assert others.update(**{column: timezone.now() - timedelta(days=1)}) == 1
    assert ids_on(here.get("/sessions/")) == []


def test_those_that_expired_are_cleared_by_the_command_for_that(olivia):
    here = sign_in()
    sign_in()
    others = Session.objects.exclude(session_key=here.cookies["sessionid"].value)
    others.update(expire_date=timezone.now() - timedelta(days=1))
    call_command("clearsessions")
    assert Session.objects.count() == 1
    assert is_in(here)


def test_a_session_is_ended_though_the_audit_fails(olivia, caplog):
    here, other = sign_in(), sign_in()
    with table_missing("audit", "audit_auditentry"):
        assert end(here, "others").status_code == 302
    assert not is_in(other)
    assert "[SIGN_IN] SIGNED_OUT of olivia could not be written to the audit" in caplog.text


def test_of_very_many_the_last_used_are_listed(olivia, monkeypatch):
    monkeypatch.setattr("audit.accounts.session_pages.SHOWN", 2)
    for _ in range(3):
        sign_in()
    here = sign_in()
    page = here.get("/sessions/")
    assert "2 more are not listed." in text_of(page)
    assert "This session" in text_of(page)


def test_the_page_is_reached_from_every_page(olivia):
    assert 'href="/sessions/"' in sign_in().get("/jobs/").content.decode()


# -- Administrators -----------------------------------------------------------------------------------------------


def test_an_administrator_sees_and_ends_a_users_sessions(adam, olivia):
    one, other = sign_in(), sign_in(address="198.51.100.1")
    admin = signed_in(adam)
    path = f"/admin/auth/user/{olivia.pk}/sessions/"
    assert f'href="{path}"' in admin.get(f"/admin/auth/user/{olivia.pk}/change/").content.decode()
    page = admin.get(path)
    assert "Firefox 128 on Linux" in text_of(page)
    chosen = Session.objects.get(address="198.51.100.1").public_id
    assert chosen in ids_on(page)
    assert "The session was ended." in text_of(admin.post(path, {"end": chosen}, follow=True))
    assert [is_in(client) for client in (one, other)] == [True, False]
    kind, user, body = last_entry()
    del body["user_agent"]
    assert (kind, user) == (Kind.SETTING_CHANGED, "adam")
    assert body == {"what": "user", "name": "olivia", "change": "sessions ended", "sessions": 1}
    admin.post(path, {"end": "all"})
    assert not is_in(one)
    assert "olivia is not signed in anywhere." in text_of(admin.get(path))
    assert is_in(admin)


def test_an_administrator_ends_the_sessions_of_many_users(adam, olivia, oscar):
    clients = [sign_in(), sign_in("oscar")]
    admin = signed_in(adam)
    action = {"action": "end_sessions_of_chosen", "_selected_action": [olivia.pk, oscar.pk]}
    assert "2 sessions were ended." in text_of(admin.post("/admin/auth/user/", action, follow=True))
    assert [is_in(client) for client in clients] == [False, False]
    names = [
        json.loads(body)["name"]
        for body in AuditEntry.objects.filter(kind="SETTING_CHANGED").values_list("body", flat=True)
    ]
    assert sorted(names) == ["olivia", "oscar"]


def test_who_may_not_change_users_ends_no_sessions(adam, audrey, olivia):
    client = sign_in()
    audrey.user_permissions.add(*Permission.objects.filter(codename__in=["view_user", "change_user"]))
    adam.groups.add(Group.objects.get(name="Auditors"))
    viewer = User.objects.create_user("vera", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_user"))
    path = f"/admin/auth/user/{olivia.pk}/sessions/"
    for user in (audrey, adam, viewer):
        other = signed_in(user)
        assert other.get(path).status_code == 403
        assert other.post(path, {"end": "all"}).status_code == 403
        other.post("/admin/auth/user/", {"action": "end_sessions_of_chosen", "_selected_action": [olivia.pk]})
        assert path not in other.get(f"/admin/auth/user/{olivia.pk}/change/").content.decode()
    assert is_in(client)
    assert signed_in(User.objects.create_superuser("alma")).get("/admin/auth/user/99999/sessions/").status_code == 404


def test_who_is_switched_off_stays_signed_out_when_switched_on_again(adam, olivia):
    client, admin = sign_in(), signed_in(adam)
    path = f"/admin/auth/user/{olivia.pk}/change/"
    for active in (None, "on"):
        assert admin.post(path, form_of(admin, path, is_active=active)).status_code == 302
        assert not is_in(client)
    assert sign_in()
