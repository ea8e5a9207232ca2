"""Carries a batch in a command's own process: its progress on the terminal, and an orderly end on Ctrl-C."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables
from tqdm import tqdm

from audit.actors import Actor
from audit.bodies import Compared
from jobs.batches.decision import ChunkDecision
from jobs.batches.scopes import Scope
from jobs.batches.selectors import count_clusters, progress_of
from jobs.models import Batch, BatchChunk
from setactions.batches.afterwards import check_afterwards
from setactions.batches.liveness import waits_for_worker_since
from setactions.batches.options import BatchOptions
from setactions.batches.runner import Runner
from setactions.batches.summary import SOME_UNKNOWN
from setactions.live.confirmations import BatchCheck
from setactions.queue.liveness import START_WORKER
from setactions.refusal import Refusal
from setactions.token import Token
from setactions.token_options import ask_for_token
from setactions.word import Word
from tmsdash.downloads import IncompleteError
from tmsdash.log_context import about
from tmsdash.processes import END_SIGNALS, handling, share_interpreter

POLL_S = 0.2  # how soon a signal, or the end of another runner's lease, is noticed
INTERRUPTED = "Interrupted. The running calls were finished."
_SEE_PAGE = "What was sent is recorded: see the page of the batch; audit_verify --jobs says which rows are damaged."
_RECORDED = "What was sent is recorded: run it again with --batch-id and the batch's id to see how it stands."


class Foreground:
    """An engine for the batch service: it returns when there is nothing left to do, or after an interruption."""

    def __init__(self, options: BatchOptions, say: Callable[..., None]) -> None:
        """Prepare to carry a batch as the command's options say; `say` prints lines."""
        self.has_begun = False
        self.check: BatchCheck | None = None  # what TMS shows, once the batch is done
        self._options, self._say = options, say
        self._signals = 0  # how many came; a signal handler may do no more than count them
        self._customers_done = 0
        self._lock = threading.Lock()

    @sensitive_variables("token")
    def __call__(
        self,
        batch: Batch,
        actor: Actor,
        token: Token,
        scope: Scope,
        *,
        word: Word,
        check: bool = True,
        compared: Compared | None = None,
    ) -> None:
        """Carry the batch, then look at what TMS shows of it; raises Refusal (409) if another process carries it."""
        self._say(f"Batch {batch.batch_id}. If this process dies, go on with: {self._options.resume_line(batch)}")
        share_interpreter()
        workers = self._options.worker_count(count_clusters(batch))
        total = progress_of(batch).customers(*scope.states)
        while True:
            runner = Runner(
                batch,
                actor,
                token,
                workers=workers,
                scope=scope,
                word=word,
                allow_unusual=self._options.allow_unusual,
                compared=compared,
                on_settled=self._count,
            )
            with self._terminal_kept():
                self._await_lease(runner)
                self.has_begun = True
                self._carry(runner, total)
                if check and not (self._signals or self._options.no_check):
                    with about(batch_id=batch.batch_id):
                        self.check = check_afterwards(batch, actor, token, is_called_off=lambda: self._signals > 0)
            if self._signals or not (runner.token_refused and self._options.can_ask):
                return
            self._say(Batch.objects.get(pk=batch.pk).reason)
            try:
                token, scope = ask_for_token(), Scope.WAITING
            except (CommandError, KeyboardInterrupt):
                return

    def explain(self, error: BaseException) -> tuple[str, int]:
        """Return how a command says that `error` ended it, and its exit code: 1 only if nothing was sent."""
        sentence = error.message if isinstance(error, Refusal) else str(error)
        if isinstance(error, KeyboardInterrupt):
            sentence = "Interrupted."
        elif isinstance(error, AnyDatabaseError):
            sentence = f"A database cannot be used; try again later. {sentence.rstrip('.')}."
        elif isinstance(error, OSError):
            sentence = f"{error.filename or 'The report'} cannot be written: {error.strerror}."
        recorded = _RECORDED
        if isinstance(error, IncompleteError):  # another run would fail in the same way
            recorded, sentence = _SEE_PAGE, f"The report was not made. {sentence}"
        return (f"{sentence} {recorded}", SOME_UNKNOWN) if self.has_begun else (f"{sentence} Nothing was sent.", 1)

    def _await_lease(self, runner: Runner) -> None:
        """Get the lease as soon as that of a dead runner has run out; raises Refusal (409) if that one is alive."""
        seen_until = runner.batch.runner_until
        while not runner.lease():
            current = Batch.objects.get(pk=runner.batch.pk)
            if since := waits_for_worker_since(current):
                what = f"This batch is in the queue, and no worker has come to it since {since:%F %T} UTC."
                raise Refusal(409, "request", f"{what} {START_WORKER} To send it from here, stop it on its page first.")
            current_until = current.runner_until
            seen_until = seen_until or current_until
            if self._signals or current_until != seen_until:  # a heartbeat has extended it
                raise Refusal(409, "request", "Another process is running this batch. Stop it there, or on its page.")
            time.sleep(POLL_S)  # a lease ends without an event

    def _carry(self, runner: Runner, total: int) -> None:
        """Run until there is nothing left to do. After a signal, the running calls are finished first."""
        noticed, done, is_hidden = 0, self._customers_done, not sys.stderr.isatty()
        bar = tqdm(total=total, initial=done, unit=" customers", disable=is_hidden, dynamic_ncols=True)
        with bar, ThreadPoolExecutor(1) as pool:
            running = pool.submit(runner.run)
            while not wait([running], timeout=POLL_S).done:
                if self._signals > noticed:
                    noticed = self._signals
                    runner.end(INTERRUPTED)
                    tqdm.write("Finishing the running calls; nothing new is sent …", file=sys.stderr)
                bar.update(self._customers_done - bar.n)
            bar.update(self._customers_done - bar.n)
            running.result()

    def _count(self, chunk: BatchChunk, decision: ChunkDecision) -> None:
        if decision.state != BatchChunk.State.WAITING:  # else this run sends it once more
            with self._lock:
                self._customers_done += chunk.customer_count

    @contextmanager
    def _terminal_kept(self) -> Iterator[None]:
        """Count Ctrl-C and the like, which would end a call in its middle, and keep the log from breaking the bar."""

        def note(*_: object) -> None:
            self._signals += 1

        root = logging.getLogger()
        level = root.level
        if self._options.verbosity < 2 and sys.stderr.isatty():
            root.setLevel(logging.WARNING)
        try:
            with handling(note, *END_SIGNALS):
                yield
        finally:
            root.setLevel(level)
