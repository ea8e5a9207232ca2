"""The work queue of attempts in doubt: which ones a user can do something about, and what that is."""

from typing import Any

from django.db.models import QuerySet

from audit import in_doubt
from audit.models import Attempt
from audit.selectors import attempts_in_doubt_of
from setactions.permissions import may_set_action
from setactions.resolving.rulings import may_check, may_decide
from setactions.tms.clusters import cluster_at
from tmsdash.web.template_filters import in_shown_zone

MOST_COUNTED = 99


def may_resolve(user: Any) -> bool:
    """Tell whether `user` may check or decide on any attempt in doubt."""
    return may_set_action(user) or may_decide(user)


def queue_of(user: Any) -> QuerySet[Attempt]:
    """Return the attempts in doubt, oldest first: all of them for those who may decide, else the user's own."""
    return attempts_in_doubt_of(_whose(user))


def _whose(user: Any) -> Any | None:
    return None if may_decide(user) else user


def count_in_words(user: Any) -> str:
    """Return how many there are, such as "3" or "99+"; "" if there are none, or the user can do nothing."""
    count = in_doubt.count(_whose(user), MOST_COUNTED + 1) if may_resolve(user) else 0
    return f"{MOST_COUNTED}+" if count > MOST_COUNTED else str(count or "")


def next_step(user: Any, attempt: Attempt, *, is_recorded: bool) -> str:
    """Say what is to be done next about an attempt in doubt, whose Job may have been recorded all the same."""
    if is_recorded:
        return "Nothing: TMS accepted it and its job is recorded. The audit is told by the next reconcile."
    cluster = cluster_at(attempt.cluster_url)
    if cluster is None:
        gone = "Its cluster is not configured any more, so nothing can be read back"
        return f"Decide. {gone}." if may_decide(user) else f"Ask somebody who may decide. {gone}."
    if attempt.is_young:
        until = f"{in_shown_zone(attempt.judged_from):%H:%M:%S %Z}"
        return f"Wait until {until}: TMS may still be working on it. {attempt.clock_problem}"
    if not may_check(user, attempt):
        return f"Ask {attempt.user_id}, or somebody who may decide."
    then = "decide" if may_decide(user) else "ask somebody who may decide"
    return f"Check with your token for {cluster.name}. If that proves nothing, {then}."
