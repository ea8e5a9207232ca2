"""Who has to wait after failed sign-ins: one name from one address, and for no longer than the page says."""

import threading
from io import StringIO

from axes.models import AccessAttempt
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.management import call_command

from audit.accounts.tests.test_sign_in import ADDRESS, ELSEWHERE, entries, last_body, sign_in
from audit.choices import Kind
from tmsdash.tests.tools import at_once, text_of


def fail(name="olivia", times=5, **values):
    return [sign_in(name, "wrong", **values).status_code for _ in range(times)]


def test_after_five_failures_the_right_password_has_to_wait_too(olivia):
    assert fail() == [200, 200, 200, 200, 429]
    answer = sign_in()
    assert (answer.status_code, answer["Retry-After"]) == (429, "900")
    assert "Wait 15 minutes" in text_of(answer)


def test_unknown_names_are_throttled_alike(olivia):
    assert fail("mallory", 6) == [200, 200, 200, 200, 429, 429]


def test_neither_colleagues_nor_other_addresses_have_to_wait(olivia, oscar):
    fail()
    assert sign_in("oscar").status_code == 302
    assert sign_in(address=ELSEWHERE).status_code == 302


def test_another_browser_from_the_same_address_has_to_wait(olivia):
    for number in range(5):
        sign_in(password="wrong", headers={"User-Agent": f"browser {number}"})
    assert sign_in(headers={"User-Agent": "one more"}).status_code == 429


def test_behind_a_trusted_proxy_the_real_client_counts(olivia, settings):
    import ipaddress

    settings.TRUSTED_PROXIES = [ipaddress.ip_network("10.0.0.1")]
    fail(address="10.0.0.1", headers={"X-Forwarded-For": ADDRESS})
    assert sign_in(address="10.0.0.1", headers={"X-Forwarded-For": ADDRESS}).status_code == 429
    assert sign_in(address="10.0.0.1", headers={"X-Forwarded-For": ELSEWHERE}).status_code == 302
    assert {address for _, _, address in entries()} == {ADDRESS, ELSEWHERE}


def test_signing_in_clears_the_count(olivia):
    fail(times=4)
    assert sign_in().status_code == 302
    assert fail(times=4) == [200] * 4


def test_the_wait_ends_and_is_not_made_longer_by_trying(olivia, settings):
    from datetime import timedelta

    fail()
    before = AccessAttempt.objects.get().attempt_time
    sign_in()
    assert AccessAttempt.objects.get().attempt_time == before
    settings.AXES_COOLOFF_TIME = timedelta(0)
    assert sign_in().status_code == 302


def test_the_audit_has_each_failure_and_when_the_waiting_began_and_no_flood_after_it(olivia):
    fail(times=9)
    assert [kind for kind, _, _ in entries()] == [Kind.SIGN_IN_FAILED] * 5
    assert last_body()["throttled_from_now_on"] is True


def test_an_administrator_can_end_the_wait(olivia):
    fail()
    call_command("axes_reset_username", "olivia", stdout=StringIO())
    assert sign_in().status_code == 302


SPELLINGS = ("olivia", " olivia", "ｏlivia", "oliｖia ")  # one name to Django


def test_a_burst_has_no_more_guesses_than_a_row(olivia, monkeypatch):
    """All of them are here before the first password has been looked at."""
    together, looked_at = threading.Barrier(12, timeout=60), []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda *args: looked_at.append(1) or encode(*args))

    def guess(number):
        together.wait()
        return sign_in(SPELLINGS[number % len(SPELLINGS)], f"guess {number}").status_code

    codes = at_once(12, guess)
    assert (len(looked_at), codes.count(429)) == (5, 8)
