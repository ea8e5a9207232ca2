"""What travels through a page: a list or a reading, signed, and the token, sealed.

What is signed is readable and cannot be changed; the token can be neither read nor used for another
user or attempt, and only for ten minutes.
"""

import base64
import hashlib
import json
import uuid
from dataclasses import dataclass
from enum import Enum

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core import signing
from django.views.decorators.debug import sensitive_variables

from setactions.actions import find_action
from setactions.clusters import cluster_named
from setactions.readback import Reading
from setactions.refusal import Refusal
from setactions.submission import Submission
from setactions.token import Token

SEALED_FOR_S = 600
READING_KEPT_S = 3600
_SALT = "setactions.review"
_READING_SALT = "setactions.reading"


class Purpose(Enum):
    """What a signed reading is for."""

    SECOND = "second"  # the first of the two that prove that nothing was applied
    DECISION = "decision"  # it proved nothing, so that a person decides


@dataclass(frozen=True)
class Review:
    """A submission that its user is looking at before it is sent as the attempt `attempt_id`, or the batch of that id.

    `file_name` is that of an uploaded list.
    """

    attempt_id: uuid.UUID
    submission: Submission
    file_name: str = ""


def sign_review(review: Review, user_id: str) -> str:
    """Return `review` as text that `load_review` takes back from the same user, unchanged."""
    submission = review.submission
    state = {
        "user": user_id,
        "attempt": str(review.attempt_id),
        "cluster": submission.cluster.name,
        "action": submission.action_sent,
        "cids": submission.cids,
        "repeated": submission.repeated,
        "warnings": submission.warnings,
        "file": review.file_name,
    }
    return signing.dumps(state, salt=_SALT, compress=True)


def load_review(text: str, user_id: str) -> Review:
    """Return what `sign_review` made; raises Refusal (400) if it was changed or is another user's."""
    try:
        state = signing.loads(text, salt=_SALT)
    except signing.BadSignature:
        state = {}
    cluster, action = cluster_named(state.get("cluster", "")), find_action(state.get("action", ""))
    if state.get("user") != user_id or cluster is None or action is None:
        raise Refusal(400, "review", "This review page is not valid any more. Fill in the form again.")
    return Review(
        uuid.UUID(state["attempt"]),
        Submission(cluster, action, state["action"], tuple(state["cids"]), state["repeated"], tuple(state["warnings"])),
        state.get("file", ""),
    )


def sign_reading(reading: Reading, user_id: str, attempt_id: uuid.UUID, purpose: Purpose) -> str:
    """Return `reading` as text that `load_reading` takes back for the same user, attempt and purpose, unchanged."""
    return signing.dumps([user_id, str(attempt_id), purpose.value, reading.as_json()], salt=_READING_SALT)


def load_reading(text: str, user_id: str, attempt_id: uuid.UUID, purpose: Purpose) -> Reading | None:
    """Return what `sign_reading` made within the last hour; None if there is nothing or it does not fit."""
    try:
        state = signing.loads(text, salt=_READING_SALT, max_age=READING_KEPT_S)
    except signing.BadSignature:
        return None
    return Reading.from_json(state[3]) if state[:3] == [user_id, str(attempt_id), purpose.value] else None


@sensitive_variables()
def seal_token(token: Token, user_id: str, attempt_id: uuid.UUID) -> str:
    """Return the token encrypted, for this user and attempt."""
    bound = json.dumps([user_id, str(attempt_id), token.reveal()])
    return _fernet().encrypt(bound.encode()).decode("ascii")


@sensitive_variables()
def unseal_token(sealed: str, user_id: str, attempt_id: uuid.UUID) -> Token:
    """Return the token; raises Refusal (400) after SEALED_FOR_S, and for another user or attempt."""
    if not sealed:
        raise Refusal(400, "token", "Enter your bearer token for this cluster.")
    try:
        bound = json.loads(_fernet().decrypt(sealed.encode(), ttl=SEALED_FOR_S))
    except InvalidToken:
        bound = []
    if bound[:2] != [user_id, str(attempt_id)]:
        raise Refusal(400, "token", "The token was kept for ten minutes, which are over. Enter it once more.")
    return Token(bound[2])


def _fernet() -> Fernet:
    return Fernet(_fernet_key())


def _fernet_key() -> bytes:
    # Fernet takes exactly 32 bytes; hashing lets TOKEN_KEY be any long secret text.
    return base64.urlsafe_b64encode(hashlib.sha256(settings.TOKEN_KEY.encode()).digest())
