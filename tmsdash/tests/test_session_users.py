"""The account that is read with the session: as Django reads it, in one statement, and anew for every request."""

import pytest
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group, Permission, User
from django.db import connections
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from tmsdash.accounts import is_auditor
from tmsdash.models import InitialPassword, Session, SessionStore
from tmsdash.session_users import COLUMNS, SessionUserMiddleware, read_session
from tmsdash.tests.fixtures import signed_in

PATH = "/api/jobs/mine"


def session_of(user):
    return signed_in(user).session.session_key


@pytest.fixture
def accounts(olivia, audrey, adam):
    """Accounts with permissions of their own, of one group and of two, with all of them, and with none."""
    permissions = Permission.objects.filter(codename__in=("view_job", "view_attempt"))
    olivia.user_permissions.set(permissions)  # one of which she has twice then
    audrey.groups.add(Group.objects.get(name="Operators"))
    nobody = User.objects.create_user("nobody", email="nobody@example.org", first_name="No", last_name="Body")
    return [olivia, audrey, adam, nobody]


def test_an_account_is_the_one_that_django_reads(accounts):
    for account in accounts:
        _, user = read_session(session_of(account))
        expected = User.objects.get(pk=account.pk)
        assert all(getattr(user, column) == getattr(expected, column) for column in COLUMNS)
        assert all(type(getattr(user, column)) is type(getattr(expected, column)) for column in COLUMNS)
        assert user.get_all_permissions() == expected.get_all_permissions()
        assert is_auditor(user) == is_auditor(expected)
        assert (user.last_login, user.date_joined) == (expected.last_login, expected.date_joined)


def test_one_statement_is_all_that_a_request_asks_of_the_accounts(accounts):
    for account in accounts:
        client = signed_in(account)
        client.get(PATH)
        with CaptureQueriesContext(connections["default"]) as captured:
            assert client.get(PATH).status_code == 200
            # It is refused; for that all that is known of the user is asked.
            assert client.post("/proxy_fetch", {}, content_type="application/json").status_code in (400, 403)
        assert len(captured) == 2, [query["sql"] for query in captured]


def test_whoever_has_an_initial_password_is_told_so(olivia):
    client = signed_in(olivia)
    assert client.get(PATH).status_code == 200
    InitialPassword.objects.create(user=olivia)
    assert client.get(PATH).status_code == 403
    InitialPassword.objects.all().delete()
    assert client.get(PATH).status_code == 200


def leave_group(user):
    user.groups.clear()


def deactivate(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


def become_auditor(user):
    user.groups.add(Group.objects.get(name="Auditors"))


def lose_permission(user):
    Group.objects.get(name="Operators").permissions.clear()


def end_session(user):
    Session.objects.all().delete()


def change_password(user):
    user.set_password("another password")
    user.save()


def be_deleted(user):
    user.delete()


@pytest.mark.parametrize("change", [leave_group, become_auditor, lose_permission])
def test_a_right_that_is_taken_away_counts_from_the_next_request(change, olivia, fetch, tms):
    client = signed_in(olivia)
    assert fetch(client=client).status_code == 200
    change(olivia)
    assert fetch(client=client, sendAgain=True).status_code == 403
    assert len(tms.calls()) == 1


@pytest.mark.parametrize("change", [deactivate, end_session, change_password, be_deleted])
def test_an_account_or_session_that_is_over_counts_from_the_next_request(change, olivia, fetch, tms):
    client = signed_in(olivia)
    assert fetch(client=client).status_code == 200
    change(olivia)
    assert fetch(client=client, sendAgain=True).status_code == 401
    assert len(tms.calls()) == 1


def test_a_session_that_names_two_accounts_is_of_the_one_that_is_signed(olivia, oscar):
    client = signed_in(olivia)
    Session.objects.update(account_id=oscar.pk)  # the column is not signed
    assert client.get(PATH).json()["user_id"] == "olivia"


def test_a_session_that_was_emptied_has_no_account_any_more(olivia):
    request = RequestFactory().get(PATH)
    request.session = SessionStore(session_of(olivia))
    assert request.session[SESSION_KEY] == str(olivia.pk)  # it is read, and its account with it
    request.session.flush()
    SessionUserMiddleware(lambda request: None).process_request(request)
    assert request.user.is_anonymous


def test_a_session_without_the_hash_of_its_password_is_of_nobody(olivia):
    store = SessionStore(session_of(olivia))
    del store[HASH_SESSION_KEY]
    store.save()
    client = signed_in(olivia)
    client.cookies[settings.SESSION_COOKIE_NAME] = store.session_key
    assert client.get(PATH).status_code == 401
