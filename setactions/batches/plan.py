"""What the batch command is about to do with a list, or with the rest of a batch, and the yes for it."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from audit.choices import Action, Source
from jobs.batches.overlap import stopped_batches_with
from jobs.batches.selectors import left_chunks, left_parts
from jobs.models import Batch, BatchChunk
from setactions.batches import service
from setactions.batches.chunks import TableChunks
from setactions.batches.options import BatchOptions
from setactions.confirmation import check_typed_count, must_type_count
from setactions.inputs.csv_table import Table
from setactions.overlap import NEXT_STEP_OF, Overlap, TargetOverlap, united
from setactions.tms.clusters import Cluster
from tmsdash.text import counted

BATCHES_NAMED = 3


@dataclass(frozen=True)
class Plan:
    """How many customers are about to be sent to which clusters, and that in sentences.

    `overlap` holds those that were asked for already: about to be sent again, left out, or in the way.
    `is_rest` tells that a batch that is there already goes on, from which no single customer is left out.
    """

    table: Table
    customer_count: int
    clusters: frozenset[Cluster]
    overlap: Overlap
    sentences: tuple[str, ...]
    is_rest: bool = False

    def as_json(self, batch: Batch | None) -> dict[str, Any]:
        """Return what a dry run prints as JSON; `batch` is the one to go on with."""
        parts = [
            {"cluster": part.cluster.name, "action": part.action.label, "customers": part.customer_count}
            for part in self.table.parts
        ]
        facts = {"customers": self.table.customer_count, "repeated": self.table.repeated, "parts": parts}
        left = {"left": self.customer_count} if batch else {}
        overlap = {"overlap": self.overlap.as_json} if self.overlap else {}
        return {"status": "checked", **facts, **left, **overlap, "warnings": self.table.warnings, "exit_code": 0}

    def about_overlap(self, options: BatchOptions) -> Iterator[str]:
        """Yield sentences on the customers that were asked for already, and on what becomes of them."""
        if self.overlap:
            them = "They are sent again." if options.send_again else NEXT_STEP_OF[Source.COMMAND]
            yield self.overlap.summary
            yield from self.overlap.sentences
            left_out = "The chunks that they are in are skipped." if self.is_rest else "They are left out."
            yield left_out if options.without_accepted else them

    def is_repeat(self, options: BatchOptions) -> bool:
        """Tell whether customers were asked for already, and the user did not say what becomes of them."""
        return bool(self.overlap) and not (options.send_again or options.without_accepted)

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


def plan_list(table: Table, options: BatchOptions) -> Plan:
    """Plan a new batch of the whole table, or of what of it is left without customers that were asked for already.

    Raises Refusal if that is nothing.
    """
    chunks = TableChunks(table, options.chunk_size)
    overlaps = service.overlaps_of_new(chunks)
    if options.without_accepted:
        for cluster_url, action_code, overlap in overlaps:
            table.leave_out(cluster_url, action_code, overlap.cids)
    if not table.customer_count:
        raise united(overlaps).refusal(Source.COMMAND, "No other customer is left to send.")
    sentences = [
        f"{_target(part.action, part.cluster)}: {counted(part.customer_count, 'customer')} in "
        f"{counted(ceil(part.customer_count / options.chunk_size), 'call')} of at most {options.chunk_size:,}."
        for part in table.parts
        if part.customer_count
    ]
    left_out = f" {counted(table.repeated, 'repeat')} left out." if table.repeated else ""
    sentences += [f"In all {counted(table.customer_count, 'customer')}.{left_out}", _at_once()]
    sentences += [*_stopped_batches(chunks, options.user), *table.warnings]
    clusters = frozenset(part.cluster for part in table.parts if part.customer_count)
    return Plan(table, table.customer_count, clusters, united(overlaps), tuple(sentences))


def _stopped_batches(chunks: TableChunks, user_id: str) -> Iterator[str]:
    """Yield a sentence for each batch that stopped lately with customers of the list left to send."""
    for batch, cids in [*stopped_batches_with(chunks).items()][:BATCHES_NAMED]:
        to_go_on = f" To go on with that one, give --batch-id {batch.batch_id}." if batch.user_id == user_id else ""
        yield (
            f"{counted(len(cids), 'customer')} of this list {'is' if len(cids) == 1 else 'are'} left to send in batch "
            f"{batch.batch_id} of {batch.user_id}, which stopped.{to_go_on}"
        )


def plan_rest(table: Table, batch: Batch, options: BatchOptions) -> Plan:
    """Plan a further run of the batch that was made of the table."""
    scope = options.scope
    overlaps = service.overlaps_of_rest(batch, scope)
    clusters = {part.cluster.origin: part.cluster for part in table.parts}
    left = left_parts(batch, scope)
    sentences = [
        f"{_target(Action(part.action_code), clusters[part.cluster_url])}: {counted(part.customers, 'customer')} left, "
        f"in {counted(part.chunks, 'call')}."
        for part in left
    ]
    count = sum(part.customers for part in left)
    if options.without_accepted and overlaps:
        skipped = sum(chunk.customer_count for chunk in left_chunks(batch, scope) if _holds_any(chunk, overlaps))
        count -= skipped
        sentences.append(f"Chunks with such customers are skipped: {counted(skipped, 'customer')}.")
    total = f"In all {counted(count, 'customer')} left of {batch.customer_count:,}."
    sentences += [f"{total} What is over, or has an unknown outcome, is not sent again.", _at_once()]
    if batch.reason:
        sentences.append(f"It stopped for this reason: {batch.reason}")
    left_clusters = frozenset(clusters[part.cluster_url] for part in left)
    return Plan(table, count, left_clusters, united(overlaps), tuple(sentences), is_rest=True)


def _holds_any(chunk: BatchChunk, overlaps: Sequence[TargetOverlap]) -> bool:
    """Tell whether a chunk has a customer of one of these overlaps."""
    target = (chunk.cluster_url, chunk.action_code)
    return any(target == (url, code) and not overlap.shared.isdisjoint(chunk.cids) for url, code, overlap in overlaps)


def _target(action: Action, cluster: Cluster) -> str:
    return f"{action.label} on {cluster.name}{' (PRODUCTION)' if cluster.is_production else ''}"


def _at_once() -> str:
    return f"No cluster gets more than {counted(settings.TMS_BATCH_CALLS, 'call')} at once."


def _ask(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline()
