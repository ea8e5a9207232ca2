"""The statuses of apps, and what those of all apps of a customer come to."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import models

from jobs.models import AppRunCustomer

Health = AppRunCustomer.Health


class Status(models.TextChoices):
    """What TMS says of an app. UNKNOWN stands for everything else that it may say, which is kept as spelled."""

    READY = "Ready"
    FAILURE = "Failure"
    TRANSITING = "Transiting"
    INAPPLICABLE = "Inapplicable"
    UNKNOWN = "unknown"


KNOWN = tuple(status.value for status in Status if status is not Status.UNKNOWN)


@dataclass(frozen=True)
class App:
    """An app as TMS showed it for a customer: the status as spelled, and the reason if there was one."""

    name: str
    status: str
    reason: str = ""


def status_of(spelled: str) -> Status:
    """Return the status that TMS spelled like this: to the letter, or it is unknown."""
    return Status(spelled) if spelled in KNOWN else Status.UNKNOWN


def health_of(spelled: Iterable[str]) -> Health:
    """Return what the statuses of all apps of a customer come to. An app that is inapplicable keeps nobody waiting."""
    statuses = {status_of(status) for status in spelled}
    if Status.FAILURE in statuses:
        return Health.FAILURE
    return Health.READY if statuses <= {Status.READY, Status.INAPPLICABLE} else Health.UNSETTLED
