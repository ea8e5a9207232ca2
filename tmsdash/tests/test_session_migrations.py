"""An installation with sessions and failed sign-ins of before: migrated forwards, back, and forwards again."""

import pytest
from axes.models import AccessAttempt
from django.contrib.sessions.backends.db import SessionStore as DjangosStore
from django.contrib.sessions.models import Session as DjangosSession
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.utils import timezone

from tmsdash.models import Session
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import stored_bytes

PLANTED = "planted-secret-4711"


def migrate(target=None):
    call_command("migrate", "tmsdash", *([target] if target else []), database="default", verbosity=0)


@pytest.fixture
def of_before(olivia):
    """The database of the version before, with a session of olivia's and failed sign-ins."""
    migrate("zero")
    try:
        session = DjangosStore()
        session["anything"] = "of olivia"
        session.create()
        AccessAttempt.objects.create(
            username="olivia",
            ip_address="2001:db8::7",
            user_agent="agent",
            get_data=f"token={PLANTED}",
            post_data=f"other={PLANTED}",
            path_info="/login/",
            http_accept=PLANTED,
            failures_since_start=3,
            attempt_time=timezone.now(),
        )
        yield session.session_key
    finally:
        migrate()


def test_sessions_end_once_and_what_was_kept_of_requests_is_gone(of_before, olivia):
    assert PLANTED.encode() in stored_bytes()
    migrate()
    assert not DjangosSession.objects.exists()
    assert not AccessAttempt.objects.exists()
    client = Client()
    client.cookies["sessionid"] = of_before
    assert client.get("/jobs/").url == "/login/?next=/jobs/"
    assert client.post("/login/", {"username": "olivia", "password": PASSWORD}).status_code == 302
    assert client.get("/jobs/").status_code == 200


@pytest.mark.sqlite
def test_not_even_a_free_page_of_the_file_holds_what_was_kept(of_before):
    migrate()
    with connections["default"].cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert PLANTED.encode() not in stored_bytes()


def test_the_way_back_and_forth_again_asks_for_a_new_sign_in_only(olivia):
    signed_in(olivia)
    migrate("zero")
    migrate()
    assert not Session.objects.exists()
    assert signed_in(olivia).get("/jobs/").status_code == 200
