"""Runs that are carried in the test's own thread, on a clock on which waiting takes no time."""

import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from jobs.app_status import ledger
from jobs.live import pace
from jobs.models import AppRun
from setactions.app_status import reader, service
from setactions.app_status import runner as runner_module
from setactions.app_status.runner import Runner
from setactions.app_status.selection import Selection
from setactions.app_status.tests.running import now
from setactions.liveness import is_dead
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import Clock


class WaitingClock(Clock):
    """A clock on which waiting takes no time; `on_wait` is called each time that somebody waits."""

    def __init__(self, now=1_800_000_000.0):
        super().__init__(now)
        self.on_wait = lambda: None

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.on_wait()


@pytest.fixture
def clock(monkeypatch):
    """The clock of the pace and of runners."""
    clock = WaitingClock()
    for module in pace, ledger, reader:
        monkeypatch.setattr(module, "clock", SimpleNamespace(now=lambda using: datetime.fromtimestamp(clock.now, UTC)))
    monkeypatch.setattr(runner_module, "time", clock)
    monkeypatch.setattr(runner_module, "POLL_S", 60)  # nobody presses buttons meanwhile, unless a test says so
    return clock


@pytest.fixture
def begin(tms, olivia, monkeypatch):
    """Begin a run of olivia's for these customers of evian3; nobody carries it yet, so its runner is returned, too."""

    def write(*cids, token=TOKEN, **changes):
        runners = []
        monkeypatch.setattr(service, "_carry", lambda run, runner, slot: runners.append(runner) or slot.close())
        monkeypatch.setattr(Runner, "give_up", lambda runner: None)
        selection = Selection(cluster_named("evian3"), cids, "A pasted list", **changes)
        run = service.start_run(user=olivia, selection=selection, token=Token(token))
        return run, runners[0]

    return write


@pytest.fixture
def carry(begin, clock):
    """Carry such a run to its end, and return it as it is then."""

    def to_the_end(*cids, **changes):
        run, runner = begin(*cids, **changes)
        runner.carry(run)
        return now(run)

    return to_the_end


@pytest.fixture
def go_on(clock, settings):
    """Let another runner go on with a run, and return the run as it is then."""

    def to_the_end(run, token=TOKEN):
        runner = Runner(run.user_id, Token(token))
        dead_runner = run.runner if is_dead(run.runner) else ""
        assert ledger.lease(now(run), runner.name, settings.TMS_BATCH_LEASE_S, dead_runner=dead_runner)
        runner.carry(now(run))
        return now(run)

    return to_the_end


@pytest.fixture
def app_threads_at_rest(databases):
    """A function that returns when no run is carried here any more."""

    def wait():
        for thread in threading.enumerate():
            if thread.name == service.THREAD_NAME:
                thread.join(timeout=30)
                assert not thread.is_alive()

    yield wait
    for run in AppRun.objects.all():
        ledger.stop(run, "The test is over.")
    wait()
