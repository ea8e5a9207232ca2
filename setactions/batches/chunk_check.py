"""Whether a chunk may be sent: it is what its user confirmed, and no earlier try of it may have been applied.

The ledger is in a database, and whoever can write to that must not be able to send, under the name of somebody
else, a list that nobody confirmed, or once more what TMS accepted.
"""

from audit.choices import Kind, Ruling
from jobs.models import BatchChunk
from jobs.selectors import VERIFY_STEP
from jobs.signatures import batch_is_signed, chunk_is_signed
from setactions.inputs.shapes import has_damaged
from setactions.proof.job_evidence import History, read_histories
from setactions.refusal import AuditUnavailable, Refusal
from setactions.token import Token
from tmsdash.db.transactions import drop_if_broken

UNASKED = (
    "Some of its ids look damaged, and nobody gave their word for them when this batch was made. Make a new batch of "
    "the customers that are left, from its report: that list is checked."
)
NOT_APPLIED = (Kind.REFUSED, Kind.REJECTED, Kind.NOT_SENT, Kind.NOT_APPLIED)


def check_chunk(chunk: BatchChunk, token: Token, *, allow_unusual: bool = False) -> None:
    """Raise Refusal unless the chunk may be sent.

    403 stops its batch, after 503 it is tried again, and after 400 the others go on. `allow_unusual` is the word of
    whoever goes on with the batch for ids that look damaged, if it was made without.
    """
    if not chunk_is_signed(chunk) or not chunk.has_sound_try:
        what = f"Chunk {chunk.number + 1} is not as it was confirmed: somebody changed it in the database."
        raise Refusal(403, "chunk", f"{what} Nothing is sent. {VERIFY_STEP}")
    if not batch_is_signed(chunk.batch):  # its time says what its customers are compared with
        what = "This batch is not as it was confirmed: somebody changed it in the database."
        raise Refusal(403, "chunk", f"{what} Nothing is sent. {VERIFY_STEP}")
    if not (allow_unusual or chunk.batch.allow_unusual) and has_damaged(chunk.cids):
        raise Refusal(400, "chunk", f"Chunk {chunk.number + 1} is not sent. {UNASKED}")
    if token.is_among(chunk.cids):
        raise Refusal(403, "token", "The bearer token is among the customer ids. Go on with the right token.")
    earlier = [chunk.attempt_id_of(number) for number in range(1, chunk.tries)]
    unavailable = AuditUnavailable(503, "request", "The audit cannot be read, so nothing was sent.")
    with drop_if_broken("audit", raising=lambda _: unavailable):
        histories = read_histories(earlier)
    for attempt_id in earlier:
        _check_try(chunk, str(attempt_id), histories[attempt_id.hex])


def _check_try(chunk: BatchChunk, attempt_id: str, history: History) -> None:
    if Kind.RECORDED in history or history.evidence():
        sentence = f"Chunk {chunk.number + 1} was accepted before, as attempt {attempt_id}: it is not sent again."
        raise Refusal(403, "chunk", sentence)
    is_over = any(kind in history for kind in NOT_APPLIED)
    if history.entries and not is_over and history.body(Kind.DECIDED).get("ruling") != Ruling.NOT_APPLIED:
        sentence = f"An earlier try of chunk {chunk.number + 1}, attempt {attempt_id}, has no known outcome yet."
        raise Refusal(503, "chunk", sentence)
