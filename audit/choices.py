"""The vocabulary of the audit: what there is of kinds of events, outcomes, sources and actions.

No other module lists them: what outcomes have in common is asked of them here.
"""

from django.db import models


class Action(models.IntegerChoices):
    """TMS's codes of the actions, as its get/action reports them, with their canonical names."""

    TRANS_BEGIN = 1, "Trans-Begin"
    PE_ENABLE = 2, "PE-Enable"
    T_ENABLE = 3, "T-Enable"
    PE_FINALIZE = 4, "PE-Finalize"
    PE_DIRECT = 5, "PE-Direct"


class Kind(models.TextChoices):
    """What an event says of its attempt, which has each kind at most once; see WITHOUT_ATTEMPT for the others."""

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


class Outcome(models.TextChoices):
    """What is known of an attempt."""

    PENDING = "pending", "Being sent"
    ACCEPTED = "accepted", "Accepted"
    REJECTED = "rejected", "Rejected by TMS"
    NOT_SENT = "not_sent", "Not sent"
    UNKNOWN = "unknown", "Unknown"
    REFUSED = "refused", "Refused"
    APPLIED = "applied", "Accepted, confirmed by reading back"
    NOT_APPLIED = "not_applied", "Not applied, confirmed by reading back"
    DECIDED_APPLIED = "decided_applied", "Accepted, decided by a person"
    DECIDED_NOT_APPLIED = "decided_not_applied", "Not applied, decided by a person"
    # What the old dashboard said, which nobody here vouches for.
    LEGACY_SUCCESS = "legacy_success", "Success, says the old dashboard"
    LEGACY_FAILED = "legacy_failed", "Failed, says the old dashboard"
    LEGACY_UNKNOWN = "legacy_unknown", "Unknown to the old dashboard"


class Ruling(models.TextChoices):
    """What a person decides on an attempt in doubt."""

    APPLIED = "applied", "It was applied: record the job"
    NOT_APPLIED = "not_applied", "It was not applied"


# The kinds whose event tells an outcome (RECORDED tells of the Job only), the most trusted first: what TMS
# answered beats what was read back, that beats what a person decided.
TRUST = (
    *(Kind.REFUSED, Kind.IMPORTED, Kind.ACCEPTED, Kind.REJECTED, Kind.NOT_SENT),
    *(Kind.APPLIED, Kind.NOT_APPLIED),
    Kind.DECIDED,
    Kind.UNKNOWN,
    Kind.INTENT,
)
WITHOUT_ATTEMPT = frozenset(
    {Kind.SIGNED_IN, Kind.SIGN_IN_FAILED, Kind.SIGNED_OUT, Kind.EXPORTED, Kind.SETTING_CHANGED, Kind.ARCHIVED}
)
IN_DOUBT_OUTCOMES = frozenset({Outcome.PENDING, Outcome.UNKNOWN})
ACCEPTED_OUTCOMES = frozenset({Outcome.ACCEPTED, Outcome.APPLIED, Outcome.DECIDED_APPLIED})
LEGACY_OUTCOMES = frozenset({Outcome.LEGACY_SUCCESS, Outcome.LEGACY_FAILED, Outcome.LEGACY_UNKNOWN})
NOT_APPLIED_OUTCOMES = frozenset({Outcome.NOT_APPLIED, Outcome.DECIDED_NOT_APPLIED})
# Nothing of these can have changed a customer: they never left, or TMS refused the whole list.
HARMLESS_OUTCOMES = frozenset({Outcome.REFUSED, Outcome.NOT_SENT, Outcome.REJECTED})


class Source(models.TextChoices):
    """From where an attempt came."""

    FORM = "form", "Form"
    API = "api", "Script"
    BATCH = "batch", "Batch"
    COMMAND = "command", "Command"
    LEGACY = "legacy", "Old dashboard, a job"
    LEGACY_LOG = "legacy_log", "Old dashboard, its audit log"


LEGACY_SOURCES = frozenset({Source.LEGACY, Source.LEGACY_LOG})


class OutcomeGroup(models.TextChoices):
    """What outcomes have in common for whoever looks over many; the values are the classes of their colours."""

    ACCEPTED = "accepted", "Accepted"
    UNKNOWN = "unknown", "Unknown or being sent"
    FAILED = "failed", "Not applied"
    REFUSED = "refused", "Refused here"


def group_of(outcome: str) -> OutcomeGroup:
    """Return the group of an outcome."""
    if outcome in ACCEPTED_OUTCOMES or outcome == Outcome.LEGACY_SUCCESS:
        return OutcomeGroup.ACCEPTED
    if outcome in IN_DOUBT_OUTCOMES or outcome == Outcome.LEGACY_UNKNOWN:
        return OutcomeGroup.UNKNOWN
    return OutcomeGroup.REFUSED if outcome == Outcome.REFUSED else OutcomeGroup.FAILED
