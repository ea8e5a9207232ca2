"""The project's own benchmarks: `manage.py bench NAME` runs one of them on throwaway databases."""

from collections.abc import Callable

from .audit import audit_chain, audit_customer, audit_verify
from .batches import batch, batch_check
from .set_actions import job_insert, reconcile, set_action

BENCHMARKS: dict[str, Callable[[], bool]] = {
    "audit-chain": audit_chain,
    "audit-customer": audit_customer,
    "audit-verify": audit_verify,
    "batch": batch,
    "batch-check": batch_check,
    "job-insert": job_insert,
    "reconcile": reconcile,
    "set-action": set_action,
}
