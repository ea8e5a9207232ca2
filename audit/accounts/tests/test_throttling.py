"""The throttle: one client however it spells its address, no hash for who has to wait, and no books of requests."""

import threading

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client

from audit.models import AuditEntry
from tmsdash.tests.fixtures import PASSWORD
from tmsdash.tests.tools import at_once, stored_bytes

PLANTED = "planted-secret-4711"


def sign_in(password="wrong", address="203.0.113.7", path="/login/", **extra):
    return Client().post(path, {"username": "olivia", "password": password}, REMOTE_ADDR=address, **extra)


SPELLINGS_V4 = [
    "203.0.113.7",
    "::ffff:203.0.113.7",
    "::FFFF:203.0.113.7",
    "::ffff:cb00:7107",
    "0:0:0:0:0:ffff:CB00:7107",
]
SPELLINGS_V6 = ["2001:db8::7", "2001:DB8::7", "2001:0db8:0:0::7", "2001:db8::7%eth0", "2001:db8:0:0:0:0:0:7"]
NEIGHBOURS = [f"2001:db8:1:2:{number}::{number}" for number in range(5)]


@pytest.mark.parametrize("addresses", [SPELLINGS_V4, SPELLINGS_V6, NEIGHBOURS])
def test_a_client_has_five_guesses_however_it_spells_its_address(olivia, addresses):
    assert [sign_in(address=address).status_code for address in addresses] == [200, 200, 200, 200, 429]
    assert {sign_in(PASSWORD, address).status_code for address in addresses} == {429}
    assert sign_in(PASSWORD, "2001:db8:ffff::7").status_code == 302


def test_the_audit_has_the_whole_address_in_its_one_spelling(olivia):
    sign_in(address="2001:DB8:1:2:3:4:5:6")
    assert AuditEntry.objects.latest("sequence").ip_address == "2001:db8:1:2:3:4:5:6"


def test_a_burst_from_one_network_has_no_more_guesses_than_a_row(olivia, monkeypatch):
    together, looked_at = threading.Barrier(8, timeout=60), []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda *args: looked_at.append(1) or encode(*args))

    def guess(number):
        together.wait()
        return sign_in(address=f"2001:db8::{number}").status_code

    codes = at_once(8, guess)
    assert (len(looked_at), codes.count(429)) == (5, 4)


def test_nothing_is_hashed_for_who_has_to_wait(olivia, monkeypatch):
    for _ in range(5):
        sign_in()
    hashed = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda *args: hashed.append(1) or encode(*args))
    assert sign_in(PASSWORD).status_code == 429
    assert hashed == []


@pytest.mark.parametrize("times", [1, 3])
def test_what_a_request_holds_is_nowhere_in_the_databases(olivia, times):
    headers = {"User-Agent": f"agent {PLANTED}", "Accept": PLANTED, "Referer": PLANTED}
    for _ in range(times):
        form = {"username": "olivia", "password": "wrong", "next": PLANTED, PLANTED: "x", "other": PLANTED}
        Client().post(f"/login/?token={PLANTED}&{PLANTED}=x", form, headers=headers | {"User-Agent": "agent"})
    assert AccessAttempt.objects.get().failures_since_start == times
    assert PLANTED.encode() not in stored_bytes()
    Client().post("/login/", {"username": "olivia", "password": "wrong"}, headers=headers)
    assert PLANTED not in str(list(AccessAttempt.objects.values()))
