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


@contextmanager
def killed_before(step: int) -> Iterator[None]:
    """Kill the block before its step number `step`, counting from 1: KilledError comes out, if it has so many.

    Steps are the statements and commits on the jobs and audit databases of this thread, and calls to
    TMS, each of which counts twice: before it is made, and when its answer has come.
    """
    left, call = step, client.set_action

    def take(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left <= 0:  # and whatever is tried on the way out, too: the process is gone
            raise KilledError
        return work(*args, **kwargs)

    def call_and_answer(*args: Any) -> Any:
        answer = take(call, *args)
        return take(lambda: answer)

    def commit(connection: Any) -> None:
        try:
            take(type(connection)._commit, connection)
        except KilledError:
            connection._rollback()  # what leads out of a transaction would commit it after all
            raise

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(client, "set_action", call_and_answer))
        for alias in ("jobs", "audit"):
            stack.enter_context(connections[alias].execute_wrapper(take))
            stack.enter_context(mock.patch.object(connections[alias], "_commit", partial(commit, connections[alias])))
        yield


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
