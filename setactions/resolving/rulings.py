"""What a person can do about one attempt in doubt: check now what TMS shows, and decide what no reading proves."""

from typing import Any

from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from audit.choices import Kind, Ruling
from audit.models import Attempt
from audit.selectors import opening_body
from jobs.signatures import signed_jobs
from setactions.limits import check_active
from setactions.permissions import may_set_action
from setactions.refusal import Refusal
from setactions.resolving.readback import Judgement, Reading, examine, read_states
from setactions.resolving.reconcile import close, write_verdict
from setactions.resolving.roll_forward import ReconcileReport
from setactions.tms.clusters import cluster_at
from setactions.token import Token
from tmsdash.accounts import is_auditor
from tmsdash.text import one_line
from tmsdash.tokens import looks_like_token
from tmsdash.web.template_filters import in_shown_zone

REASON_LENGTH = 10  # characters that a reason has at least
MAX_REASON_LENGTH = 1000


def may_check(user: Any, attempt: Attempt) -> bool:
    """Tell whether `user` may read an attempt back: its owner who may send, and who may decide."""
    is_own = attempt.user_id == user.get_username()
    return (is_own and may_set_action(user)) or may_decide(user)


def may_decide(user: Any) -> bool:
    """Tell whether `user` is active, has `audit.decide_attempt`, and is no auditor, whatever else they are."""
    return user.is_active and user.has_perm("audit.decide_attempt") and not is_auditor(user)


@sensitive_variables("token")
def check(attempt: Attempt, token: Token, first: Reading | None, actor: Actor) -> Judgement:
    """Read back what the cluster shows of an attempt in doubt, and close the attempt if that proves its outcome.

    `first` is an earlier reading that found nothing applied. Raises Refusal (409 nothing is in
    doubt, or its call may be running still; 503 too many reads, or passive) and ReadingFailedError.
    """
    _check_in_doubt(attempt)
    cluster = cluster_at(attempt.cluster_url)
    if cluster is None:
        raise Refusal(409, "cluster", "This cluster is not configured any more, so it cannot be read.")
    cids = opening_body(attempt)["cids"]
    judgement = examine(attempt, cids, read_states(cluster, cids, token), first)
    write_verdict(attempt, judgement, actor, ReconcileReport())
    return judgement


def decide(attempt: Attempt, ruling: str, reason: str, reading: Reading | None, actor: Actor) -> None:
    """Close an attempt in doubt as a person rules, for a reason, on a reading that proved nothing or failed.

    It may be missing only where there can be none. Raises Refusal (400 no ruling or reason; 409; 503).
    """
    _check_in_doubt(attempt)
    if ruling not in Ruling.values:
        raise Refusal(400, "ruling", "Choose whether it was applied.")
    # Above all without NUL: PostgreSQL could never store the Job that is made from this decision.
    reason = one_line(" ".join(reason.split()), MAX_REASON_LENGTH + 1)
    if looks_like_token(reason):
        raise Refusal(400, "reason", "The reason holds what looks like a bearer token. Reasons are kept for ever.")
    if not REASON_LENGTH <= len(reason) <= MAX_REASON_LENGTH:
        raise Refusal(
            400,
            "reason",
            f"Give a reason of {REASON_LENGTH} to {MAX_REASON_LENGTH:,} characters: auditors will read it.",
        )
    if reading is None and cluster_at(attempt.cluster_url) is not None:
        raise Refusal(409, "ruling", "Check first what TMS shows of these customers; then decide on that reading.")
    body = {
        "message": f"Decided by {actor.user_id}: {reason}",
        "reason": reason,
        "ruling": ruling,
        "readings": [reading.as_json()] if reading else [],
    }
    close(attempt, (Kind.DECIDED, body), actor, ReconcileReport())


def _check_in_doubt(attempt: Attempt) -> None:
    check_active()
    if not attempt.is_open or attempt.job_owed or signed_jobs([attempt.attempt_id]):
        raise Refusal(409, "attempt", "The outcome of this attempt is known; there is nothing left to check.")
    if attempt.is_young:
        sentence = (
            f"TMS may still be working on it. Check from {in_shown_zone(attempt.judged_from):%H:%M:%S %Z} on: before "
            f"that, a reading proves nothing. {attempt.clock_problem}"
        )
        raise Refusal(409, "attempt", sentence.rstrip())
