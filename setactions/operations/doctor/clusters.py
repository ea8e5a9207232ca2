"""Each cluster: its name resolves, it takes connections, its certificate is accepted, and it speaks HTTP.

The way is that of a Set Action: the same proxy, the same certificates, the same sentences. But only `HEAD /` is asked
for, without a token, never what lies below `/tms/`.
"""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path

import requests
from cryptography import x509
from django.conf import settings
from django.utils import timezone
from requests.structures import CaseInsensitiveDict

from setactions.operations.doctor.clocks import MOST, SET_CLOCK, in_words
from setactions.operations.doctor.faults import mend_of, name_of
from setactions.operations.doctor.findings import Finding, Findings, Well, note
from setactions.operations.doctor.parallel import in_parallel
from setactions.operations.doctor.site import Site
from setactions.tms.clusters import Cluster, all_clusters
from setactions.tms.connections import ADAPTER, of_thread
from setactions.tms.unsent import Connection, reason_of

TIMEOUT_S = 5.0  # for connecting, for the handshake and for the answer, each
WAIT_S = 12.0  # for all clusters together
EXPIRES_SOON = timedelta(days=21)
GATEWAY_ERRORS = (502, 503, 504)


def look(site: Site) -> Findings:
    """Yield which cluster cannot be reached, and why."""
    yield from _bundle()
    clusters = all_clusters()
    results = in_parallel([partial(_looked_at, cluster) for cluster in clusters], WAIT_S)
    reached = []
    for cluster, findings in zip(clusters, results, strict=True):
        if findings is None:
            sentence = f"Cluster {cluster.name}: {cluster.origin} has not answered within {WAIT_S:.0f} seconds."
            yield Finding("cluster.timeout", sentence, mend_of("cluster.timeout", cluster))
            continue
        yield from findings
        if not findings:
            reached.append(cluster.name)
    yield Well(f"reached: {', '.join(reached)}" if reached else "none")


class _Probe:
    """How far a connection has got; the certificate that the other side showed."""

    def __init__(self) -> None:
        self.is_connected = self.is_tunnelled = self.is_ready = False
        self.expires_at: datetime | None = None

    def connected(self, connection: socket.socket) -> None:
        self.is_connected = True

    def tunnelled(self) -> None:
        self.is_tunnelled = True

    def pass_gate(self, ready: socket.socket) -> None:
        self.is_ready = True
        if isinstance(ready, ssl.SSLSocket):
            shown = ready.getpeercert() or {}
            self.expires_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)


def _looked_at(cluster: Cluster) -> list[Finding]:
    request = requests.PreparedRequest()
    request.method, request.url = "HEAD", f"{cluster.origin}/"
    request.headers = CaseInsensitiveDict({"User-Agent": "tms-dashboard", "Connection": "close"})
    probe = of_thread.exchange = _Probe()
    proxies = {"http": settings.TMS_PROXY, "https": settings.TMS_PROXY} if settings.TMS_PROXY else None
    try:
        response = ADAPTER.send(request, stream=True, timeout=(TIMEOUT_S, TIMEOUT_S), proxies=proxies)
        response.raw.close()
    except (requests.RequestException, OSError) as error:
        if probe.is_ready:
            sentence = (
                f"Cluster {cluster.name}: {cluster.origin} takes a request and does not answer: {reason_of(error)}."
            )
            return [Finding("cluster.no_answer", sentence, mend_of("cluster.no_answer", cluster))]
        connection = Connection(request.url, settings.TMS_PROXY, probe.is_connected, probe.is_tunnelled)
        name = name_of(connection.cause_of(error))
        if settings.TMS_PROXY and not probe.is_tunnelled and name.startswith("cluster."):
            name = "proxy.unreachable"  # whatever the reason: the cluster was not come to
        sentence = f"Cluster {cluster.name}: {connection.fault(error)}"
        return [Finding(name, sentence, mend_of(name, cluster))]
    finally:
        del of_thread.exchange
    return list(_of_answer(cluster, response, probe))


def _of_answer(cluster: Cluster, response: requests.Response, probe: _Probe) -> Iterator[Finding]:
    if response.status_code in GATEWAY_ERRORS:
        sentence = f"Cluster {cluster.name}: a gateway answers for it with HTTP {response.status_code}."
        yield note("cluster.gateway", sentence, "Ask whoever runs the cluster whether TMS is running.")
    if probe.expires_at and probe.expires_at - timezone.now() < EXPIRES_SOON:
        sentence = f"Cluster {cluster.name}: its certificate expires on {probe.expires_at:%Y-%m-%d}."
        yield note("cluster.certificate_expires", sentence, "Ask whoever runs the cluster to renew it.")
    try:
        ahead = timezone.now() - parsedate_to_datetime(response.headers.get("Date", ""))
    except (ValueError, TypeError):  # none, or none that can be read, or without a zone
        return
    if abs(ahead) > MOST:
        sentence = f"This host's clock is {in_words(ahead)} that of the cluster {cluster.name}."
        yield note("clock.cluster", sentence, f"{SET_CLOCK}; if this host's is right, ask whoever runs the cluster.")


def _bundle() -> Findings:
    """Yield which authority of TMS_CA_BUNDLE expires soon."""
    file = settings.TMS_CA_BUNDLE
    if not file:
        return
    try:
        authorities = x509.load_pem_x509_certificates(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        sentence = f"TMS_CA_BUNDLE: {file} cannot be read as certificates: {getattr(error, 'strerror', None) or error}."
        yield Finding("cluster.bundle", sentence, f"TMS_CA_BUNDLE=FILE in .env, certificates in PEM; chmod a+r {file}")
        return
    for authority in authorities:
        if authority.not_valid_after_utc - timezone.now() < EXPIRES_SOON:
            name = authority.subject.rfc4514_string()
            sentence = f"{name} in TMS_CA_BUNDLE expires on {authority.not_valid_after_utc:%Y-%m-%d}."
            yield note("cluster.authority_expires", sentence, f"Put its successor into {file}, beside it.")
