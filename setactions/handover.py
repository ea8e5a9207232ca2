"""Who carries out an attempt from its INTENT on: the thread that began it, or another one that nobody has to wait for.

What the attempt holds (its place among the calls in flight, the turn of a long list) goes with it, and is given back by
whoever carried it out. The other thread is no daemon: when the server is asked to end, Python waits for it, so that
the answer to what was sent is recorded.
"""

import contextvars
import threading
from collections.abc import Callable
from contextlib import ExitStack

from django.db import connections
from django.views.decorators.debug import sensitive_variables

from audit.choices import Kind
from setactions.recording import Recorder
from setactions.results import Result, being_sent
from tmsdash import heavy_work

WAIT_S = 0.25  # so that a quick answer needs no page in between
NO_THREAD = "The server can start no more threads now, so nothing was sent. Try again in a minute, then tell the admin."

Work = Callable[[], Result]
Carrier = Callable[[Work, Recorder, ExitStack], Result]


def by_this_thread(work: Work, recorder: Recorder, held: ExitStack) -> Result:
    """Do the work of the attempt of `recorder`, give back what is `held` for it, and return its result."""
    with held.pop_all():
        return work()


@sensitive_variables("work")
def by_another_thread(work: Work, recorder: Recorder, held: ExitStack) -> Result:
    """Let another thread do the same; return the result if it is there within WAIT_S, or else that it is being sent.

    If there is no such thread, nothing is sent.
    """
    results: list[Result] = []
    over = threading.Event()
    own, had_turn = held.pop_all(), heavy_work.detach()

    @sensitive_variables()
    def carry_out() -> None:
        try:
            with heavy_work.attached(had_turn), own:
                results.append(work())
        finally:
            connections.close_all()
            over.set()

    # In the same context, so that its lines in the log name the same request.
    arguments = (carry_out,)
    thread = threading.Thread(target=contextvars.copy_context().run, args=arguments, name="send", daemon=False)
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:  # the system allows no more threads, or Python is ending
        with heavy_work.attached(had_turn), own:
            recorder.write_failure(Kind.NOT_SENT, error, NO_THREAD)
            result = recorder.result()
            if not recorder.is_finished():
                recorder.finish_later()
            return result
    over.wait(WAIT_S)
    # No database is asked, and nothing of the recorder that changes: it is the other thread's now.
    return results[0] if results else being_sent(recorder.attempt.attempt_id)
