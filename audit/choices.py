"""The vocabulary of the audit: actions, kinds of events, outcomes, evidence and sources.

One question, was it applied?, has an answer on four levels, and each level has one word for it:

- a `Kind` is an event, something that happened to an attempt at one time;
- an `Outcome` is what all events of an attempt amount to, the most trusted one deciding;
- `Evidence` is why there is a Job;
- a `Ruling` is what a person may decide, and becomes the outcome of a DECIDED event.

What members have in common is a property of theirs. The sets at the end are for queries, which need lists.
"""

from django.db import models


class Action(models.IntegerChoices):
    """TMS's codes of the actions, as its get/action reports them, with their canonical names."""

    TRANS_BEGIN = 1, "Trans-Begin"
    PE_ENABLE = 2, "PE-Enable"
    T_ENABLE = 3, "T-Enable"
    PE_FINALIZE = 4, "PE-Finalize"
    PE_DIRECT = 5, "PE-Direct"


class Standing(models.TextChoices):
    """Where a customer is, seen from an action that is about to be sent."""

    NEXT = "next", "will move on"
    THERE = "there", "there already"
    AHEAD = "ahead", "further on: would go back"
    SKIPS = "skips", "would skip a step"
    UNKNOWN = "unknown", "not known to TMS"
    UNREADABLE = "unreadable", "not readable"
    UNREAD = "unread", "not read yet"


class Kind(models.TextChoices):
    """What an event tells: of its attempt, which has each kind at most once, or of the site (`needs_attempt`)."""

    REFUSED = "REFUSED", "refused by the dashboard, nothing sent"
    INTENT = "INTENT", "about to be sent"
    ACCEPTED = "ACCEPTED", "accepted by TMS"
    REJECTED = "REJECTED", "rejected by TMS"
    NOT_SENT = "NOT_SENT", "never reached TMS"
    UNKNOWN = "UNKNOWN", "outcome unknown"
    APPLIED = "APPLIED", "read back as applied"
    NOT_APPLIED = "NOT_APPLIED", "read back as not applied"
    DECIDED = "DECIDED", "decided by a person"
    RECORDED = "RECORDED", "job recorded"
    IMPORTED = "IMPORTED", "imported from the old dashboard"
    SIGNED_IN = "SIGNED_IN", "signed in"
    SIGN_IN_FAILED = "SIGN_IN_FAILED", "sign-in failed"
    SIGNED_OUT = "SIGNED_OUT", "signed out"
    EXPORTED = "EXPORTED", "audit exported"
    SETTING_CHANGED = "SETTING_CHANGED", "account, group or setting changed"
    ARCHIVED = "ARCHIVED", "closed period moved to an archive"
    SEALED = "SEALED", "audit sealed, checkpoint signed"

    @property
    def needs_attempt(self) -> bool:
        """Whether the event belongs to an attempt. Sign-ins, exports and the like belong to none."""
        return self == Kind.RECORDED or self in _LEAST_TRUSTED_FIRST

    @property
    def opens_attempt(self) -> bool:
        """Whether it is the first event of its attempt, and so holds the ids."""
        return self in (Kind.INTENT, Kind.REFUSED, Kind.IMPORTED)

    @property
    def trust(self) -> int:
        """How much its word counts where events of an attempt disagree; 0 if it tells no outcome."""
        return _LEAST_TRUSTED_FIRST.index(self) + 1 if self in _LEAST_TRUSTED_FIRST else 0

    @property
    def outcome(self) -> "Outcome | None":
        """The outcome that it tells; None where its body tells it (DECIDED, IMPORTED), or if it tells none."""
        if self == Kind.INTENT:
            return Outcome.PENDING
        return None if self in _TOLD_BY_BODY or not self.trust else Outcome[self.name]


