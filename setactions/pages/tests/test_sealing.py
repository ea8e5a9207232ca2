"""What crosses the review page: a signed list and a sealed token."""

import base64
import hashlib
import json
import time
import uuid
from functools import partial

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings as site

from audit.choices import Action
from setactions.pages.sealing import Review, load_review, seal_token, sign_review, unseal_token
from setactions.payload import Submission
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN

ATTEMPT = uuid.uuid4()


@pytest.fixture
def review(settings):
    settings.TMS_CLUSTERS = {"evian3": "https://evian3.example"}
    cluster = Cluster("evian3", "https://evian3.example")
    submission = Submission(cluster, Action.TRANS_BEGIN, "Tran-Begin", ("b", "a"), 2, ("a warning",))
    return Review(ATTEMPT, submission, False, 1_000_000.5, "fleet.csv")


def test_a_review_comes_back_unchanged(review):
    assert load_review(sign_review(review, "olivia"), "olivia") == review


def test_a_review_keeps_its_cluster_whatever_the_settings_say_by_now(review, settings):
    signed = sign_review(review, "olivia")
    for clusters in ({}, {"evian3": "https://elsewhere.example"}):
        settings.TMS_CLUSTERS = clusters
        assert load_review(signed, "olivia") == review


def test_a_changed_review_and_another_users_are_refused(review):
    signed = sign_review(review, "olivia")
    changed = signed[:5] + ("A" if signed[5] != "A" else "B") + signed[6:]
    for text, user in ((changed, "olivia"), (signed, "oscar"), ("", "olivia"), ("x:y:z", "olivia")):
        with pytest.raises(Refusal):
            load_review(text, user)


def test_a_sealed_token_opens_for_its_user_and_attempt_only():
    sealed = seal_token(Token(TOKEN), "olivia", ATTEMPT)
    assert TOKEN not in sealed
    assert unseal_token(sealed, "olivia", ATTEMPT).reveal() == TOKEN
    for user, attempt in (("oscar", ATTEMPT), ("olivia", uuid.uuid4())):
        with pytest.raises(Refusal):
            unseal_token(sealed, user, attempt)
    with pytest.raises(Refusal):
        unseal_token("", "olivia", ATTEMPT)


def test_a_sealed_token_opens_for_ten_minutes(monkeypatch):
    sealed_at = time.time()
    monkeypatch.setattr("time.time", lambda: sealed_at)
    sealed = seal_token(Token(TOKEN), "olivia", ATTEMPT)
    for later in (600, -60):  # the other host's clock may be behind
        monkeypatch.setattr("time.time", partial(float, sealed_at + later))
        assert unseal_token(sealed, "olivia", ATTEMPT).reveal() == TOKEN
    for later in (601, -61):
        monkeypatch.setattr("time.time", partial(float, sealed_at + later))
        with pytest.raises(Refusal):
            unseal_token(sealed, "olivia", ATTEMPT)


def opened(sealed, *bound_to):
    """What a seal holds, opened as its first character says it was made."""
    assert sealed[0] == "1"
    content = base64.urlsafe_b64decode(sealed[1:])
    cipher = AESGCM(hashlib.sha256(site.TOKEN_KEY.encode()).digest())
    return json.loads(cipher.decrypt(content[:12], content[12:], json.dumps(bound_to).encode()))


def test_a_token_is_sealed_with_aes_256_gcm_bound_to_what_it_is_for():
    sealed = seal_token(Token(TOKEN), "olivia", ATTEMPT)
    assert opened(sealed, "1", "setactions.token", "olivia", str(ATTEMPT))[1] == TOKEN
    with pytest.raises(InvalidTag):
        opened(sealed, "1", "setactions.token", "oscar", str(ATTEMPT))
    assert seal_token(Token(TOKEN), "olivia", ATTEMPT)[1:17] != sealed[1:17]  # the nonces


def test_a_seal_that_differs_in_one_bit_is_refused():
    sealed = seal_token(Token(TOKEN), "olivia", ATTEMPT)
    for place in range(len(sealed)):
        for bit in range(7):
            changed = sealed[:place] + chr(ord(sealed[place]) ^ 1 << bit) + sealed[place + 1 :]
            with pytest.raises(Refusal):
                unseal_token(changed, "olivia", ATTEMPT)


@pytest.mark.parametrize("begin", ["", "0", "2", "11", " 1", "\udc80", "ü", "gAAAAA"])
def test_a_seal_of_an_unknown_version_is_refused(begin):
    sealed = seal_token(Token(TOKEN), "olivia", ATTEMPT)
    for text in (begin + sealed[1:], begin, begin + "1", begin + "1AAAA", sealed + begin if begin else sealed[:-1]):
        with pytest.raises(Refusal):
            unseal_token(text, "olivia", ATTEMPT)


def test_another_key_opens_nothing(settings):
    sealed = seal_token(Token(TOKEN), "olivia", ATTEMPT)
    settings.TOKEN_KEY = "another-key-of-at-least-32-characters"
    with pytest.raises(Refusal):
        unseal_token(sealed, "olivia", ATTEMPT)


def test_a_new_secret_key_leaves_what_the_one_before_it_signed_valid(review, settings):
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another-key-" * 5
    signed = sign_review(review, "olivia")
    settings.SECRET_KEY = old
    with pytest.raises(Refusal):
        load_review(signed, "olivia")
    settings.SECRET_KEY_FALLBACKS = ["another-key-" * 5]
    assert load_review(signed, "olivia") == review
