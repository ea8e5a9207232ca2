"""`/metrics`, for Prometheus: what the databases hold, read at each scrape, and how long things took in this server.

- What the databases hold is the same on every host of a site: take the highest of them, never their sum.
- The number of attempts with an outcome is a gauge. A doubt that is resolved, or a decision that is proven wrong, moves
  an attempt from one outcome to another, and Prometheus would take a counter that falls for one that began anew.
- Labels name clusters, outcomes, databases and timers, and never a customer, a user or an attempt.
"""

from collections.abc import Iterator, Sequence

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from setactions.operations.metrics_databases import database_metrics
from setactions.operations.scrapers import may_read_metrics
from tmsdash.server import shared
from tmsdash.server.histograms import CLUSTERS, OWN, WRITES, Histogram, calls_of
from tmsdash.server.shared import Cell
from tmsdash.version import product_version
from tmsdash.web.errors import error_json, json_get

OTHERS = "others"  # clusters
Histograms = dict[tuple[str, ...], Histogram]  # by the values of their labels

FORBIDDEN = (
    "Metrics are for this host, asked directly and not through the proxy, and for whoever sends Authorization: Bearer "
    "with the METRICS_TOKEN of the settings."
)


class SiteCollector(Collector):
    """What a scrape is told, all of it as it is at that moment."""

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its samples."""
        version = GaugeMetricFamily("tms_dashboard_info", "Always 1; tells the version.", labels=["version"])
        version.add_metric([product_version()], 1)
        yield version
        yield from database_metrics()
        yield from _server_metrics()


@never_cache
@json_get
@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape in the text format of Prometheus; 403 to whoever may not read it."""
    if not may_read_metrics(request):
        refusal = error_json(403, FORBIDDEN)
        refusal._has_been_logged = True  # type: ignore[attr-defined]  # Django's line beside that of the access log
        return refusal
    registry = CollectorRegistry()
    registry.register(SiteCollector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _server_metrics() -> Iterator[Metric]:
    """Yield what the workers of this server have counted together, see tmsdash.server.histograms."""
    in_flight = sum(slot[Cell.CALLS] for slot in shared.slots)
    yield GaugeMetricFamily("tms_dashboard_calls_in_flight", "Set Actions that this server is sending.", in_flight)
    # Those that share a histogram are told once.
    calls: Histograms = {
        (name if number < CLUSTERS - 1 else OTHERS,): calls_of(origin)
        for number, (name, origin) in enumerate(settings.TMS_CLUSTERS.items())
    }
    yield _histograms(
        "tms_dashboard_call_duration_seconds", "How long TMS took to answer a Set Action.", ("cluster",), calls
    )
    own = "How long a Set Action took here beside the call: checks, the audit, the Job, and waits for locks."
    yield _histograms("tms_dashboard_own_duration_seconds", own, (), {(): OWN})
    writes = "How long a transaction that writes took, with its wait for other writers."
    aliases: Histograms = {(alias,): histogram for alias, histogram in WRITES.items()}
    yield _histograms("tms_dashboard_database_write_duration_seconds", writes, ("database",), aliases)


def _histograms(name: str, documentation: str, labels: Sequence[str], histograms: Histograms) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=labels)
    for values, histogram in histograms.items():
        counts, sum_s = histogram.read()
        bounds = [*(str(float(bound)) for bound in histogram.bounds_s), "+Inf"]
        family.add_metric(values, list(zip(bounds, counts, strict=True)), sum_s)
    return family