class Outcome(models.TextChoices):
    """What is known of an attempt."""

    PENDING = "pending", "Being sent"
    ACCEPTED = "accepted", "Accepted"
    REJECTED = "rejected", "Rejected by TMS"
    NOT_SENT = "not_sent", "Not sent"
    UNKNOWN = "unknown", "Outcome unknown"
    REFUSED = "refused", "Refused"
    APPLIED = "applied", "Accepted, confirmed by reading back"
    NOT_APPLIED = "not_applied", "Not applied, confirmed by reading back"
    DECIDED_APPLIED = "decided_applied", "Accepted, decided by a person"
    DECIDED_NOT_APPLIED = "decided_not_applied", "Not applied, decided by a person"
    # What the old dashboard said, which nobody here vouches for.
    LEGACY_SUCCESS = "legacy_success", "Success, says the old dashboard"
    LEGACY_FAILED = "legacy_failed", "Failed, says the old dashboard"
    LEGACY_UNKNOWN = "legacy_unknown", "Outcome unknown to the old dashboard"

    @property
    def meaning(self) -> str:
        """What it means, in a sentence."""
        return _MEANINGS[self][0]

    @property
    def next_step(self) -> str:
        """What to do now, in a sentence or two."""
        return _MEANINGS[self][1]

    @property
    def explanation(self) -> str:
        """What it means and what to do."""
        return f"{self.meaning} {self.next_step}"

    @property
    def kind(self) -> Kind:
        """The kind of the event that it rests on."""
        if self.is_legacy:
            return Kind.IMPORTED
        if self in (Outcome.DECIDED_APPLIED, Outcome.DECIDED_NOT_APPLIED):
            return Kind.DECIDED
        return Kind.INTENT if self == Outcome.PENDING else Kind[self.name]

    @property
    def evidence(self) -> "Evidence | None":
        """How it is known whether it was applied; None if that is unknown, or if TMS never took it."""
        if self in (Outcome.APPLIED, Outcome.NOT_APPLIED):
            return Evidence.READ_BACK
        return next((evidence for evidence in Evidence if evidence.kind == self.kind), None)

    @property
    def is_accepted(self) -> bool:
        """Whether it is taken as known that TMS accepted, so that there must be a Job."""
        return self in (Outcome.ACCEPTED, Outcome.APPLIED, Outcome.DECIDED_APPLIED)

    @property
    def is_in_doubt(self) -> bool:
        """Whether TMS may have applied it, and nobody knows yet."""
        return self in (Outcome.PENDING, Outcome.UNKNOWN)

    @property
    def is_not_applied(self) -> bool:
        """Whether it was in doubt, and turned out not to have been applied."""
        return self in (Outcome.NOT_APPLIED, Outcome.DECIDED_NOT_APPLIED)

    @property
    def is_harmless(self) -> bool:
        """Whether it cannot have changed a customer: it never left, or TMS refused the whole list."""
        return self in (Outcome.REFUSED, Outcome.NOT_SENT, Outcome.REJECTED)

    @property
    def is_repeatable(self) -> bool:
        """Whether it was carried out and applied nothing, so that the same list may be sent again."""
        return self in (Outcome.REJECTED, Outcome.NOT_SENT) or self.is_not_applied

    @property
    def is_legacy(self) -> bool:
        """Whether the old dashboard said so; nobody here vouches for it."""
        return self in (Outcome.LEGACY_SUCCESS, Outcome.LEGACY_FAILED, Outcome.LEGACY_UNKNOWN)

    @property
    def group(self) -> "OutcomeGroup":
        """What it has in common with others, for lists and charts."""
        if self.is_accepted or self == Outcome.LEGACY_SUCCESS:
            return OutcomeGroup.ACCEPTED
        if self.is_in_doubt or self == Outcome.LEGACY_UNKNOWN:
            return OutcomeGroup.UNKNOWN
        return OutcomeGroup.REFUSED if self == Outcome.REFUSED else OutcomeGroup.FAILED


# What each outcome means, and what to do: pages, lists, JSON, reports and docs/audit.md say it in these words.
_NO_CLEAR_ANSWER = "TMS gave no clear answer, but"
_DECIDED = "TMS gave no clear answer, and no reading could prove what happened; a person decided that"
_NOT_VOUCHED = "Nobody here can vouch for that: read what TMS shows of these customers before you send anything again."
_MEANINGS = {
    Outcome.PENDING: (
        "The action is being sent.",
        "Wait for the answer; there is no need, and no way, to send it again.",
    ),
    Outcome.ACCEPTED: (
        "TMS accepted the action and is working on it.",
        "Whether its customers moved, a reading shows.",
    ),
    Outcome.REJECTED: (
        "TMS refused the whole list; nothing was applied.",
        "Correct what its message complains about, then send the list again.",
    ),
    Outcome.NOT_SENT: (
        "TMS received nothing, so nothing was applied.",
        "Once the cause is gone, you may send it again.",
    ),
    Outcome.UNKNOWN: (
        "TMS may have applied this; nobody knows yet.",
        "Do not send the list again. Find out first: Check now, on this attempt's page, reads from TMS what it shows "
        "of these customers.",
    ),
    Outcome.REFUSED: (
        "The dashboard stopped this before anything was sent.",
        "Change what its message names, then send it again.",
    ),
    Outcome.APPLIED: (
        f"{_NO_CLEAR_ANSWER} reading back confirmed that the action was applied.",
        "There is nothing to do: it counts as accepted, and has a job.",
    ),
    Outcome.NOT_APPLIED: (
        f"{_NO_CLEAR_ANSWER} reading back showed that nothing was applied.",
        "You may send the list again.",
    ),
    Outcome.DECIDED_APPLIED: (
        f"{_DECIDED} the action was applied.",
        "There is nothing to do: it counts as accepted, and has a job.",
    ),
    Outcome.DECIDED_NOT_APPLIED: (f"{_DECIDED} nothing was applied.", "You may send the list again."),
    Outcome.LEGACY_SUCCESS: ("The old dashboard reported success.", _NOT_VOUCHED),
    Outcome.LEGACY_FAILED: ("The old dashboard reported a failure.", _NOT_VOUCHED),
    Outcome.LEGACY_UNKNOWN: ("The old dashboard did not know what became of this.", _NOT_VOUCHED),
}


