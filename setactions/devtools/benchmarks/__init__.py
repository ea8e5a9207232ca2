"""The project's own benchmarks: `manage.py bench NAME` runs one of them on throwaway databases."""

from collections.abc import Callable

from .audit import audit_chain, audit_customer, audit_seal, audit_verify
from .batches import batch, batch_check
from .memory import memory
from .metrics import metrics
from .operators import operators
from .pages import pages
from .profiles import profile
from .queue import queue
from .repeats import overlap
from .serve import serve
from .set_actions import job_insert, reconcile, set_action
from .years import years

_ALL = (
    *(
        serve,
        operators,
        pages,
        memory,
        profile,
        set_action,
        job_insert,
        reconcile,
        audit_chain,
        audit_verify,
        audit_seal,
        audit_customer,
    ),
    *(batch, batch_check, overlap, years, queue, metrics),
)
BENCHMARKS: dict[str, Callable[[], bool]] = {function.__name__.replace("_", "-"): function for function in _ALL}
ROUNDS = {
    "audit-verify": 3,
    "audit-seal": 3,
    "batch": 3,
    "batch-check": 3,
    "memory": 3,
    "operators": 5,
    "queue": 3,
    "years": 2,
}
"""How often those are measured that take minutes."""
OF_ALL = [name for name in BENCHMARKS if name not in ("years", "queue", "metrics")]
"""Those that are measured together: years of data take long to make and to walk through, a queue needs Redis."""
ON_POSTGRESQL = ("operators", "pages", "profile", "years")
"""Those whose floors are no files of SQLite."""
