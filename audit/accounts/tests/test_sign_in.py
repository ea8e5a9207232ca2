"""Signing in and out: what the audit keeps of it, what it never keeps, and who has to wait."""

import json
import re

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client

from audit.choices import Kind
from audit.models import AuditEntry
from audit.tests.making import refuse
from tmsdash.accounts import recorded_name
from tmsdash.models import Session
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import table_missing, text_of
from tmsdash.web import sessions

ADDRESS, ELSEWHERE = "203.0.113.7", "203.0.113.8"


def sign_in(name="olivia", password=PASSWORD, client=None, address=ADDRESS, **extra):
    return (client or Client()).post("/login/", {"username": name, "password": password}, REMOTE_ADDR=address, **extra)


def entries():
    """Kind, user and address of what the audit has, oldest first."""
    return list(AuditEntry.objects.order_by("sequence").values_list("kind", "user_id", "ip_address"))


def last_body():
    return json.loads(AuditEntry.objects.latest("sequence").body)


# -- What the audit keeps -----------------------------------------------------------------------------------------


def test_signing_in_and_out_is_audited(olivia):
    client = Client()
    assert sign_in(client=client, headers={"User-Agent": "Browser 1\x1b[31m"}).url == "/"
    assert last_body() == {"user_agent": r"Browser 1\x1b[31m"}
    assert client.post("/logout/", REMOTE_ADDR=ADDRESS).url == "/login/"
    assert entries() == [(Kind.SIGNED_IN, "olivia", ADDRESS), (Kind.SIGNED_OUT, "olivia", ADDRESS)]
    assert client.get("/api/jobs/mine").status_code == 401


def test_signing_out_in_the_admin_is_the_same(audrey):
    client = signed_in(audrey)
    assert "/logout/" in client.get("/admin/").content.decode()
    assert client.post("/admin/logout/").url == "/login/"
    assert [kind for kind, _, _ in entries()] == [Kind.SIGNED_OUT]


def test_a_failure_is_audited_under_the_name_of_the_account(olivia):
    page = sign_in(password="wrong")
    assert "You are not signed in" in text_of(page)
    assert entries() == [(Kind.SIGN_IN_FAILED, "olivia", ADDRESS)]


@pytest.mark.parametrize("name", ["hunter2-my-password", "Olivia", "olivia2", "ölivia", "a" * 150])
def test_of_a_name_that_nobody_has_only_a_keyed_hash_is_kept(olivia, settings, caplog, name):
    caplog.set_level("DEBUG")
    sign_in(name)
    [(kind, kept, _)] = entries()
    assert kind == Kind.SIGN_IN_FAILED
    assert re.fullmatch("unknown:[0-9a-f]{32}", kept)
    everything = caplog.text + "".join(
        str(row) for row in [*AccessAttempt.objects.values(), *AuditEntry.objects.values()]
    )
    assert name not in everything
    assert kept in everything
    settings.SECRET_KEY = "another key of fifty characters and some more of them"
    assert recorded_name(name) != kept


def test_repeats_of_an_unknown_name_can_be_told_from_many_names(olivia):
    for name in ("mallory", "mallory", "trudy"):
        sign_in(name)
    first, second, third = [user for _, user, _ in entries()]
    assert first == second != third


@pytest.mark.parametrize("form", [{}, {"username": "olivia"}, {"password": "x"}])
def test_an_incomplete_form_is_no_failure(olivia, form):
    assert Client().post("/login/", form).status_code == 200
    assert entries() == []


def test_the_admin_offers_users_to_filter_by_and_no_hashes(audrey):
    for name in ("mallory", "audrey"):
        sign_in(name, "wrong")
    refuse()
    page = signed_in(audrey).get("/admin/audit/auditentry/").content.decode()
    assert '<option value="audrey">' in page
    assert '<option value="unknown' not in page


def test_a_password_is_nowhere(olivia, caplog):
    caplog.set_level("DEBUG")
    secret = "planted-password-4711"
    sign_in(password=secret)
    sign_in("mallory", secret)
    Client().post(
        f"/login/?next=/{secret}",
        {"username": secret, "password": secret, "next": secret, "csrfmiddlewaretoken": secret},
    )
    stored = [*AccessAttempt.objects.values("username", "post_data"), *AuditEntry.objects.values()]
    assert secret not in str(stored)
    assert secret not in "".join(record.getMessage() for record in caplog.records if record.name != "django.request")


# -- The same for all ---------------------------------------------------------------------------------------------


def test_an_unknown_name_a_wrong_password_and_a_switched_off_account_look_the_same(olivia, oscar):
    oscar.is_active = False
    oscar.save()

    def shown(*values):
        answer = sign_in(*values)
        return answer.status_code, re.sub(r'(value|data-now)="[^"]*"', "", answer.content.decode())

    wrong = shown("olivia", "wrong")
    assert shown("mallory") == wrong
    assert shown("oscar") == wrong


def test_an_unknown_name_costs_as_many_password_hashes_as_a_known_one(olivia, monkeypatch):
    """Time itself is not asserted: the hash is what takes it."""
    hashed = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda *args: hashed.append(1) or encode(*args))
    counts = []
    for name in ("olivia", "mallory"):
        hashed.clear()
        sign_in(name, "wrong")
        counts.append(len(hashed))
    assert counts == [1, 1]


