"""Filters of the audit's lists, which the lists of jobs share."""

from typing import Any

from django.conf import settings
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.http import urlencode

from audit.choices import LEGACY_SOURCES, Source
from audit.models import Attempt
from audit.summary import AttemptSummary, summarize
from audit.tallies import tallies_of
from tmsdash.accounts import LAST_UNKNOWN_NAME, UNKNOWN_NAME
from tmsdash.web.admin_filters import PINPOINTS, EqualFilter, TimeFilter, UserFilter, words_for_cluster

# The filters that jobs and attempts share, by the names that they have in addresses.
SHARED = ("action_code__exact", "cluster_url", "source", "user_id")


class SourceFilter(EqualFilter):
    title = "source"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(source.value, str(source.label)) for source in Source]


class ConfiguredClusterFilter(EqualFilter):
    """Offers the clusters that are configured; an address may name others."""

    title = "cluster"
    parameter_name = "cluster_url"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        origins = [*settings.TMS_CLUSTERS.values()]
        given = self.value()
        if given and given not in origins:
            origins.append(given)
        return [(origin, words_for_cluster(origin)) for origin in origins]


class EntryUserFilter(UserFilter):
    """Leaves out the hashes of names that nobody has: strangers can make any number of them."""

    passed_over = (UNKNOWN_NAME, LAST_UNKNOWN_NAME)


def query_of_attempts(changelist: ChangeList) -> str:
    """Return the query of an address that lists attempts, for the period and the filters of a list of jobs."""
    return "?" + urlencode(
        {name: changelist.params[name] for name in (*SHARED, *TimeFilter.parameters) if changelist.params.get(name)}
    )


def summary_for(changelist: ChangeList) -> AttemptSummary | None:
    """Sum up the attempts of the period and the filters of a list of jobs; None if it is about one thing only."""
    if any(changelist.params.get(name) for name in PINPOINTS):
        return None
    [time] = [spec for spec in changelist.filter_specs if isinstance(spec, TimeFilter)]
    conditions = {name: changelist.params[name] for name in SHARED if changelist.params.get(name)}
    attempts = Attempt.objects.exclude(source__in=LEGACY_SOURCES).filter(**conditions)
    return summarize(attempts, *time.bounds(), tallies_of(passed_over=LEGACY_SOURCES, **conditions))
