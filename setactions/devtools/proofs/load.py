"""What loads the site under proof: threads that count, and that report what should not have happened."""

import random
import threading
import traceback
from collections import Counter

from setactions.devtools.proofs.site import ProofError


class LoadThread(threading.Thread):
    """Does its `work` until `over` is set; once that is set, ProofError comes out of it and means nothing."""

    def __init__(self, name: str, seed: str, over: threading.Event) -> None:
        """Prepare; nothing runs before `start`."""
        super().__init__(name=name, daemon=True)
        self.facts: Counter[str] = Counter()
        self.surprises: list[str] = []
        """What should not have happened, on either side."""
        self._random = random.Random(seed)  # noqa: S311 (repeatable, not secret)
        self._over = over

    def run(self) -> None:
        """Work; whatever ends it early is a surprise, because the proof must not pass without this thread."""
        try:
            self.work()
        except Exception as error:  # noqa: BLE001 (of whatever kind)
            if not (isinstance(error, ProofError) and self._over.is_set()):
                self.surprises.append(traceback.format_exc())

    def work(self) -> None:
        """To be filled in."""
        raise NotImplementedError
