"""Numbers that the workers of a server share: each has a slot, which it alone writes, and reads those of the others.

- They share no lock, so a worker that freezes or is killed holds up nobody.
- Whoever counts something that has a limit counts it first and then adds up all slots: of two who come at the same
  moment both may be refused, but never do both get in beyond the limit.
- What a worker counted that died goes on counting until the next one takes its slot, or the server clears it. How
  long things took (`histograms`) is kept beyond that: sums over time must not fall.

Outside of a server, as in a command, a process has a slot to itself.
"""

import mmap
import os
import threading
import time
from array import array
from collections.abc import MutableSequence
from enum import IntEnum

VARIABLE = "TMSDASH_SHARED"  # in the environment of a worker: descriptor of the memory, number of its slot, slots
RATE_ROWS = 256  # of `rates`: so many keys may have been counted within the last minute
RATE_ROW_CELLS = 64
LASTING_CELLS = 1024

Cells = MutableSequence[int]


class Cell(IntEnum):
    """What the first numbers of a slot are."""

    PID = 0  # 0 until the first worker has started
    BEATS = 1
    STEPS = 2  # requests that began or ended, and parts of answers that were taken
    REQUESTS = 3  # that are running
    ENDING = 4  # 1 once the worker was asked to end
    CALLS = 5  # to TMS that are running, and what they lead to
    READS = 6  # of TMS that are running
    BATCHES = 7  # that are run here
    APP_RUNS = 8  # app status runs that are carried here


RATES_AT = len(Cell)  # what follows belongs to `rates`
LASTING_AT = RATES_AT + RATE_ROWS * RATE_ROW_CELLS  # and the rest to `histograms`: it outlives the worker
SLOT_CELLS = LASTING_AT + LASTING_CELLS
_SLOT_BYTES = 8 * SLOT_CELLS

joined_at = float("-inf")  # by the monotonic clock: when this worker took its slot; long ago if it is none

guard = threading.Lock()  # of this process' slot, held for an instant only
slots: list[Cells] = [array("q", bytes(_SLOT_BYTES))]
mine = slots[0]


class SharedMemory:
    """The memory of the slots of a server's workers; for Linux."""

    def __init__(self, workers: int) -> None:
        # Not a file: a full disk must stop nobody, and nothing is left behind.
        self.descriptor = os.memfd_create("workers")
        os.ftruncate(self.descriptor, workers * _SLOT_BYTES)
        self.slots = _mapped(self.descriptor, workers)

    def variable(self, number: int) -> str:
        """Return the value of VARIABLE for the worker that gets slot `number`."""
        return f"{self.descriptor}:{number}:{len(self.slots)}"

    def has_all_workers(self) -> bool:
        """Tell whether all workers have loaded the site."""
        return all(slot[Cell.PID] for slot in self.slots)

    def clear(self, number: int) -> None:
        """Forget what the worker of a slot had counted: it has ended."""
        _clear(self.slots[number])


def join() -> bool:
    """Take the slot that this worker was given by its server; False if it was given none."""
    global mine, joined_at
    value = os.environ.get(VARIABLE, "")
    if not value:
        return False
    descriptor, number, workers = map(int, value.split(":"))
    with guard:
        slots[:] = _mapped(descriptor, workers)
        mine = slots[number]
        _clear(mine)
        mine[Cell.PID] = os.getpid()
    joined_at = time.monotonic()
    return True


def add(cell: Cell, change: int) -> None:
    """Change a number of this process."""
    with guard:
        mine[cell] += change


def take_place(cell: Cell, at_most: int, at_most_here: int | None = None) -> bool:
    """Count one more of `cell` in this process; False, and none is counted, if that makes too many.

    There may be `at_most` in all processes together, and `at_most_here` in this one (None: as many).
    """
    with guard:
        mine[cell] += 1
        is_over_here = at_most_here is not None and mine[cell] > at_most_here
        if is_over_here or sum(slot[cell] for slot in slots) > at_most:
            mine[cell] -= 1
            return False
        return True


def _clear(slot: Cells) -> None:
    slot[:LASTING_AT] = array("q", bytes(8 * LASTING_AT))


def _mapped(descriptor: int, workers: int) -> list[Cells]:
    cells = memoryview(mmap.mmap(descriptor, workers * _SLOT_BYTES)).cast("q")
    return [cells[start : start + SLOT_CELLS] for start in range(0, len(cells), SLOT_CELLS)]  # type: ignore[misc]
