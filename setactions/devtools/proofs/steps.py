"""Killing a piece of work inside this process, at each of its steps.

A step is what another process could notice: a statement, a commit, the call to TMS. Being killed
there is stood for by an exception that nothing catches: what was committed stays, all else is gone.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest import mock

from django.db import connections

from setactions.tms import client


class KilledError(BaseException):
    """The process is gone. No handler of ordinary exceptions gets hold of it."""


class _Steps:
    def __init__(self, kill_before: int) -> None:
        self._left = kill_before

    def take(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        if self._left <= 0:  # and whatever is tried on the way out, too: the process is gone
            raise KilledError
        return work(*args, **kwargs)


@contextmanager
def killed_before(step: int) -> Iterator[None]:
    """Kill the block before its step number `step`, counting from 1: KilledError comes out, if it has so many.

    Steps are the statements and commits on the jobs and audit databases of this thread, and calls to
    TMS, each of which counts twice: before it is made, and when its answer has come.
    """
    steps = _Steps(step)
    call = client.set_action

    def call_and_answer(*args: Any) -> Any:
        answer = steps.take(call, *args)
        return steps.take(lambda: answer)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(client, "set_action", call_and_answer))
        for alias in ("jobs", "audit"):
            stack.enter_context(connections[alias].execute_wrapper(steps.take))
            stack.enter_context(mock.patch.object(connections[alias], "_commit", partial(_commit, alias, steps)))
        yield


def _commit(alias: str, steps: _Steps) -> None:
    connection: Any = connections[alias]
    try:
        steps.take(type(connection)._commit, connection)
    except KilledError:
        connection._rollback()  # what leads out of a transaction would commit it after all
        raise


def each_step(work: Callable[[int], None]) -> int:
    """Call `work(1)`, killed before its first step, `work(2)`, killed before its second, until one is not killed.

    Returns how many steps there are.
    """
    step = 0
    while True:
        step += 1
        try:
            with killed_before(step):
                work(step)
        except KilledError:
            for alias in ("jobs", "audit"):
                connections[alias].close()
        else:
            return step - 1
