"""What the workers of a server count together, as real processes with slots of the same memory."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest
from django.conf import settings

from tmsdash.rates import Rate
from tmsdash.server import shared
from tmsdash.server.shared import VARIABLE, Cell, SharedMemory, add, take_place

pytestmark = pytest.mark.linux

# Joins, and then does what each line says.
WORKER = """
import sys
from tmsdash.rates import Rate
from tmsdash.server import shared
from tmsdash.server.shared import Cell
shared.join()
print("joined", flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


@pytest.fixture
def memory(monkeypatch):
    """The memory of two workers, of which this process is the first."""
    memory = SharedMemory(2)
    for name, value in (("slots", memory.slots), ("mine", memory.slots[0])):
        monkeypatch.setattr(shared, name, value)
    yield memory
    os.close(memory.descriptor)


@contextmanager
def second_worker(memory):
    """The second worker; yields its process and what tells it to compute something."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], VARIABLE: memory.variable(1)},
        pass_fds=[memory.descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def answer(line):
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    with ExitStack() as ends:
        ends.callback(process.communicate)
        ends.callback(process.kill)
        assert process.stdout.readline() == "joined\n"
        yield process, answer


def test_all_workers_together_have_no_more_places_than_there_are(memory):
    with second_worker(memory) as (_, answer):
        assert take_place(Cell.CALLS, 2)
        assert answer("shared.take_place(Cell.CALLS, 2)") == "True"
        assert answer("shared.take_place(Cell.CALLS, 2)") == "False"
        assert not take_place(Cell.CALLS, 2)
        assert take_place(Cell.READS, 1)  # each kind has its own
        add(Cell.CALLS, -1)
        assert answer("shared.take_place(Cell.CALLS, 2)") == "True"
        assert not take_place(Cell.CALLS, 2)


def test_a_worker_that_has_its_share_takes_no_more_and_leaves_the_rest_to_others(memory):
    with second_worker(memory) as (_, answer):
        assert take_place(Cell.CALLS, 3, 1)
        assert not take_place(Cell.CALLS, 3, 1)
        assert answer("[shared.take_place(Cell.CALLS, 3, 2) for _ in range(3)]") == "[True, True, False]"
        assert not take_place(Cell.CALLS, 3, 9)


def test_a_worker_that_is_killed_leaves_its_places_to_the_next_one(memory):
    with second_worker(memory) as (process, answer):
        assert answer("shared.take_place(Cell.CALLS, 1)") == "True"
        os.kill(process.pid, signal.SIGKILL)
    assert not take_place(Cell.CALLS, 1)  # what its calls lead to is not known yet
    with second_worker(memory) as (process, _):
        assert memory.slots[1][Cell.PID] == process.pid
        assert take_place(Cell.CALLS, 1)


def test_the_server_forgets_what_a_worker_counted_that_has_ended(memory):
    with second_worker(memory) as (_, answer):
        assert answer("shared.take_place(Cell.CALLS, 1)") == "True"
        assert answer("Rate('a').take('olivia', 1)") == "True"
    assert not Rate("a").take("olivia", 1)
    memory.clear(1)
    assert take_place(Cell.CALLS, 1)
    assert Rate("a").take("olivia", 1)


def test_what_somebody_does_too_often_counts_in_all_workers(memory):
    rate = Rate("a")
    with second_worker(memory) as (_, answer):
        assert [rate.take("olivia", 3) for _ in range(2)] == [True, True]
        assert answer("[Rate('a').take('olivia', 3) for _ in range(2)]") == "[True, False]"
        assert not rate.take("olivia", 3)
        assert rate.take("oscar", 3)
        assert Rate("b").take("olivia", 3)  # another rate
        assert rate.take("olivia", 4)  # what was refused was not counted
