"""What crosses the review page: a signed list and a sealed token."""

import uuid

import pytest
from cryptography.fernet import Fernet

from audit.models import Action
from setactions import sealing
from setactions.clusters import Cluster
from setactions.refusal import Refusal
from setactions.sealing import Review, load_review, seal_token, sign_review, unseal_token
from setactions.submission import Submission
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN

ATTEMPT = uuid.uuid4()


@pytest.fixture
def review(settings):
    settings.TMS_CLUSTERS = {"evian3": "https://evian3.example"}
    cluster = Cluster("evian3", "https://evian3.example")
    return Review(ATTEMPT, Submission(cluster, Action.TRANS_BEGIN, "Tran-Begin", ("b", "a"), 2, ("a warning",)))


def test_a_review_comes_back_unchanged(review):
    assert load_review(sign_review(review, "olivia"), "olivia") == review


def test_a_changed_review_and_another_users_are_refused(review, settings):
    signed = sign_review(review, "olivia")
    changed = signed[:5] + ("A" if signed[5] != "A" else "B") + signed[6:]
    for text, user in ((changed, "olivia"), (signed, "oscar"), ("", "olivia"), ("x:y:z", "olivia")):
        with pytest.raises(Refusal):
            load_review(text, user)
    settings.TMS_CLUSTERS = {}
    with pytest.raises(Refusal):
        load_review(signed, "olivia")


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
    sealed = seal_token(Token(TOKEN), "olivia", ATTEMPT)
    sealed_at = Fernet(sealing._fernet_key()).extract_timestamp(sealed.encode())
    monkeypatch.setattr("time.time", lambda: sealed_at + 600)
    assert unseal_token(sealed, "olivia", ATTEMPT).reveal() == TOKEN
    monkeypatch.setattr("time.time", lambda: sealed_at + 601)
    with pytest.raises(Refusal):
        unseal_token(sealed, "olivia", ATTEMPT)


def test_another_key_opens_nothing(settings):
    sealed = seal_token(Token(TOKEN), "olivia", ATTEMPT)
    settings.TOKEN_KEY = "another-key-of-at-least-32-characters"
    with pytest.raises(Refusal):
        unseal_token(sealed, "olivia", ATTEMPT)
