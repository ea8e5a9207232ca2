"""What is about to be sent, once it was checked: for `setactions.service`, which sends it."""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.conf import settings
from django.db import Error as AnyDatabaseError

from audit.bodies import ChunkFacts, Compared
from audit.choices import Action
from audit.digests import digest, list_digest
from audit.models import Attempt
from audit.selectors import undecided_overlaps
from jobs.batches.lists import NewChunk
from setactions.inputs.ids import FIELD, CidList
from setactions.inputs.shapes import has_damaged
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster
from setactions.tms.spellings import find_action
from tmsdash.db.transactions import drop_if_broken

MAX_OVERLAPS = 5  # named at once


@dataclass(frozen=True, kw_only=True)
class BatchPart:
    """Where a submission belongs that is a chunk of a batch, for the audit.

    `chunk` and `try_number` count from 1, `retry_of` is the attempt of the try before. `batch_created_at` is when its
    customers were compared with what had been asked for already.
    """

    batch_id: uuid.UUID
    batch_created_at: datetime
    chunk: int
    try_number: int = 1
    retry_of: uuid.UUID | None = None

    @property
    def facts(self) -> ChunkFacts:
        """The same for the audit, apart from the batch itself."""
        facts: ChunkFacts = {"chunk": self.chunk, "try": self.try_number}
        return {**facts, "retry_of": str(self.retry_of)} if self.retry_of else facts


@dataclass(frozen=True)
class Submission:
    """An action for customers of a cluster. `action_sent` is the spelling that TMS gets.

    `repeated` counts the ids that were left out as repeats, `warnings` say what looks unusual. `allow_unusual` tells
    that some ids look damaged, and that somebody gave their word for them. `compared` is what its user was shown of
    the customers' live state, `note` what they wrote for whoever reads of it later: both are for the audit, and
    no part of what is sent.
    """

    cluster: Cluster
    action: Action
    action_sent: str
    cids: tuple[str, ...]
    repeated: int = 0
    warnings: tuple[str, ...] = ()
    allow_unusual: bool = False
    compared: Compared | None = field(default=None, compare=False)
    note: str = field(default="", compare=False)

    @property
    def lacks_word(self) -> bool:
        """Whether ids look damaged and nobody gave their word for them, as in lists from before that was needed."""
        return not self.allow_unusual and has_damaged(self.cids)

    @property
    def list_digest(self) -> str:
        """What submissions share that ask the same of the same set of customers."""
        return list_digest(self.cluster.origin, self.action.value, self.cids)

    @property
    def payload_digest(self) -> str:
        """What submissions share that would send the same bytes to the same cluster."""
        return digest({"cluster": self.cluster.origin, "action": self.action_sent, "cids": self.cids})


def find_overlap_warnings(submission: Submission) -> tuple[str, ...]:
    """Return a sentence for each open attempt on the cluster that shares customers with this submission.

    While it is open, another action for the same customers spoils what a reading could prove of it. Attempts at the
    same action are left out: the guard in `setactions.overlap` looks after them.
    """
    overlapping: list[Attempt] = []  # without the audit none is found, and sending will say what is wrong
    with suppress(AnyDatabaseError), drop_if_broken("audit"):
        overlapping = undecided_overlaps(submission.cluster.origin, submission.cids)
    others = [other for other in overlapping if other.action_code != submission.action.value]
    sentences = [
        f"{other.action_name} of {other.user_id} for some of these customers has no outcome yet (attempt "
        f"{other.attempt_id}). Sending now can make it impossible to find out what became of it."
        for other in others[:MAX_OVERLAPS]
    ]
    more = len(others) - MAX_OVERLAPS
    return (*sentences, f"There are more such attempts: {more:,}.") if more > 0 else tuple(sentences)


def make_submission(cluster: Cluster, action_name: str, cid_list: CidList, note: str = "") -> Submission:
    """Put the parts together, of which the `note` was checked; raises Refusal (400 unknown action)."""
    action = find_action(action_name)
    if action is None:
        known = ", ".join(Action.labels)
        raise Refusal(400, "action", f"This action is not known. Use one of {known}.")
    said = cid_list.repeated, cid_list.warnings, cid_list.allow_unusual
    return Submission(cluster, action, action_name, cid_list.cids, *said, note=note)


def narrowed(submission: Submission, cids: Sequence[str]) -> Submission:
    """Return the same submission for only some of its customers."""
    allow_unusual = submission.allow_unusual and has_damaged(cids)
    warnings = CidList(tuple(cids), 0).warnings
    return replace(submission, cids=tuple(cids), warnings=warnings, allow_unusual=allow_unusual)


def fits_one_call(submission: Submission) -> bool:
    """Tell whether one call may carry the list; a longer one goes as a batch."""
    return len(submission.cids) <= settings.TMS_MAX_CIDS_PER_CALL


def new_chunk(submission: Submission, cids: Sequence[str]) -> NewChunk:
    """Return a chunk of a batch that carries some of the submission's customers."""
    return NewChunk(
        cluster_url=submission.cluster.origin,
        action_code=submission.action.value,
        action_sent=submission.action_sent,
        cids=cids,
    )


def check_fits_one_call(submission: Submission) -> None:
    """Raise Refusal (413) unless one call may carry the list."""
    if not fits_one_call(submission):
        raise Refusal(
            413,
            FIELD,
            f"{len(submission.cids):,} customers are more than the {settings.TMS_MAX_CIDS_PER_CALL:,} that one call "
            "may carry. Use batches: New action makes one, and so does manage.py set_action_batch.",
        )


def wire_name(action: Action) -> str:
    """Return how the form spells `action` on the wire; an API client's own spelling is sent as it came."""
    return settings.TMS_TRANS_BEGIN_NAME if action == Action.TRANS_BEGIN else action.label
