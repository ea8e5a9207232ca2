"""Second factors: set up for the password, asked for after it, throttled and audited like it, and removed."""

import json
import re
import time
from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.management import CommandError, call_command
from django.test import Client

from audit.accounts.second_factors import factors
from audit.models import AuditEntry
from tmsdash.commands import os_actor_name
from tmsdash.models import Session
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import stored_bytes, table_missing, text_of

PAGE = "/second-factor/"


@pytest.fixture
def clock(monkeypatch):
    """The time of codes, which a test moves on."""
    now = [time.time()]
    monkeypatch.setattr(factors.time, "time", lambda: now[0])
    return now


def code_at(secret, clock, periods=0):
    return format_hotp_value(hotp_value(secret, int(clock[0]) // 30 + periods))


def field(page, name):
    return re.search(rf'name="{name}" value="([^"]*)"', page.content.decode())[1]


def set_up(client, clock):
    """Set a factor up as its user does; return the secret and the recovery codes."""
    page = client.get(PAGE)
    secret = re.search(r"Key: <code>([A-Z2-7 ]+)</code>", page.content.decode())[1].replace(" ", "")
    form = {"do": "add", "sealed": field(page, "sealed"), "code": code_at(secret, clock), "password": PASSWORD}
    answer = client.post(PAGE, form)
    codes = re.findall(r"<code>([0-9]{8})</code>", answer.content.decode())
    assert len(codes) == 10, text_of(answer)
    clock[0] += 60
    return secret, codes


@pytest.fixture
def factor(olivia, clock):
    return set_up(signed_in(olivia), clock)


def first_step(browser=None, **fields):
    page = (browser or Client()).post("/login/", {"username": "olivia", "password": PASSWORD} | fields)
    assert (page.status_code, "6 digits, which your app shows now" in text_of(page)) == (200, True)
    return {"first": field(page, "first"), "next": field(page, "next")}


def enter(code, browser=None):
    browser = browser or Client()
    return browser.post("/login/", first_step(browser) | {"code": code})


def last_fact():
    entry = AuditEntry.objects.latest("sequence")
    return entry.kind, entry.user_id, json.loads(entry.body)


def test_the_password_alone_signs_nobody_in_who_has_a_factor(factor, clock):
    secret, _ = factor
    Session.objects.all().delete()
    browser = Client()
    form = first_step(browser, next="/batches/")
    assert not Session.objects.exists()
    assert browser.get("/jobs/").status_code == 302
    answer = browser.post("/login/", form | {"code": f" {code_at(secret, clock)} "})
    assert (answer.status_code, answer["Location"]) == (302, "/batches/")
    assert browser.get("/jobs/").status_code == 200
    assert (last_fact()[0], last_fact()[2]["factor"]) == ("SIGNED_IN", "app")


def test_a_code_counts_once_and_those_of_the_periods_beside_it_as_well(factor, clock):
    secret, _ = factor
    assert enter(code_at(secret, clock, -1)).status_code == 302
    assert enter(code_at(secret, clock, -1)).status_code == 200
    assert enter(code_at(secret, clock, 1)).status_code == 302
    assert enter(code_at(secret, clock)).status_code == 200  # before the last one that was used
    assert enter(code_at(secret, clock, 3)).status_code == 200


def test_each_recovery_code_counts_once(factor, olivia):
    _, codes = factor
    assert enter(f"{codes[3][:4]}-{codes[3][4:]}").status_code == 302
    assert last_fact()[2]["factor"] == "recovery code"
    assert enter(codes[3]).status_code == 200
    assert "Recovery codes that are left: 9." in text_of(signed_in(olivia).get(PAGE))


def test_wrong_codes_are_throttled_and_audited_like_wrong_passwords(factor, clock):
    form = first_step()
    codes = [Client().post("/login/", form | {"code": "000000"}).status_code for _ in range(5)]
    assert codes == [200] * 4 + [429]
    kind, name, body = last_fact()
    assert (kind, name, body["at"], body["throttled_from_now_on"]) == (
        "SIGN_IN_FAILED",
        "olivia",
        "second factor",
        True,
    )
    right = {"code": code_at(factor[0], clock)}
    assert Client().post("/login/", form | right).status_code == 429
    assert Client(REMOTE_ADDR="203.0.113.7").post("/login/", form | right).status_code == 302


def test_after_many_wrong_codes_from_anywhere_none_is_taken(factor, clock):
    form = first_step()
    for number in range(factors.MOST_FAILURES):
        Client(REMOTE_ADDR=f"203.0.113.{number}").post("/login/", form | {"code": "000000"})
    elsewhere = Client(REMOTE_ADDR="203.0.113.200")
    for code in (code_at(factor[0], clock), factor[1][0]):
        assert elsewhere.post("/login/", form | {"code": code}).status_code == 200
    assert not elsewhere.session.items()


def test_the_first_step_counts_for_its_password_and_not_for_long(factor, clock, olivia, monkeypatch):
    form = first_step() | {"code": code_at(factor[0], clock)}
    for broken in ({"first": ""}, {"first": form["first"][:-8] + "AAAAAAA="}):
        assert Client().post("/login/", form | broken).status_code == 403
    olivia.set_password("another battery staple horse")
    olivia.save()
    answer = Client().post("/login/", form)
    assert (answer.status_code, "has changed since. Enter it once more." in text_of(answer)) == (403, True)
    olivia.set_password(PASSWORD)
    olivia.save()
    form = first_step() | {"code": code_at(factor[0], clock)}
    monkeypatch.setattr("audit.accounts.second_factors.step.is_fresh", lambda sealed_at: False)
    assert Client().post("/login/", form).status_code == 403


def test_secrets_are_sealed_and_setting_up_takes_the_password_and_a_code(olivia, clock):
    client = signed_in(olivia)
    page = client.get(PAGE)
    secret = re.search(r"Key: <code>([A-Z2-7 ]+)</code>", page.content.decode())[1].replace(" ", "")
    form = {"do": "add", "sealed": field(page, "sealed"), "code": code_at(secret, clock), "password": PASSWORD}
    for wrong in ({"password": "wrong"}, {"code": "000000"}, {"code": ""}, {"sealed": "1AAAA"}):
        assert "Nothing was changed" in text_of(client.post(PAGE, form | wrong))
    assert not Authenticator.objects.exists()
    assert secret not in client.get(PAGE).content.decode()  # another one each time
    secret, codes = set_up(client, clock)
    assert "second factor added" in {json.loads(entry.body).get("change") for entry in AuditEntry.objects.all()}
    for hidden in (secret, *codes):
        assert hidden.encode() not in stored_bytes()
        assert hidden not in client.get(PAGE).content.decode()
    again = {"do": "renew", "password": PASSWORD}
    others = re.findall(r"<code>([0-9]{8})</code>", client.post(PAGE, again).content.decode())
    assert len({*others, *codes}) == 20
    assert enter(codes[0]).status_code == 200
    assert enter(others[0]).status_code == 302


def test_its_user_and_administrators_remove_it_and_so_does_a_command(factor, olivia, adam, clock):
    client = signed_in(olivia)
    assert client.post(PAGE, {"do": "remove", "password": PASSWORD})["Location"] == PAGE
    assert last_fact()[:2] == ("SETTING_CHANGED", "olivia")
    assert Client().post("/login/", {"username": "olivia", "password": PASSWORD}).status_code == 302
    set_up(client, clock)
    chosen = {"action": "remove_factors_of_chosen", "_selected_action": [olivia.pk]}
    signed_in(adam).post("/admin/auth/user/", chosen)
    assert (last_fact()[1], last_fact()[2]["change"], Authenticator.objects.count()) == (
        "adam",
        "second factor removed",
        0,
    )
    set_up(client, clock)
    call_command("remove_second_factor", "olivia", stdout=StringIO())
    assert (last_fact()[1], Authenticator.objects.count()) == (os_actor_name(), 0)
    for name in ("olivia", "nobody"):
        with pytest.raises(CommandError, match="Nothing was done"):
            call_command("remove_second_factor", name)


def test_without_the_audit_no_factor_is_added_or_removed(factor, olivia, clock):
    client = signed_in(olivia)
    client.raise_request_exception = False
    with table_missing("audit", "audit_auditentry"):
        assert client.post(PAGE, {"do": "remove", "password": PASSWORD}).status_code >= 500
    assert factors.has_factor(olivia)


@pytest.mark.parametrize(("required", "who"), [("all", ("olivia", "adam")), ("staff", ("adam",)), ("none", ())])
def test_who_has_to_have_one_does_nothing_else_before(settings, olivia, adam, clock, required, who):
    settings.SECOND_FACTOR_REQUIRED = required
    for user in (olivia, adam):
        user.set_password(PASSWORD)
        user.save()
        browser = Client()
        browser.post("/login/", {"username": user.username, "password": PASSWORD})
        answer = browser.get("/jobs/")
        assert (answer.status_code == 302) == (user.username in who)
        if user.username in who:
            assert answer["Location"] == PAGE
            assert browser.get("/api/jobs/mine").status_code == 403
            assert "until then nothing else works" in text_of(browser.get(PAGE))
            set_up(browser, clock)
            assert browser.get("/jobs/").status_code == 200
            browser.post(PAGE, {"do": "remove", "password": PASSWORD})
            assert browser.get("/jobs/")["Location"] == PAGE
