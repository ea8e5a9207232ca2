"""What is wrong with a list: a sentence for each cause, with the first places where it is so and their number."""

import heapq
from collections.abc import Iterator

SHOWN = 10  # places of one cause that are named


class _Cause:
    """Where one thing is wrong: the first places and details, and how many places there are in all."""

    def __init__(self) -> None:
        self.times = self.place_count = self._last_place = 0
        self._first: list[int] = []  # negated places: a heap whose first element is the last of them
        self._details: dict[str, None] = {}  # in the order in which they came

    def add(self, place: int, detail: str) -> None:
        self.times += 1
        if len(self._details) <= SHOWN:  # one more than is shown tells that there are others
            self._details[detail] = None
        if place == self._last_place and self.place_count:
            return  # one more id of a line that holds several
        self.place_count += 1
        self._last_place = place
        # What shows only when all ids are compared comes in the order of ids, not of places.
        is_full = len(self._first) >= SHOWN
        if not is_full or -place > self._first[0]:
            (heapq.heapreplace if is_full else heapq.heappush)(self._first, -place)

    @property
    def first_place(self) -> int:
        return -max(self._first)

    def in_words(self, unit: str, sentence: str) -> str:
        details = list(self._details)
        sentence = sentence.replace("{}", _listed(details[:SHOWN], "or", "others" if len(details) > SHOWN else ""))
        if not self.first_place:
            return sentence
        more = self.place_count - len(self._first)
        places = [f"{-place:,}" for place in sorted(self._first, reverse=True)]
        listed = _listed(places, "and", f"{more:,} more" if more else "")
        times = f" ({self.times:,} times)" if self.place_count == 1 < self.times else ""
        return f"{unit}{'s' * (self.place_count > 1)} {listed}{times}: {sentence}"


class Problems:
    """Sentences about a list, one for each cause, in the order of the first place of each.

    `count` is how many errors there are; several of one pass at one place are counted once. `unit` names what places
    are counted in.
    """

    def __init__(self, unit: str = "Line") -> None:
        self.count = 0
        self._unit, self._last_place = unit, 0
        self._causes: dict[str, _Cause] = {}  # by their sentences, of which the code has a few dozen

    def add(self, place: int, sentence: str, detail: str = "") -> None:
        """Note one more; place 0 is the list as a whole.

        `detail` is what differs from place to place, and goes where `sentence` has {}: it makes no cause of its own.
        """
        self.count += place == 0 or place != self._last_place
        self._last_place = place
        self._causes.setdefault(sentence, _Cause()).add(place, detail)

    def __iter__(self) -> Iterator[str]:
        causes = sorted(self._causes.items(), key=lambda item: item[1].first_place)
        return (cause.in_words(self._unit, sentence) for sentence, cause in causes)


def _listed(words: list[str], conjunction: str, rest: str) -> str:
    *others, last = [*words, rest] if rest else words
    return f"{', '.join(others)} {conjunction} {last}" if others else last
