"""The turns of the processes of a host: their order, and what a process that dies or gives up does to the others."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.conf import settings
from django.db import OperationalError, connections

from tmsdash.db import host_turns, turns
from tmsdash.db.transactions import write_transaction
from tmsdash.tests.tools import WAIT_S, Gate, at_once, threads, until

pytestmark = [pytest.mark.sqlite, pytest.mark.linux]

GETZCNT = 15  # from Linux's sys/sem.h: how many wait for the semaphore to be 0
# Takes the turn, says so, and keeps it until a line comes in.
OTHER = """
import os, sys
from pathlib import Path
from tmsdash.db import host_turns
if sys.argv[2:]:
    os.seteuid(int(sys.argv[2]))
status = Path(sys.argv[1]).stat()
turn = host_turns.take(Path(sys.argv[1]), (status.st_dev, status.st_ino), 60)
print("mine", flush=True)
sys.stdin.readline()
host_turns.give_back(turn)
"""


def identity_of(file):
    status = file.stat()
    return status.st_dev, status.st_ino


@pytest.fixture
def file():
    with TemporaryDirectory() as folder:
        path = Path(folder) / "some.db"
        path.touch(0o600)
        path.parent.chmod(0o711)  # other users get as far as the file
        yield path
        host_turns.remove(identity_of(path))


def take(file, wait_s=WAIT_S):
    return host_turns.take(file, identity_of(file), wait_s)


def waiting(file):
    return host_turns._quick.semctl(host_turns._semaphores[identity_of(file)], 0, GETZCNT)


@contextmanager
def other_processes(file, count=1, *arguments):
    """Processes that want the turn, one after the other."""
    started = []
    try:
        for _ in range(count):
            before = waiting(file) if started or arguments == ("behind",) else 0
            process = subprocess.Popen(
                [sys.executable, "-c", OTHER, str(file), *(word for word in arguments if word != "behind")],
                cwd=settings.BASE_DIR,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            started.append(process)
            if arguments == ("behind",):
                until(lambda before=before: waiting(file) > before)
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def has_turn(process):
    return process.stdout.readline() == "mine\n"


def end_turn(process):
    process.stdin.write("\n")
    process.stdin.flush()


def test_the_turn_goes_to_whoever_waits_longest_and_never_back_to_whoever_just_had_it(file):
    turn = take(file)
    with other_processes(file, 3, "behind") as others:
        host_turns.give_back(turn)
        with pytest.raises(TimeoutError):  # there was never a moment when it was free
            take(file, 0)
        for process in others:
            assert has_turn(process)
            assert waiting(file) == 2 - others.index(process)
            end_turn(process)
    host_turns.give_back(take(file))


def test_a_process_that_is_killed_gives_its_turn_back_and_its_place_in_the_line(file):
    with other_processes(file) as [first]:
        assert has_turn(first)
        with pytest.raises(TimeoutError):
            take(file, 0.01)
        with other_processes(file, 2, "behind") as [second, third]:
            os.kill(second.pid, signal.SIGKILL)
            until(lambda: waiting(file) == 1)
            os.kill(first.pid, signal.SIGKILL)
            assert has_turn(third)
            os.kill(third.pid, signal.SIGKILL)
            host_turns.give_back(take(file))


def test_whoever_gives_up_holds_up_nobody(file):
    with other_processes(file) as [first]:
        assert has_turn(first)
        with pytest.raises(TimeoutError):
            take(file, 0.05)
        with other_processes(file, 1, "behind") as [second]:
            end_turn(first)
            assert has_turn(second)


def test_a_forked_process_neither_has_the_turn_nor_ends_it(file):
    forking = """
import os, sys
from pathlib import Path
from tmsdash.db import host_turns
file = Path(sys.argv[1])
identity = file.stat().st_dev, file.stat().st_ino
turn = host_turns.take(file, identity, 60)
if os.fork() == 0:
    try:
        host_turns.take(file, identity, 0.05)
    except TimeoutError:
        os._exit(7)
    os._exit(0)
assert os.WEXITSTATUS(os.wait()[1]) == 7
try:
    host_turns.take(file, identity, 0)
except TimeoutError:
    sys.exit(8)
