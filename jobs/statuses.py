"""The word for how far a job is known to have come: Accepted, Partly confirmed, Confirmed.

TMS accepted every job. What a reading confirmed is said with the time of that reading, and no more than it showed.
"""

from dataclasses import dataclass
from functools import lru_cache

from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.models import Job, JobConfirmation
from tmsdash.web.template_filters import number, shown_time

_OF_OLD_DASHBOARD = "Success"  # its own word, which nobody here vouches for
_LABELS: dict[str, str] = {str(status): str(status.label) for status in Job.Status}


@dataclass(frozen=True)
class ShownStatus:
    """A job's status in a word, the class of its colour, and what was confirmed when, which may be nothing."""

    label: str
    css: str
    detail: SafeString = SafeString()


def shown_status(status: str, *, legacy: bool, confirmation: JobConfirmation | None) -> ShownStatus:
    """Return how a job is shown that has this stored status, and of which this was confirmed."""
    if confirmation is None or status != Job.Status.SUCCESS:
        return _unconfirmed(status, legacy=legacy)
    detail = format_html(
        "{} of {}, read {}",
        *(number(confirmation.confirmed), number(confirmation.customer_count), shown_time(confirmation.read_at)),
    )
    if confirmation.is_whole:
        return ShownStatus("Confirmed", "confirmed", detail)
    return ShownStatus("Partly confirmed", "partly_confirmed", detail)


@lru_cache(64)  # nearly every row of a list is one of the same few
def _unconfirmed(status: str, *, legacy: bool) -> ShownStatus:
    is_foreign = legacy and status == Job.Status.SUCCESS
    return ShownStatus(_OF_OLD_DASHBOARD if is_foreign else _LABELS.get(status, status), status)
