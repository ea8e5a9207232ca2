"""Reading that is shared out to the cores of this machine, to processes of its own.

1. A task says what to read, and its answer is small: rows do not cross from one process to another.
2. A worker begins anew with the settings of this process. It is no fork, so they share no connection, lock or thread.
3. A worker reads the databases as they are when it does. Whoever needs all of them as they are at one moment believes
   it only where nothing is wrong, and looks at everything else again.
4. Answers come in the order of the tasks. Workers end with the block, and with this process, however that ends.
"""

import logging
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar

import django
from django.conf import settings

from tmsdash import startup
from tmsdash.processes import cores, end_with_parent

Task = TypeVar("Task")
Answer = TypeVar("Answer")

TASKS_AHEAD = 4  # for each worker: it never waits, and a list of tasks may be of any length


class WorkerLostError(Exception):
    """A worker was ended by somebody else. The text says so, as a sentence."""


class Workers:
    """A process for each core, begun when the first task is there; a context manager that ends them."""

    def __enter__(self) -> Self:
        self._before = set(multiprocessing.active_children())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if "_executor" in self.__dict__:
            if kind is not None:  # nobody waits for what they are doing
                for worker in set(multiprocessing.active_children()) - self._before:
                    worker.terminate()
            self._executor.shutdown(cancel_futures=True)

    @cached_property
    def _executor(self) -> ProcessPoolExecutor:
        handed = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
        return ProcessPoolExecutor(
            cores(),
            multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(startup.command, handed),
        )

    def answers(self, work: Callable[[Task], Answer], tasks: Iterable[Task]) -> Iterator[tuple[Task, Answer]]:
        """Yield each task with what `work`, a function of a module, returns for it.

        Raises what `work` raises, and WorkerLostError.
        """
        pending: deque[tuple[Task, Future[Answer]]] = deque()
        try:
            for task in tasks:
                pending.append((task, self._submit(work, task)))
                if len(pending) > cores() * TASKS_AHEAD:
                    yield pending[0][0], pending.popleft()[1].result()
            while pending:
                yield pending[0][0], pending.popleft()[1].result()
        except BrokenProcessPool:
            raise WorkerLostError(
                "A process that read the databases was ended from outside, or there was no memory left for it. Run the "
                "command again."
            ) from None

    def _submit(self, work: Callable[[Task], Answer], task: Task) -> "Future[Answer]":
        executor = self._executor  # making it lets the signal through again
        # Ctrl-C reaches every process at the terminal. Workers do not heed it, from their first moment on: this process
        # does, and ends them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return executor.submit(work, task)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(command: str, handed: dict[str, Any]) -> None:
    """Begin a worker."""
    end_with_parent()
    startup.command = command
    settings.configure(**handed)
    django.setup()
    logging.disable(logging.INFO)
