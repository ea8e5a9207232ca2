"""Who walks through a made-up installation, and what they write into its addresses and search fields."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.db.models import Count
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from audit.models import Attempt
from jobs.models import Batch, Job
from setactions.devtools.demo_data.scenario import FORMER, customer_id
from setactions.devtools.site_walk.links import Address
from tmsdash.accounts import AUDITORS, OPERATORS

FREQUENT = customer_id(0)


@dataclass(frozen=True)
class Visitor:
    """A user, with values for the names of fields and of parts of addresses, and a label for each value."""

    role: str
    user: Any
    has_longest_lists: bool
    texts: dict[str, list[str]] = field(default_factory=dict)
    periods: list[tuple[str, str]] = field(default_factory=list)
    parts: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def start(self) -> Iterator[Address]:
        """Yield every address of the site, those of single things with the values of `parts`."""
        yield from (Address(path) for path in _paths(get_resolver(), "", self.parts))


def visitors(*, all_roles: bool = True) -> list[Visitor]:
    """Return the operators with the most jobs and with the fewest, an auditor and an admin, or the first and third."""
    counts = Job.objects.order_by().values_list("user_id").annotate(count=Count("pk")).order_by("-count")
    by_jobs = [name for name, _ in counts]
    names = {*User.objects.filter(groups__name=OPERATORS).values_list("username", flat=True)}
    busiest, *_, idlest = (User.objects.get(username=name) for name in by_jobs if name in names)
    auditor = User.objects.filter(groups__name=AUDITORS).earliest("pk")
    users = {
        "busiest operator": (busiest, True),
        "least busy operator": (idlest, False),
        "auditor": (auditor, True),
        "admin": (User.objects.filter(is_superuser=True).earliest("pk"), False),
    }
    return [
        _visitor(role, user, has_longest_lists, names=(by_jobs[0], FORMER))
        for role, (user, has_longest_lists) in users.items()
        if all_roles or has_longest_lists
    ]


def _visitor(role: str, user: User, has_longest_lists: bool, names: Sequence[str]) -> Visitor:
    own = {} if user.is_staff else {"user_id": user.username}
    jobs, attempts = Job.objects.filter(**own), Attempt.objects.filter(**own)
    newest, batch = jobs.latest("pk"), Batch.objects.filter(**own).order_by("pk").last()
    longest = jobs.filter(pk__gt=newest.pk - 100_000).latest("customer_count")
    unsettled = [str(attempt.attempt_id) for attempt in attempts.filter(is_open=True).order_by("pk")[:1]]
    rare = newest.customers.order_by("pk")[0]
    texts = {
        "a job": str(newest.job_id),
        "a frequent customer": FREQUENT,
        "a customer": rare.cid,
        "nothing": uuid4().hex,
    }
    labels = {text: label for label, text in texts.items()} | {names[0]: "a busy user", names[1]: "a former user"}
    batches = [str(batch.batch_id)] if batch else []
    customers = [FREQUENT, rare.cid, texts["nothing"]]
    days = {label: f"{newest.created_at - timedelta(days=ago):%Y-%m-%d}" for ago, label in _DAYS.items()}
    labels |= {day: label for label, day in days.items()}
    today, week, month, year, years = days.values()
    return Visitor(
        role,
        user,
        has_longest_lists,
        texts={"customer": customers, "cid": customers, "job": [str(newest.job_id)], "user": [*names]}
        | {"q": [*texts.values(), *names, *batches], "user_id": [*names]},
        periods=[(week, today), (year, year), (years, year), (years, ""), ("", years), (month, "")],
        parts={
            "job_id": [str(newest.job_id), str(longest.job_id)],
            "attempt_id": [str(newest.job_id), *unsettled],
            "batch_id": batches,
            "cid": customers,
            "id": [str(user.pk)],
            "app_label": ["audit"],
        },
        labels=labels,
    )


_DAYS = {0: "today", 7: "a week ago", 30: "a month ago", 365: "a year ago", 730: "two years ago"}


def _paths(resolver: URLResolver, namespace: str, parts: dict[str, list[str]]) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _paths(pattern, f"{pattern.namespace}:" if pattern.namespace else namespace, parts)
        elif isinstance(pattern, URLPattern) and pattern.name:
            names = list(pattern.pattern.regex.groupindex)
            if not names:
                yield reverse(namespace + pattern.name)
            elif len(names) == 1:
                for value in _values(pattern, names[0], parts):
                    yield reverse(namespace + pattern.name, args=[value])


def _values(pattern: URLPattern, name: str, parts: dict[str, list[str]]) -> list[str]:
    """Return what to write in place of a part of an address; of a row in the admin, the key of its newest."""
    admin_of: Any = getattr(pattern.callback, "model_admin", None)
    if name != "object_id" or admin_of is None:
        return parts.get(name, [])
    newest = admin_of.model._default_manager.order_by("pk").last()
    return [str(newest.pk)] if newest else []
