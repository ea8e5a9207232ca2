"""How often within a minute somebody may do something; all workers of a server count together.

Each worker keeps its counts in its slot of the shared memory: a row for each key, with a cell for each second. A cell
holds the second, too, and counts only as long as that lies within the last minute.
"""

import hashlib
import time

from tmsdash.server import shared

WINDOW_S = 60
_CELLS = WINDOW_S + 1  # the current second, and as many whole ones
_PROBED = 8  # rows in which a key may be found
_SHIFT, _COUNT = 32, (1 << 32) - 1  # a cell is the second and the count


class Rate:
    """Counts events within the last minute for each key, such as a user's name; idle keys are forgotten."""

    def __init__(self, name: str) -> None:
        """`name` is the same in all workers, and no other rate's."""
        self.name = name

    def take(self, key: str, per_minute: int) -> bool:
        """Count one more of `key`; False, and nothing is counted, if there were `per_minute` already."""
        second = int(time.monotonic())  # the same in all processes of a host
        number = _number(f"{self.name}\0{key}")
        with shared.guard:
            row = _row(shared.mine, number)
            if row is None:
                row = _free_row(shared.mine, number)
                shared.mine[row] = number
                for cell in range(row + 1, row + 1 + _CELLS):
                    shared.mine[cell] = 0
            cell = row + 1 + second % _CELLS
            before = shared.mine[cell]
            is_current = before >> _SHIFT == second
            shared.mine[cell] = before + 1 if is_current else second << _SHIFT | 1
            if sum(_count(slot, number, second) for slot in shared.slots) > per_minute:
                shared.mine[cell] = before
                return False
            return True


def forget() -> None:
    """Forget all events that this process counted."""
    with shared.guard:
        for row in range(shared.RATES_AT, shared.LASTING_AT, shared.RATE_ROW_CELLS):
            shared.mine[row] = 0


def _number(text: str) -> int:
    """Return what stands for a key in the shared memory; never 0, which marks a free row."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big") or 1


def _rows(number: int) -> list[int]:
    """Return where the rows begin in which a key may be found."""
    return [shared.RATES_AT + (number + step) % shared.RATE_ROWS * shared.RATE_ROW_CELLS for step in range(_PROBED)]


def _row(slot: shared.Cells, number: int) -> int | None:
    return next((row for row in _rows(number) if slot[row] == number), None)


def _free_row(slot: shared.Cells, number: int) -> int:
    """Return the row that has been idle for longest; it is free after a minute, as all are but on the busiest site."""
    return min(_rows(number), key=lambda row: max(slot[row + 1 : row + 1 + _CELLS]) if slot[row] else 0)


def _count(slot: shared.Cells, number: int, second: int) -> int:
    """Return how often a key was counted in a slot within the last minute."""
    row = _row(slot, number)
    if row is None:
        return 0
    cells = slot[row + 1 : row + 1 + _CELLS]
    return sum(cell & _COUNT for cell in cells if cell >> _SHIFT > second - _CELLS)
