"""Group commit: writers of the audit within this process share one transaction, with one flush of the disk."""

from collections.abc import Callable
from typing import TypeVar

from audit.chain import DATABASE, ChainEnd, log_anchors
from tmsdash.db.transactions import write_transaction

T = TypeVar("T")


def write(work: Callable[[ChainEnd], T], wait_s: float) -> T:
    """Do `work` in a transaction on the audit, at the end of its chain."""
    with write_transaction(DATABASE, wait_s):
        end = ChainEnd()
        result = work(end)
        end.save()
    log_anchors(end.added)
    return result
