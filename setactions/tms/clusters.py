"""The clusters that may be called. What is not listed in TMS_CLUSTERS cannot be reached by any spelling."""

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qsl

from django.conf import settings

from setactions.refusal import Refusal


class Call(Enum):
    """The three calls that TMS knows; the value is the path, which is ours, never the client's."""

    SET_ACTION = "/tms/v1/set/action"
    GET_ACTION = "/tms/v1/get/action"
    GET_APPSTATUS = "/tms/v1/get/appstatus"


@dataclass(frozen=True, order=True)
class Cluster:
    """A TMS: its name, and its origin (scheme, host and port)."""

    name: str
    origin: str

    @property
    def is_production(self) -> bool:
        """Whether what is done here is done to customers who notice."""
        return self.name in settings.TMS_PRODUCTION_CLUSTERS


@dataclass(frozen=True)
class Target:
    """A call to a cluster, with the query of a read as ordered pairs."""

    cluster: Cluster
    call: Call
    query: tuple[tuple[str, str], ...] = ()


READ_PARAMETERS = ("cid", "app")


def all_clusters() -> list[Cluster]:
    """Return the clusters of TMS_CLUSTERS in the order given there."""
    return [Cluster(name, origin) for name, origin in settings.TMS_CLUSTERS.items()]


def cluster_named(name: str) -> Cluster | None:
    """Return the cluster with exactly this name, or None."""
    return next((cluster for cluster in all_clusters() if cluster.name == name), None)


def cluster_at(origin: str) -> Cluster | None:
    """Return the cluster that has exactly this origin, or None if it is not configured (any more)."""
    return next((cluster for cluster in all_clusters() if cluster.origin == origin), None)


def find_cluster(name: str) -> Cluster | None:
    """Return the cluster with exactly this name or this origin, or None."""
    return cluster_named(name) or cluster_at(name)


def parse_target(url: str, *, is_post: bool) -> Target:
    """Return what `url` asks for; raises Refusal (403 not allow-listed, 400 path or query that do not fit).

    The origin must be an allow-listed one to the letter, followed by a slash. Nothing of `url` is
    ever sent on: the origin comes from the settings, the path from Call, the query is parsed and
    encoded anew. So there is no second parser that could understand the text differently.
    """
    for cluster in all_clusters():
        if url.startswith(cluster.origin + "/"):
            break
    else:
        raise Refusal(
            403, "url", "This target is not allowed. Use the origin of a configured cluster, spelled as configured."
        )
    path, mark, query = url.removeprefix(cluster.origin).partition("?")
    path = re.sub("/+", "/", path)
    if is_post and path == Call.SET_ACTION.value and not mark:
        return Target(cluster, Call.SET_ACTION)
    if not is_post and path in (Call.GET_ACTION.value, Call.GET_APPSTATUS.value):
        return Target(cluster, Call(path), _parse_read_query(query))
    raise Refusal(
        400,
        "url",
        f"Path and method do not fit. With isPost true use {Call.SET_ACTION.value}, "
        f"with isPost false {Call.GET_ACTION.value} or {Call.GET_APPSTATUS.value}.",
    )


def _parse_read_query(query: str) -> tuple[tuple[str, str], ...]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=200)
    except ValueError:
        pairs = []
    if not pairs or any(name not in READ_PARAMETERS or not value.isprintable() for name, value in pairs):
        raise Refusal(400, "url", "A read takes cid and app as its query, such as ?cid=ALL, and nothing else.")
    return tuple(pairs)
