"""Work that is shared out to other processes: in order, and never silently lost."""

import multiprocessing
import os
import signal
import time

import pytest
from django.conf import settings

from tmsdash import cores
from tmsdash.cores import WorkerLostError, Workers


def seal_dir_after(seconds):
    time.sleep(seconds)
    return str(settings.AUDIT_SEAL_DIR)


def end_self(task):
    os.kill(os.getpid(), signal.SIGKILL)


def is_deaf_to_ctrl_c(task):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def ended_workers():
    return [worker for worker in multiprocessing.active_children() if worker.is_alive()] == []


def test_answers_come_in_the_order_of_the_tasks_from_processes_with_the_same_settings(monkeypatch, settings):
    monkeypatch.setattr(cores, "cores", lambda: 2)
    settings.AUDIT_SEAL_DIR = "/here"
    with Workers() as workers:
        answers = list(workers.answers(seal_dir_after, [0.2, *[0] * 20]))
    assert answers == [(0.2, "/here"), *[(0, "/here")] * 20]
    assert ended_workers()


def test_a_worker_that_is_killed_is_an_error_with_a_next_step(monkeypatch):
    monkeypatch.setattr(cores, "cores", lambda: 1)
    with pytest.raises(WorkerLostError, match=r"ended from outside.* Run the command again\."), Workers() as workers:
        list(workers.answers(end_self, [1]))
    assert ended_workers()


def test_what_ends_the_block_ends_workers_in_the_middle_of_their_work(monkeypatch):
    monkeypatch.setattr(cores, "cores", lambda: 1)
    with pytest.raises(KeyboardInterrupt), Workers() as workers:
        assert next(workers.answers(seal_dir_after, [0, 600]))
        raise KeyboardInterrupt
    assert ended_workers()


def test_ctrl_c_at_a_terminal_is_for_the_process_that_ends_them(monkeypatch):
    monkeypatch.setattr(cores, "cores", lambda: 1)
    with Workers() as workers:
        assert list(workers.answers(is_deaf_to_ctrl_c, [1])) == [(1, True)]
    assert not is_deaf_to_ctrl_c(1)


def test_no_process_is_begun_for_no_task():
    with Workers() as workers:
        assert list(workers.answers(end_self, [])) == []
        assert ended_workers()
