"""`reconcile` beside live traffic: with a token and without, two at once, and killed at random moments."""

import json
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Any

from setactions.devtools.proofs.load import LoadThread
from setactions.devtools.proofs.site import ProofError, Site, kill

TOKEN = "a-token-for-reading"  # noqa: S105 (the simulator takes any)
LOG = "reconcile"
PAUSES_S = (1.0, 4.0)  # between runs, at random: each costs as much as dozens of Set Actions
TIMEOUT_S = 600.0  # it hangs if it takes longer, on the busiest machine


@dataclass(frozen=True)
class ReconcileReport:
    """What a run of reconcile printed."""

    closed: int
    need_token: list[str]
    need_person: list[str]


class Reconciler(LoadThread):
    """Runs reconcile from time to time until `over` is set."""

    def __init__(self, site: Site, seed: str, over: threading.Event) -> None:
        """Prepare; nothing runs before `start`."""
        super().__init__("reconciler", seed, over)
        self._site = site
        self._usual_s = 1.0

    def work(self) -> None:
        """Run reconcile, again and again."""
        while not self._over.wait(self._random.uniform(*PAUSES_S)):
            self._run_some()

    def _run_some(self) -> None:
        count = self._random.choice([1, 1, 2])
        started = time.monotonic()
        running = [start_reconcile(self._site, with_token=self._random.random() < 0.7) for _ in range(count)]
        self.facts["reconciles"] += count
        if self._random.random() < 0.3:
            # Any moment of a run may be the last one, from reading the settings to closing the files.
            self._over.wait(self._random.uniform(0.2, 1.0) * self._usual_s)
            kill(running[0])
            running[0].communicate()  # closes the pipe
            self.facts["reconciles killed"] += 1
            running = running[1:]
        for process in running:
            self.facts["closed beside traffic"] += self._finish(process)
        if running:
            self._usual_s = time.monotonic() - started

    def _finish(self, process: "subprocess.Popen[str]") -> int:
        """Return how many attempts a run has closed; what is wrong with it is a surprise, unless it was ended."""
        try:
            return read_report(self._site, process).closed
        except ProofError as error:
            if not self._over.is_set():
                self.surprises.append(str(error))
            return 0


def start_reconcile(site: Site, *, with_token: bool) -> "subprocess.Popen[str]":
    """Start a run of reconcile."""
    environment = {"TMS_TOKEN": TOKEN} if with_token else {}
    return site.spawn(LOG, "reconcile", "--json", piped=True, **environment)


def read_report(site: Site, process: "subprocess.Popen[str]") -> ReconcileReport:
    """Wait for a run to end, and return its report. Raise ProofError if it ended in another way than it may."""
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        kill(process)
        raise ProofError(f"reconcile did not end within {TIMEOUT_S:.0f} s: {site.log(LOG)}") from None
    if process.returncode not in (0, 1, 2):
        raise ProofError(f"reconcile ended with {process.returncode}: {site.log(LOG)}")
    report: dict[str, Any] = json.loads(output)
    return ReconcileReport(report["closed"], report["need_token"], report["need_person"])