"""
    ended = subprocess.run([sys.executable, "-c", forking, str(file)], cwd=settings.BASE_DIR, check=False)
    assert ended.returncode == 8
    host_turns.give_back(take(file))


def test_anybody_may_remove_the_semaphore_at_any_time(file):
    turn = take(file)
    with other_processes(file, 1, "behind") as [other]:
        host_turns.remove(identity_of(file))
        assert has_turn(other)  # SQLite's lock keeps the two from writing at once
        host_turns.give_back(turn)
        end_turn(other)
    host_turns.give_back(take(file))


def test_where_turns_cannot_be_had_everybody_goes_on(file, monkeypatch):
    monkeypatch.setattr(host_turns, "_IS_POSSIBLE", False)
    assert take(file) == take(file) == host_turns.NONE
    host_turns._semaphores.clear()


@pytest.mark.root
def test_a_stranger_cannot_keep_others_waiting(file):
    file.chmod(0o666)
    with other_processes(file, 1, "12345") as [stranger]:
        assert has_turn(stranger)
        assert take(file, 0) == host_turns.NONE


@pytest.mark.root
def test_what_root_makes_the_owner_of_the_file_can_use(file):
    os.chown(file, 12345, 12345)
    host_turns.give_back(take(file))
    with other_processes(file, 1, "12345") as [owner]:
        assert has_turn(owner)
        with pytest.raises(TimeoutError):
            take(file, 0)


# -- In front of SQLite -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("databases")
def test_a_writer_waits_for_the_turn_of_another_process_and_no_longer_than_its_time():
    with other_processes(connections["jobs"].settings_dict["NAME"]) as [other]:
        assert has_turn(other)
        with pytest.raises(OperationalError, match="'jobs' is busy: no turn"), write_transaction("jobs", 0.05):
            pass
        with write_transaction("audit", 0.05):  # each database has turns of its own
            pass
        other.kill()
        with write_transaction("jobs"):
            pass


def test_a_process_keeps_the_file_for_its_next_thread_but_not_for_one_that_gave_up(file, monkeypatch):
    monkeypatch.setattr(turns, "KEEP_S", WAIT_S)
    began, given_up = threading.Event(), threading.Event()

    def give_up():
        with pytest.raises(OperationalError), turns.turn("kept", 0.05):
            began.set()
        given_up.set()

    waiter = threading.Thread(target=give_up)
    with turns.turn("kept", 0):
        turns.take_file("kept", file, identity_of(file), WAIT_S)
        waiter.start()
        assert given_up.wait(WAIT_S)
    assert not began.is_set()
    with other_processes(file) as [other]:
        assert has_turn(other)
    waiter.join()

    next_one = turns._turns["kept"]
    with turns.turn("kept", 0):
        turns.take_file("kept", file, identity_of(file), WAIT_S)
        next_one._waiting += 1  # a thread that is about to wait
    with pytest.raises(TimeoutError):
        take(file, 0)
    next_one._waiting -= 1
    with turns.turn("kept", 0):
        turns.take_file("kept", file, identity_of(file), 0)
    host_turns.give_back(take(file))


def test_the_first_threads_of_a_process_share_one_turn_even_if_they_come_at_the_same_moment(monkeypatch):
    both = threading.Barrier(2, timeout=WAIT_S)

    def together(method):
        original = getattr(turns._Turn, method)
        monkeypatch.setattr(turns._Turn, method, lambda *args: (both.wait(), original(*args))[1])

    def write(number):
        with turns.turn("new", WAIT_S):
            pass

    together("__init__")
    together("take")
    at_once(2, write)
    monkeypatch.undo()
    with turns.turn("new", 0):
        pass


@pytest.fixture
def heeds_interrupts():
    """Where tests run in the background of a shell, Python ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
def test_a_thread_that_is_interrupted_while_it_waits_leaves_no_file_kept_for_it(file, monkeypatch):
    monkeypatch.setattr(turns, "KEEP_S", WAIT_S)
    gate = Gate()

    def hold():
        with turns.turn("interrupted", 0):
            turns.take_file("interrupted", file, identity_of(file), WAIT_S)
            gate.enter()

    def interrupt():
        until(lambda: turns._turns["interrupted"]._waiting)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    with threads(2) as submit:
        holder = submit(hold)
        gate.await_entry()
        submit(interrupt)
        with pytest.raises(KeyboardInterrupt), turns.turn("interrupted", WAIT_S):
            pass
        gate.open()
    holder.result()
    host_turns.give_back(take(file, 0))  # no other process has to wait
