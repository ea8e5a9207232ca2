"""How often within a minute somebody may do something; each process counts for itself."""

import threading
import time
from collections import defaultdict, deque

WINDOW_S = 60


class Rate:
    """Counts events within the last minute for each key, such as a user's name; idle keys are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)

    def take(self, key: str, per_minute: int) -> bool:
        """Count one more of `key`; False, and nothing is counted, if there were `per_minute` already."""
        now = time.monotonic()
        with self._lock:
            for name, times in list(self._times.items()):
                while times and times[0] < now - WINDOW_S:
                    times.popleft()
                if not times:
                    del self._times[name]
            times = self._times[key]
            if len(times) >= per_minute:
                return False
            times.append(now)
            return True
