"""What the bodies of an attempt's events hold: the JSON that the chain signs, kind by kind.

The names are in macs, seals and archives, so none of them may ever change; a new one may be added. Entries of earlier
versions lack those that are `NotRequired` or belong to a `total=False` dict.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from typing import Any, NotRequired, TypedDict

from audit.choices import Kind, Outcome, Ruling, Standing
from tmsdash.text import counted


class Opening(TypedDict):
    """Of every event that opens an attempt: what was asked for. `cids` are in the order given, each once.

    `note` is what its user wrote for whoever reads of it later; it is not there if they wrote nothing.
    """

    action_name: str
    cids: Sequence[str]
    cluster_url: str
    customer_count: int
    list_digest: str
    note: NotRequired[str]
    payload_digest: str
    source: str


# Of a chunk of a batch: its number and its try, both from 1, and the attempt id of the try before.
ChunkFacts = TypedDict("ChunkFacts", {"chunk": int, "try": int, "retry_of": str}, total=False)


class Compared(TypedDict):
    """What a user was shown of a list's live state before they confirmed it; of a chunk, that of its batch's list.

    `read_at` is when the reading began, `source` a value of LiveReading.Source, `read_for` the user for whom it was
    read. `counts` are the customers by the values of Standing; `left_out` counts those who are not on the list any
    more, since they were there already, and `later_attempts` those of which the user was told that touched the
    customers after the reading.
    """

    read_at: str
    source: str
    read_for: str
    counts: dict[str, int]
    left_out: NotRequired[int]
    later_attempts: NotRequired[int]


class Intent(Opening, ChunkFacts):
    """Of INTENT: all that the Job of the attempt will be made from, except for what TMS answers."""

    action_code: int
    action_sent: str
    batch_id: str | None
    repeated: int
    send_again: bool
    allow_unusual: NotRequired[bool]  # true, or not there: that ids which look damaged are meant
    run_by: NotRequired[str]
    compared: NotRequired[Compared]


class Refused(Opening):
    """Of REFUSED; of a long list it holds the first ids only, and `customer_count` counts them all."""

    action_code: int | None
    code: int
    errors: dict[str, list[str]]
    message: str


class OpeningBody(Intent, total=False):
    """Of any event that opens an attempt, for those who read it without asking for its kind."""

    archived: bool

    # IMPORTED: the job, or the row of the audit log, with which the old dashboard told of the same action.
    job_id: str | None
    log_row_id: str | None


class OutcomeBody(TypedDict, total=False):
    """Of an event that tells an outcome: what of it lists show, and what it rests on."""

    message: str
    http_status: int | None

    # ACCEPTED, REJECTED, NOT_SENT, UNKNOWN: what TMS answered. `data` is its JSON, never with the token.
    data: Any
    duration_ms: int
    retry_after_s: int | None
    timed_out: bool

    # APPLIED, NOT_APPLIED, DECIDED: the readings that prove it, or that a person had before them.
    readings: list[dict[str, Any]]

    # DECIDED: what a person ruled, and why.
    reason: str
    ruling: str

    # REFUSED: the HTTP status of the refusal, and its sentences by field.
    code: int
    errors: dict[str, list[str]]


class Recorded(TypedDict, total=False):
    """Of RECORDED: the Job as it was written. `by` is reconcile, if the service did not write it."""

    job_id: str
    job_created_at: str
    job_digest: str
    by: str


def words_given(opening: Mapping[str, Any]) -> str:
    """Say what somebody expressly took upon them when they opened an attempt; "" if that was nothing."""
    words = {"send_again": "sent again", "allow_unusual": "with ids that look damaged"}
    return ", ".join(word for name, word in words.items() if opening.get(name))


def comparison_shown(opening: Mapping[str, Any], zone: tzinfo = UTC) -> str:
    """Say what somebody was shown of a list's live state before they sent it; "" if they did not ask for that.

    Its time is told in a zone: files have UTC, and pages the one of their reader.
    """
    compared: Any = opening.get("compared")
    if not isinstance(compared, Mapping):
        return ""
    counts: Any = compared.get("counts")
    shown = [f"{counts[place]:,} {place.label}" for place in Standing if _is_any(counts, place)]
    if _is_any(compared, "left_out"):
        shown.append(f"{compared['left_out']:,} left out who were there already")
    if _is_any(compared, "later_attempts"):
        shown.append(f"{counted(compared['later_attempts'], 'attempt')} on these customers since then")
    read_at = str(compared.get("read_at"))
    with suppress(ValueError, OverflowError):
        read_at = f"{datetime.fromisoformat(read_at).astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
    how = "read from TMS" if compared.get("source") == "tms" else "from an answer that was given"
    return f"{', '.join(shown)} ({how} at {read_at} for {compared.get('read_for')})"


def _is_any(counts: Any, name: str) -> bool:
    # Whoever changed the database may have put anything there.
    return isinstance(counts, Mapping) and isinstance(counts.get(name), int) and bool(counts[name])


def outcome_of(kind: Kind, body: Mapping[str, Any]) -> Outcome:
    """Return the outcome that an event tells, whose kind is one that tells one."""
    if kind == Kind.DECIDED:
        return Ruling(body["ruling"]).outcome
    return kind.outcome or Outcome(body["outcome"])
