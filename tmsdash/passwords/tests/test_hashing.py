"""Hashing passwords has places of its own; what finds none is told so at once, on every page that hashes."""

import threading

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tmsdash import settings as product_settings
from tmsdash.passwords import hashing
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import Gate, text_of, threads, until

ARGON2, OLD = hashing.Argon2PasswordHasher, hashing.PBKDF2PasswordHasher
NEW_PASSWORD = "another battery staple horse"
ROOM = hashing.PLACES + hashing.WAITING
_note = hashing._note


@pytest.fixture
def real_hashes(settings, olivia, adam):
    """The product's hashing, as costly as it is, also for the accounts of the test."""
    settings.PASSWORD_HASHERS = product_settings.PASSWORD_HASHERS
    olivia.set_password(PASSWORD)
    olivia.save()


@pytest.fixture
def full(real_hashes):
    """As many sign-ins as there is room for are here already; returns what lets them go."""
    for _ in range(ROOM):
        assert hashing._line.acquire(blocking=False)
    taken = [ROOM]

    def release():
        while taken[0]:
            hashing._line.release()
            taken[0] -= 1

    yield release
    release()


def test_the_product_has_no_hasher_without_places():
    assert product_settings.PASSWORD_HASHERS == [
        "tmsdash.passwords.hashing.Argon2PasswordHasher",
        "tmsdash.passwords.hashing.PBKDF2PasswordHasher",
    ]
    assert ARGON2().encode(PASSWORD, "salt" * 4).startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    hasher, djangos = hashing.PBKDF2PasswordHasher, hashers.PBKDF2PasswordHasher
    assert (hasher.algorithm, hasher.iterations) == (djangos.algorithm, djangos.iterations)
    assert hasher.algorithm == "pbkdf2_sha256"
    assert hasher.iterations >= 600_000


def test_no_more_are_hashed_at_once_than_there_are_places(monkeypatch):
    begun, gate = [], Gate()
    for method in ("encode", "verify"):
        monkeypatch.setattr(hashers.Argon2PasswordHasher, method, lambda *args: begun.append(1) or str(gate.enter()))
    hasher = ARGON2()
    with threads(ROOM) as submit:
        waiting = [submit((hasher.encode, hasher.verify)[n % 2], "password", "salt") for n in range(ROOM)]
        try:
            until(lambda: hashing._line._value == 0 and len(begun) == hashing.PLACES)
            with pytest.raises(hashing.HashingBusyError):
                hasher.encode("password", "salt")
            assert len(begun) == hashing.PLACES
        finally:
            gate.open()
    assert [future.result() for future in waiting] == ["None"] * ROOM
    assert hashing._line._value == ROOM


def test_who_stands_in_the_line_may_hash_as_often_as_they_need(monkeypatch):
    monkeypatch.setattr(hashers.Argon2PasswordHasher, "encode", lambda *args: "hash")
    monkeypatch.setattr(hashing, "_line", threading.BoundedSemaphore(1))
    hasher = ARGON2()
    with hashing.in_line():
        assert [hasher.encode("password", "salt") for _ in range(3)] == ["hash"] * 3
    with pytest.raises(ValueError, match="an error"), hashing.in_line():
        raise ValueError("an error")
    assert hasher.encode("password", "salt") == "hash"


@pytest.mark.parametrize("name", ["olivia", "mallory"])
def test_a_sign_in_without_a_place_is_told_when_to_come_back(full, name):
    answer = Client().post("/login/", {"username": name, "password": PASSWORD})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "Nothing was done. Try again in a few seconds." in text_of(answer)


def test_users_go_on_and_so_do_strangers_when_there_is_a_place_again(full, olivia):
    client = signed_in(olivia)
    assert client.get("/jobs/").status_code == 200
    assert client.post("/logout/").status_code == 302
    assert Client().get("/login/").status_code == 200
    full()
    assert Client().post("/login/", {"username": "olivia", "password": PASSWORD}).status_code == 302


def test_every_other_page_that_hashes_says_so_too_and_changes_nothing(full, adam, olivia):
    passwords = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    own = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    admin, user = signed_in(adam), signed_in(olivia)
    before = list(User.objects.order_by("pk").values())
    answers = [
        user.post("/password/", own),
        user.post("/admin/password_change/", own),
        user.post("/sessions/", {"end": "others", "password": PASSWORD}),
        admin.post("/admin/auth/user/add/", passwords | {"username": "nadia"}),
        admin.post(f"/admin/auth/user/{olivia.pk}/password/", passwords | {"set-password": "1"}),
    ]
    assert [(answer.status_code, answer.get("Retry-After")) for answer in answers] == [(503, "5")] * 5
    assert list(User.objects.order_by("pk").values()) == before
    assert user.get("/jobs/").status_code == 200


def test_who_finds_no_place_waits_for_no_database(full, adam, olivia):
    admin = signed_in(adam)
    admin.get("/admin/")  # the session is noted
    passwords = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    for path in ("/admin/auth/user/add/", f"/admin/auth/user/{olivia.pk}/password/"):
        with CaptureQueriesContext(connections["default"]) as queries:
            assert admin.post(path, passwords | {"username": "nadia", "set-password": "1"}).status_code == 503
        assert {query["sql"].split()[0] for query in queries} == {"SELECT"}  # no transaction, for which all would queue


@pytest.fixture
def old_hash(real_hashes, olivia):
    """As an older version left it, but for its number of rounds."""
    User.objects.filter(pk=olivia.pk).update(password=OLD().encode(PASSWORD, "salt" * 6, 1000))
    olivia.refresh_from_db()
    return olivia.password


def test_an_old_hash_is_renewed_at_sign_in_in_the_same_place(old_hash, olivia, monkeypatch):
    monkeypatch.setattr(hashing, "_line", threading.BoundedSemaphore(1))
    assert Client().post("/login/", {"username": "olivia", "password": "wrong" + PASSWORD}).status_code == 200
    olivia.refresh_from_db()
    assert olivia.password == old_hash
    assert Client().post("/login/", {"username": "olivia", "password": PASSWORD}).status_code == 302
    olivia.refresh_from_db()
    assert olivia.password.startswith("argon2$argon2id$")
    assert Client().post("/login/", {"username": "olivia", "password": PASSWORD}).status_code == 302


def test_a_session_in_which_an_old_hash_is_renewed_goes_on(old_hash, olivia):
    client = signed_in(olivia)
    answer = client.post("/sessions/", {"end": "others", "password": PASSWORD})
    olivia.refresh_from_db()
    assert olivia.password.startswith("argon2$")
    assert client.get(answer["Location"]).status_code == 200


@pytest.mark.parametrize("is_left", [True, False], ids=["old hashes are left", "none is left"])
def test_a_failed_sign_in_takes_the_same_hashes_whatever_the_account_has(old_hash, adam, monkeypatch, is_left):
    adam.set_password(PASSWORD)
    adam.save()
    if not is_left:
        User.objects.filter(username="olivia").update(password="argon2" + adam.password[6:])
    User.objects.create_user("nadia")  # without a password
    taken = []
    monkeypatch.setattr(OLD, "iterations", 1000)
    monkeypatch.setattr(hashing, "_note", lambda algorithm: taken.append(algorithm) or _note(algorithm))
    for name in ("olivia", "adam", "nadia", "mallory"):
        taken.clear()
        assert Client().post("/login/", {"username": name, "password": "wrong" + PASSWORD}).status_code == 200
        assert {*taken} == ({"argon2", "pbkdf2_sha256"} if is_left else {"argon2"}), name
