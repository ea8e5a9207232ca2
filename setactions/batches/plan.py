"""What a command is about to do with a file, or with what is left of it, in sentences, and the yes for it."""

import sys
from collections.abc import Iterator
from math import ceil
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from audit.choices import Action
from jobs.batches.selectors import LeftPart, batches_of_list
from jobs.models import Batch
from setactions.confirmation import check_typed_count, must_type_count
from setactions.inputs.csv_table import Table
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster


def plan(table: Table, *, chunk_size: int) -> Iterator[str]:
    """Return what the file asks for: each part, repeats, calls, and what looks unusual."""
    for part in table.parts:
        count = calls(ceil(part.customer_count / chunk_size))
        where = f"{part.action.label} on {_shown(part.cluster)}"
        yield f"{where}: {customers(part.customer_count)} in {count} of at most {chunk_size:,}."
    repeats = f" {table.repeated:,} repeats are left out." if table.repeated else ""
    yield f"In all {customers(table.customer_count)}.{repeats}"
    yield f"No cluster gets more than {settings.TMS_BATCH_CALLS} calls at once."
    yield from table.warnings


def plan_of_rest(batch: Batch, left: list[LeftPart], table: Table) -> Iterator[str]:
    """Return what a further run of a batch sends, which is not all that the file holds."""
    clusters = {part.cluster.origin: part.cluster for part in table.parts}
    for part in left:
        where = f"{Action(part.action_code).label} on {_shown(clusters[part.cluster_url])}"
        yield f"{where}: {customers(part.customers)} left, in {calls(part.chunks)}."
    count = sum(part.customers for part in left)
    yield f"In all {customers(count)} left of {batch.customer_count:,}. What is over or unknown is not sent again."
    yield f"No cluster gets more than {settings.TMS_BATCH_CALLS} calls at once."


def _shown(cluster: Cluster) -> str:
    return f"{cluster.name}{' (PRODUCTION)' if cluster.is_production else ''}"


def same_list_lately(digest: str, *, but: Any = None) -> Iterator[str]:
    """Return a sentence for each batch of the last day that was given the very same list."""
    lately = batches_of_list(digest).exclude(batch_id=but)
    for batch in lately[:3]:
        yield (
            f"The same list was given to batch {batch.batch_id} by {batch.user_id} at {batch.created_at:%H:%M} UTC "
            f"({batch.shown_state.label.lower()}). To go on with that one, give --batch-id {batch.batch_id}."
        )


def confirm(table: Table, left: list[LeftPart] | None, options: dict[str, Any], *, can_ask: bool) -> None:
    """Return if the user said yes, by options or on the terminal; raises CommandError if not. Nothing was sent then.

    The yes is for what is about to be sent: the whole table, or what is `left` of it.
    """
    clusters, count = {part.cluster for part in table.parts}, table.customer_count
    if left is not None:
        origins = {part.cluster_url for part in left}
        clusters = {cluster for cluster in clusters if cluster.origin in origins}
        count = sum(part.customers for part in left)
    if options["confirm"] is not None:
        _check_count(str(options["confirm"]), count)
    elif any(must_type_count(cluster, count) for cluster in clusters):
        if not can_ask:
            raise CommandError(
                "Production clusters and long lists want the number of customers confirmed. "
                f"Give --confirm {count} if that is what you mean. Nothing was sent."
            )
        _check_count(_ask(f"Type the number of customers ({count:,}) to go on: "), count)
        return
    if options["yes"]:
        return
    if not can_ask:
        raise CommandError("There is nobody to ask. Give --yes to confirm. Nothing was sent.")
    if _ask("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandError("Not confirmed. Nothing was sent.")


def _check_count(text: str, count: int) -> None:
    try:
        check_typed_count(text, count)
    except Refusal as refusal:
        raise CommandError(f"{refusal.message} Nothing was sent.") from None


def _ask(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline()


def calls(count: int) -> str:
    """Return such as "1 call" or "56 calls"."""
    return f"{count:,} call{'s' * (count != 1)}"


def customers(count: int) -> str:
    """Return such as "1 customer" or "27,682 customers"."""
    return f"{count:,} customer{'s' * (count != 1)}"
