"""A file of metrics for node_exporter's textfile collector: a witness runs now and then, and nobody could scrape it."""

from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from audit.transparency.notes import Checkpoint
from setactions.operations.witness.outcome import REWRITTEN, UNPROVEN, Memory, Outcome

PREFIX = "tms_dashboard_witness_"


def write(path: Path, url: str, outcome: Outcome, memory: Memory, last: Checkpoint | None) -> None:
    """Write what a look came to, readable for everybody; the file is there whole or as it was. Raises OSError."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str, value: float | None) -> None:
        if value is not None:
            Gauge(PREFIX + name, text, ["site"], registry=registry).labels(url).set(value)

    succeeded_at = datetime.fromisoformat(memory.succeeded_at).timestamp() if memory.succeeded_at else None
    gauge("rewritten", "Whether the site has shown a history that was rewritten.", outcome.word == REWRITTEN)
    gauge("unproven", "Whether the site does not prove what it shows.", outcome.word == UNPROVEN)
    gauge("last_success_timestamp_seconds", "When the site last proved what it shows.", succeeded_at)
    if last:
        signed_at = last.at.timestamp() if last.at else None
        gauge("entries", "How many entries the last checkpoint covers that was taken.", last.size)
        gauge("checkpoint_timestamp_seconds", "When that checkpoint was signed, by the site's clock.", signed_at)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(generate_latest(registry))
    new.chmod(0o644)  # the collector is another user, and there is no secret in it
    new.replace(path)