class Ruling(models.TextChoices):
    """What a person decides on an attempt in doubt."""

    APPLIED = "applied", "It was applied: record the job"
    NOT_APPLIED = "not_applied", "It was not applied"

    @property
    def outcome(self) -> Outcome:
        """The outcome of an attempt on which somebody ruled so."""
        return Outcome.DECIDED_APPLIED if self == Ruling.APPLIED else Outcome.DECIDED_NOT_APPLIED


class Evidence(models.TextChoices):
    """How it is known that TMS accepted what a Job stands for, the most trusted first."""

    REPLY = "reply", "TMS answered that it accepted"
    READ_BACK = "read_back", "confirmed by reading back"
    DECIDED = "decided", "decided by a person"
    LEGACY = "legacy", "reported by the old dashboard"

    @property
    def kind(self) -> Kind:
        """The kind of the event that holds it."""
        kinds = (Kind.ACCEPTED, Kind.APPLIED, Kind.DECIDED, Kind.IMPORTED)
        return dict(zip(Evidence, kinds, strict=True))[self]


class Source(models.TextChoices):
    """How an attempt arrived."""

    FORM = "form", "Form"
    API = "api", "Script (JSON)"
    BATCH = "batch", "Batch"
    COMMAND = "command", "Command line"
    LEGACY = "legacy", "Old dashboard, a job"
    LEGACY_LOG = "legacy_log", "Old dashboard, its audit log"

    @classmethod
    def label_of(cls, value: str) -> str:
        """Return a stored source in words; whatever else a database may hold, as it is."""
        return cls(value).label if value in cls else value

    @property
    def is_request(self) -> bool:
        """Whether each of its attempts is one request of a user's, who may send any number of wrong ones."""
        return self in (Source.FORM, Source.API)


class OutcomeGroup(models.TextChoices):
    """What outcomes have in common for somebody who looks over many; the values are the classes of their colours."""

    ACCEPTED = "accepted", "Accepted"
    UNKNOWN = "unknown", "Outcome unknown, or being sent"
    FAILED = "failed", "Not applied"
    REFUSED = "refused", "Refused here"


# What TMS answered beats what was read back, and that beats what a person decided. RECORDED tells only of the Job.
_LEAST_TRUSTED_FIRST = (
    *(Kind.INTENT, Kind.UNKNOWN, Kind.DECIDED),
    *(Kind.NOT_APPLIED, Kind.APPLIED),
    *(Kind.NOT_SENT, Kind.REJECTED, Kind.ACCEPTED, Kind.IMPORTED, Kind.REFUSED),
)
_TOLD_BY_BODY = (Kind.DECIDED, Kind.IMPORTED)

ACCEPTED_OUTCOMES = frozenset(outcome for outcome in Outcome if outcome.is_accepted)
# Accepted without a word of TMS's: known by a reading, or by a person's ruling.
CONFIRMED_OUTCOMES = frozenset(outcome for outcome in ACCEPTED_OUTCOMES if outcome.evidence != Evidence.REPLY)
IN_DOUBT_OUTCOMES = frozenset(outcome for outcome in Outcome if outcome.is_in_doubt)
HARMLESS_OUTCOMES = frozenset(outcome for outcome in Outcome if outcome.is_harmless)
POSSIBLY_APPLIED_OUTCOMES = frozenset(
    outcome for outcome in Outcome if outcome.group in (OutcomeGroup.ACCEPTED, OutcomeGroup.UNKNOWN)
)
# What few entries and attempts are. All others have the most frequent kinds and outcomes, or are in doubt.
SELDOM_KINDS = tuple(kind for kind in Kind if kind not in (Kind.INTENT, Kind.ACCEPTED, Kind.RECORDED))
SELDOM_OUTCOMES = tuple(
    outcome for outcome in Outcome if outcome != Outcome.ACCEPTED and outcome not in IN_DOUBT_OUTCOMES
)
LEGACY_SOURCES = frozenset({Source.LEGACY, Source.LEGACY_LOG})
CHUNK_SOURCES = frozenset({Source.BATCH, Source.COMMAND})  # whose every attempt is one of a batch's
