"""The project's own benchmarks: `manage.py bench NAME` runs one of them on throwaway databases."""

from collections.abc import Callable

from .audit import audit_chain, audit_customer, audit_verify
from .batches import batch, batch_check
from .repeats import overlap
from .set_actions import job_insert, reconcile, set_action

_ALL = (audit_chain, audit_customer, audit_verify, batch, batch_check, job_insert, overlap, reconcile, set_action)
BENCHMARKS: dict[str, Callable[[], bool]] = {function.__name__.replace("_", "-"): function for function in _ALL}
