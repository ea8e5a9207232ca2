"""What travels through a page and back, or waits for it: a list, or a reading, signed, and the token, sealed.

The rules that this module enforces:

- signed content can be read but not changed, and is accepted only from the user whom it was made for;
- what a review's page told its user comes back signed with what the page does: sending relies on it;
- a review holds all that makes up the action: the origin of its cluster, not only the name that the settings give it
  today, in which of the two ways it is sent, and when it was made (`setactions.pages.review` says when it has ended);
- a reading counts for one attempt and one purpose, and for an hour;
- a sealed token cannot be read; it opens for one user and one attempt, and for ten minutes.
"""

import time
import uuid
from dataclasses import dataclass, replace
from enum import Enum

from django.core import signing
from django.views.decorators.debug import sensitive_variables

from setactions.live.comparison import Comparison
from setactions.payload import Submission, fits_one_call, narrowed
from setactions.refusal import Refusal, Unverified
from setactions.resolving.readback import Reading
from setactions.tms.clusters import Cluster, cluster_named
from setactions.tms.spellings import find_action
from setactions.token import Token
from setactions.word import Named
from tmsdash.seals import BrokenSealError, is_fresh, open_seal, seal

READING_KEPT_S = 3600
INVALID = "This review page is no longer valid. Fill in the form again."
_SALT = "setactions.review"
_SHOWN_SALT = "setactions.review.shown"
_READING_SALT = "setactions.reading"

_SEAL_PURPOSE = "setactions.token"
_LONG_TOKEN = 2000  # characters: a longer one is compressed, so that it may fit into a cookie all the same


class Purpose(Enum):
    """What a signed reading is for."""

    SECOND = "second"  # the first of the two readings that prove that nothing was applied
    DECISION = "decision"  # one that proved nothing, so a person decides


@dataclass(frozen=True)
class Review:
    """A submission under review, to be sent as the attempt, or if it `is_batch` as the batch, with id `attempt_id`.

    `made_at` is in seconds since 1970. `file_name` is the name of the uploaded list, "" if the ids were pasted;
    `left_out` is how many of its customers its user left out, since they were asked for already. `named` is
    what the page named of them, for whoever ticks that they are sent again: it is no part of what is signed.
    `check_afterwards` says whether a batch is
    followed by a look at what TMS shows. `comparison` is what its user was shown of the customers' live state, None if
    they did not ask for it.
    """

    attempt_id: uuid.UUID
    submission: Submission
    is_batch: bool
    made_at: float
    file_name: str = ""
    left_out: int = 0
    named: Named = Named()
    check_afterwards: bool = True
    comparison: Comparison | None = None

    @property
    def to_send(self) -> Submission:
        """The submission with what the audit keeps of the comparison."""
        if self.comparison is None:
            return self.submission
        action, cids = self.submission.action, self.submission.cids
        return replace(self.submission, compared=self.comparison.for_intent(action, cids))

    @classmethod
    def of(cls, submission: Submission, file_name: str = "", left_out: int = 0) -> "Review":
        """Return a new review, made now, in the way that the length of the list asks for."""
        return cls(uuid.uuid4(), submission, not fits_one_call(submission), time.time(), file_name, left_out)

    def without(self, cids: frozenset[str], *, were_there: bool) -> "Review":
        """Return a new review without some customers: who were there already, or else who were asked for already."""
        before, comparison = self.submission.cids, self.comparison
        rest = narrowed(self.submission, [cid for cid in before if cid not in cids])
        new = Review.of(rest, self.file_name, self.left_out + (0 if were_there else len(cids)))
        compared = comparison and comparison.without(before, cids, were_there=were_there)
        return replace(new, check_afterwards=self.check_afterwards, comparison=compared)


def sign_review(review: Review, user_id: str) -> str:
    """Return `review` as text that `load_review` accepts from the same user, unchanged."""
    submission = review.submission
    state = {
        "user": user_id,
        "attempt": str(review.attempt_id),
        "cluster": submission.cluster.name,
        "origin": submission.cluster.origin,
        "action": submission.action_sent,
        "cids": submission.cids,
        "repeated": submission.repeated,
        "warnings": submission.warnings,
        "note": submission.note,
        "allow_unusual": submission.allow_unusual,
        "batch": review.is_batch,
        "at": review.made_at,
        "file": review.file_name,
        "left_out": review.left_out,
        "check": review.check_afterwards,
    }
    if review.comparison:
        state["compared"] = review.comparison.as_json()
    return signing.dumps(state, salt=_SALT, compress=True)


