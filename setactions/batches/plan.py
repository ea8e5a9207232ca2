"""What the batch command is about to do with a list, or with the rest of a batch, and the yes for it."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from audit.choices import Action
from jobs.batches.scopes import Scope
from jobs.batches.selectors import batches_of_list, left_parts
from jobs.models import Batch
from setactions.batches.options import BatchOptions
from setactions.confirmation import check_typed_count, must_type_count
from setactions.inputs.csv_table import Table
from setactions.tms.clusters import Cluster
from tmsdash.text import counted


@dataclass(frozen=True)
class Plan:
    """How many customers are about to be sent to which clusters, and that in sentences."""

    table: Table
    customer_count: int
    clusters: frozenset[Cluster]
    sentences: tuple[str, ...]

    def as_json(self, batch: Batch | None) -> dict[str, Any]:
        """Return what a dry run prints as JSON; `batch` is the one to go on with."""
        parts = [
            {"cluster": part.cluster.name, "action": part.action.label, "customers": part.customer_count}
            for part in self.table.parts
        ]
        facts = {"customers": self.table.customer_count, "repeated": self.table.repeated, "parts": parts}
        left = {"left": self.customer_count} if batch else {}
        return {"status": "checked", **facts, **left, "warnings": self.table.warnings, "exit_code": 0}

    def confirm(self, options: BatchOptions) -> None:
        """Return if the user said yes, by options or on the terminal; raises CommandError or Refusal if not."""
        count = self.customer_count
        if options.confirm is not None:
            check_typed_count(str(options.confirm), count)
        elif any(must_type_count(cluster, count) for cluster in self.clusters):
            if not options.can_ask:
                raise CommandError(
                    "The number of customers must be confirmed for production clusters and long lists. "
                    f"Give --confirm {count} if that is what you mean."
                )
            check_typed_count(_ask(f"Type the number of customers ({count:,}) to go on: "), count)
            return
        if options.yes:
            return
        if not options.can_ask:
            raise CommandError("There is nobody to ask. Give --yes to confirm.")
        if _ask("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("Not confirmed.")


def plan_list(table: Table, chunk_size: int) -> Plan:
    """Plan a new batch of the whole table."""
    sentences = [
        f"{_target(part.action, part.cluster)}: {counted(part.customer_count, 'customer')} in "
        f"{counted(ceil(part.customer_count / chunk_size), 'call')} of at most {chunk_size:,}."
        for part in table.parts
    ]
    left_out = f" {counted(table.repeated, 'repeat')} left out." if table.repeated else ""
    sentences += [f"In all {counted(table.customer_count, 'customer')}.{left_out}", _at_once(), *table.warnings]
    return Plan(table, table.customer_count, frozenset(part.cluster for part in table.parts), tuple(sentences))


def plan_rest(table: Table, batch: Batch, scope: Scope) -> Plan:
    """Plan a further run of the batch that was made of the table."""
    clusters = {part.cluster.origin: part.cluster for part in table.parts}
    left = left_parts(batch, scope)
    sentences = [
        f"{_target(Action(part.action_code), clusters[part.cluster_url])}: {counted(part.customers, 'customer')} left, "
        f"in {counted(part.chunks, 'call')}."
        for part in left
    ]
    count = sum(part.customers for part in left)
    total = f"In all {counted(count, 'customer')} left of {batch.customer_count:,}."
    sentences += [f"{total} What is over or unknown is not sent again.", _at_once()]
    if batch.reason:
        sentences.append(f"It stopped for this reason: {batch.reason}")
    return Plan(table, count, frozenset(clusters[part.cluster_url] for part in left), tuple(sentences))


def _target(action: Action, cluster: Cluster) -> str:
    return f"{action.label} on {cluster.name}{' (PRODUCTION)' if cluster.is_production else ''}"


def _at_once() -> str:
    return f"No cluster gets more than {counted(settings.TMS_BATCH_CALLS, 'call')} at once."


def same_list_lately(digest: str, *, but: Any = None) -> Iterator[str]:
    """Return a sentence for each batch of the last day that was given the very same list."""
    for batch in batches_of_list(digest).exclude(batch_id=but)[:3]:
        yield (
            f"The same list was given to batch {batch.batch_id} by {batch.user_id} at {batch.created_at:%H:%M} UTC "
            f"({batch.shown_state.label.lower()}). To go on with that one, give --batch-id {batch.batch_id}."
        )


def _ask(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline()