@pytest.fixture
def hashed(monkeypatch):
    """The lengths of the passwords that were hashed."""
    lengths = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda *args: lengths.append(len(args[1])) or encode(*args))
    return lengths


@pytest.mark.parametrize(
    ("name", "password"), [("olivia", "x" * 1025), ("x" * 151, PASSWORD), ("é" * 20_000, "x" * 20_000)]
)
def test_what_is_longer_than_any_name_or_password_is_not_looked_at(olivia, hashed, name, password):
    for _ in range(6):  # and nobody has to wait for it
        page = sign_in(name, password)
        assert (page.status_code, "You are not signed in" in text_of(page)) == (200, True)
    assert (hashed, entries()) == ([], [])
    assert sign_in().status_code == 302


def test_the_form_itself_ends_where_names_and_passwords_end(databases):
    page = Client().get("/login/").content.decode()
    assert re.search(r'<input type="text" name="username"[^>]* maxlength="150"', page)
    assert re.search(r'<input type="password" name="password"[^>]* maxlength="1024"', page)


@pytest.mark.parametrize("password", [f" {'two words ' * 100} ", "ö" * 1024])
def test_a_long_password_is_taken_exactly_as_it_is_typed(olivia, password):
    olivia.set_password(password)
    olivia.save()
    for other in (password.strip()[:-1], password[:-1], password[:100], password.upper()):
        assert sign_in(password=other, address=ELSEWHERE).status_code == 200
    assert sign_in(password=password).status_code == 302


def test_password_managers_and_pasting_have_what_they_look_for(databases, olivia):
    for client, path, fields in (
        (Client(), "/login/", {"password": "current-password"}),
        (signed_in(olivia), "/password/", {"old_password": "current-password", "new_password1": "new-password"}),
    ):
        page = client.get(path).content.decode()
        for name, meaning in fields.items():
            assert re.search(f'<input type="password" name="{name}"[^>]* autocomplete="{meaning}"', page)
        assert "onpaste" not in page


# -- Sessions -----------------------------------------------------------------------------------------------------


def test_signing_in_makes_a_new_session_key(olivia):
    client = Client()
    session = client.session
    session["planted"] = "by somebody else"
    session.save()
    planted = session.session_key
    sign_in(client=client)
    assert client.session.session_key != planted
    assert sessions.BEGUN in client.session  # its time counts from here, not from the first page
    assert not Session.objects.filter(session_key=planted).exists()


def test_signing_out_ends_the_session_on_the_server(olivia):
    client = Client()
    sign_in(client=client)
    stolen = client.cookies["sessionid"].value
    client.post("/logout/")
    thief = Client()
    thief.cookies["sessionid"] = stolen
    assert thief.get("/api/jobs/mine").status_code == 401


# -- When the audit fails -----------------------------------------------------------------------------------------


def test_nobody_is_kept_in_or_out_by_an_audit_that_fails(olivia, caplog):
    client = Client()
    with table_missing("audit", "audit_auditentry"):
        assert sign_in(client=client).status_code == 302
        assert client.get("/jobs/").status_code == 200
        assert client.post("/logout/").status_code == 302
        assert client.get("/jobs/").status_code == 302
        assert sign_in(password="wrong").status_code == 200
    critical = [record.getMessage() for record in caplog.records if record.levelname == "CRITICAL"]
    assert [message.split(" could")[0] for message in critical] == [
        "[SIGN_IN] SIGNED_IN of olivia",
        "[SIGN_IN] SIGNED_OUT of olivia",
        "[SIGN_IN] SIGN_IN_FAILED of olivia",
    ]


# -- The admin ----------------------------------------------------------------------------------------------------


def test_the_admin_has_no_page_to_sign_in_of_its_own(audrey):
    page = Client().get("/admin/audit/attempt/?outcome=unknown", follow=True)
    assert page.redirect_chain[-1][0] == "/login/?next=/admin/audit/attempt/%3Foutcome%3Dunknown"
    answer = Client().post(page.redirect_chain[-1][0], {"username": "audrey", "password": PASSWORD})
    assert answer.url == "/admin/audit/attempt/?outcome=unknown"


def test_who_has_no_access_to_the_admin_is_told_so(olivia):
    page = signed_in(olivia).get("/admin/", follow=True)
    assert (page.status_code, "Your account has no access to the admin." in text_of(page)) == (403, True)


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_signing_in_never_leads_to_another_site(olivia, target):
    answer = Client().post("/login/", {"username": "olivia", "password": PASSWORD, "next": target})
    assert answer.url == "/"
    assert "evil.example" not in Client().get("/admin/login/", {"next": "//evil.example/"}).url.split("?next=")[0]


@pytest.mark.parametrize("target", ["/login/", "/logout/", "/login/?next=/login/"])
def test_signing_in_leads_to_a_page(olivia, target):
    client = Client()
    assert client.post("/login/", {"username": "olivia", "password": PASSWORD, "next": target}).url == "/"
    assert client.get("/login/", {"next": target}).url == "/"


def test_signing_out_when_the_session_is_over_already_is_signing_out(databases):
    assert Client().post("/logout/").url == "/login/"