def load_review(text: str, user_id: str) -> Review:
    """Return the review in `text`, however old; raises Refusal (400), Unverified if it was changed, or another user's.

    Reviews of versions that signed neither origin nor time count as made in 1970, in the way that the length of
    their list asks for; what a version lacks that came later is as if nobody had asked for it.
    """
    try:
        state = signing.loads(text, salt=_SALT)
    except signing.BadSignature:
        state = {}
    if state.get("user") != user_id:
        raise Unverified(400, "review", INVALID)
    action = find_action(state["action"])
    if action is None:  # another version of the dashboard knew it
        raise Refusal(400, "review", INVALID)
    if "origin" in state:
        cluster = Cluster(state["cluster"], state["origin"])
    else:
        cluster = cluster_named(state["cluster"]) or Cluster(state["cluster"], "")
    cids, warnings, allow_unusual = tuple(state["cids"]), tuple(state["warnings"]), state.get("allow_unusual", False)
    said = state["repeated"], warnings, allow_unusual
    submission = Submission(cluster, action, state["action"], cids, *said, note=state.get("note", ""))
    return Review(
        uuid.UUID(state["attempt"]),
        submission,
        state.get("batch", not fits_one_call(submission)),
        state.get("at", 0.0),
        state.get("file", ""),
        state.get("left_out", 0),
        check_afterwards=state.get("check", True),
        comparison=Comparison.from_json(state["compared"]) if "compared" in state else None,
    )


def sign_shown(review: Review, user_id: str) -> str:
    """Return what the page of `review` names as asked for already, and the attempts since its comparison, as text."""
    state = [user_id, str(review.attempt_id), str(review.named), _touches_told(review)]
    return signing.dumps(state, salt=_SHOWN_SALT)


def as_shown(review: Review, text: str, user_id: str) -> Review:
    """Return `review` with what its page told its user, which is in `text`; "" told nothing.

    Raises Unverified (400) if that was changed, or is of another page. What a page told of an older comparison counts
    for nothing.
    """
    if not text:
        return review
    try:
        state = signing.loads(text, salt=_SHOWN_SALT)
    except signing.BadSignature:
        state = []
    if state[:2] != [user_id, str(review.attempt_id)]:
        raise Unverified(400, "review", INVALID)
    comparison, (read_at, later_attempts, places) = review.comparison, state[3]
    if comparison and read_at == _touches_told(review)[0]:
        comparison = replace(comparison, later_attempts=later_attempts, places=tuple(places))
    return replace(review, named=Named.parse(state[2]), comparison=comparison)


def _touches_told(review: Review) -> tuple[str, int, tuple[int, int]]:
    comparison = review.comparison
    if comparison is None:
        return "", 0, (0, 0)
    return comparison.read_at.isoformat() if comparison.read_at else "", comparison.later_attempts, comparison.places


def sign_reading(reading: Reading, user_id: str, attempt_id: uuid.UUID, purpose: Purpose) -> str:
    """Return `reading` as text that `load_reading` accepts for the same user, attempt and purpose, unchanged."""
    return signing.dumps([user_id, str(attempt_id), purpose.value, reading.as_json()], salt=_READING_SALT)


def load_reading(text: str, user_id: str, attempt_id: uuid.UUID, purpose: Purpose) -> Reading | None:
    """Return what `sign_reading` made within the last hour; None if there is nothing, or it is older.

    Raises Unverified if it was changed or was made for another user, attempt or purpose.
    """
    if not text:
        return None
    try:
        state = signing.loads(text, salt=_READING_SALT, max_age=READING_KEPT_S)
    except signing.SignatureExpired:
        return None
    except signing.BadSignature:
        state = []
    if state[:3] != [user_id, str(attempt_id), purpose.value]:
        raise Unverified(400, "reading", "This reading is no longer valid. Check the attempt again.")
    return Reading.from_json(state[3])


@sensitive_variables()
def seal_token(token: Token, user_id: str, attempt_id: uuid.UUID) -> str:
    """Return the token encrypted, for this user and attempt."""
    return _sealed(token.reveal(), user_id, attempt_id)


@sensitive_variables()
def unseal_token(sealed: str, user_id: str, attempt_id: uuid.UUID) -> Token:
    """Return the token; raises Refusal (400) once its seal is too old, Unverified if it was sealed for another use."""
    return Token(_open(sealed, user_id, attempt_id)[1])


@sensitive_variables()
def seal_for_another(sealed: str, user_id: str, attempt_id: uuid.UUID, other_id: uuid.UUID) -> str:
    """Return the token sealed for another attempt of the user, for what is left of its time; raises as above."""
    sealed_at, token = _open(sealed, user_id, attempt_id)
    return _sealed(token, user_id, other_id, sealed_at)


@sensitive_variables()
def _sealed(token: str, user_id: str, attempt_id: uuid.UUID, sealed_at: float | None = None) -> str:
    is_long = len(token) > _LONG_TOKEN
    return seal(token, _SEAL_PURPOSE, user_id, str(attempt_id), sealed_at=sealed_at, is_long=is_long)


@sensitive_variables()
def _open(sealed: str, user_id: str, attempt_id: uuid.UUID) -> tuple[float, str]:
    if not sealed:
        raise Refusal(400, "token", "Enter your bearer token for this cluster.")
    expired = "The token is kept for only ten minutes. Enter it again."
    try:
        sealed_at, token = open_seal(sealed, _SEAL_PURPOSE, user_id, str(attempt_id))
    except BrokenSealError:
        raise Unverified(400, "token", expired) from None
    if not is_fresh(sealed_at):
        raise Refusal(400, "token", expired)
    return sealed_at, token
