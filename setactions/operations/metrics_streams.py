"""What `/metrics` tells of the audit's chain and of its streams, whose cursors are in the database of accounts."""

import logging
from collections.abc import Iterator

from django.db import Error as AnyDatabaseError
from django.db import connections
from prometheus_client.core import GaugeMetricFamily, Metric

from audit.stream.lag import chain_and_lags
from tmsdash.db.transactions import drop_if_broken, ensure_own_file
from tmsdash.models import AuditStream

logger = logging.getLogger(__name__)


def chain_metrics() -> Iterator[Metric]:
    """Yield the length of the chain and, if the database of accounts answers, how far each stream is behind it."""
    streams = _streams()
    length, lags = chain_and_lags(streams or ())
    yield GaugeMetricFamily("tms_dashboard_audit_chain_entries", "Entries that the audit has had.", length)
    if streams is None:
        return
    entries = GaugeMetricFamily(
        "tms_dashboard_audit_stream_lag_entries", "Entries that the stream has not sent yet.", labels=["stream"]
    )
    seconds = GaugeMetricFamily(
        "tms_dashboard_audit_stream_lag_seconds", "Age of the oldest of them, 0 if none.", labels=["stream"]
    )
    for stream in lags:
        entries.add_metric([stream.name], stream.entries)
        seconds.add_metric([stream.name], stream.seconds)
    yield from (entries, seconds)


def _streams() -> list[AuditStream] | None:
    try:
        with drop_if_broken("default"):
            ensure_own_file(connections["default"])
            return list(AuditStream.objects.order_by("name"))
    except (AnyDatabaseError, ValueError) as error:  # a database may hold what is no time
        logger.error("[METRICS] the streams of the audit cannot be read: %s", error)
        return None
