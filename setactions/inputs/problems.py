"""What is wrong with a list, in sentences with their places: the first ones in order, and how many there are."""

import heapq
from collections.abc import Callable, Iterator
from typing import Any


class Problems:
    """The first `limit` sentences about a list, in the order of its places, and how many there are in all.

    `unit` names what places are counted in.
    """

    def __init__(self, limit: int = 1_000, unit: str = "Line") -> None:
        self.count = 0
        self._limit, self._unit = limit, unit
        self._kept: list[tuple[int, int, str]] = []  # a heap whose first element is the last in the order of places

    def add(self, place: int, sentence: str | Callable[..., str], *args: Any) -> None:
        """Count one more; place 0 is the list as a whole.

        `sentence` is a format or a function for `args`, which is used only if the sentence is kept.
        """
        self.count += 1
        is_full = len(self._kept) >= self._limit
        if is_full and -place <= self._kept[0][0]:
            return
        if args:
            sentence = (sentence.format if isinstance(sentence, str) else sentence)(*args)
        (heapq.heapreplace if is_full else heapq.heappush)(self._kept, (-place, -self.count, str(sentence)))

    def __len__(self) -> int:
        """How many sentences are kept."""
        return len(self._kept)

    def __iter__(self) -> Iterator[str]:
        return (
            f"{self._unit} {-place:,}: {sentence}" if place else sentence
            for place, _, sentence in sorted(self._kept, reverse=True)
        )
