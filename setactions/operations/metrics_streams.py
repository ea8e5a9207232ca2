"""What `/metrics` tells of the streams of the audit, which takes two databases."""

import logging
from collections.abc import Iterator

from django.db import Error as AnyDatabaseError
from django.db import connections
from prometheus_client.core import GaugeMetricFamily, Metric

from audit.stream.lag import Lag, lags
from tmsdash.db.transactions import drop_if_broken, ensure_own_file

logger = logging.getLogger(__name__)


def stream_metrics() -> Iterator[Metric]:
    """Yield how far each stream is behind; nothing if a database does not answer."""
    streams = _lags()
    if streams is None:
        return
    entries = GaugeMetricFamily(
        "tms_dashboard_audit_stream_lag_entries", "Entries that the stream has not sent yet.", labels=["stream"]
    )
    seconds = GaugeMetricFamily(
        "tms_dashboard_audit_stream_lag_seconds", "Age of the oldest of them, 0 if none.", labels=["stream"]
    )
    for stream in streams:
        entries.add_metric([stream.name], stream.entries)
        seconds.add_metric([stream.name], stream.seconds)
    yield from (entries, seconds)


def _lags() -> list[Lag] | None:
    try:
        with drop_if_broken("default", "audit"):
            for alias in ("default", "audit"):
                ensure_own_file(connections[alias])
            return lags()
    except (AnyDatabaseError, ValueError) as error:  # a database may hold what is no time
        logger.error("[METRICS] the streams of the audit cannot be read: %s", error)
        return None
