"""What the pages of batches show, as values: templates only put them in their places."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.batches.scopes import Scope
from jobs.batches.selectors import Progress
from jobs.live.card import LiveCard
from jobs.live.confirmations import BatchConfirmation
from jobs.models import Batch, BatchChunk
from setactions.batches.liveness import START_WORKER, WAITS, lacks_worker
from setactions.batches.progress import Rate
from setactions.live.confirmations import BatchCheck
from setactions.tms.clusters import Cluster
from setactions.word import Named
from tmsdash.text import counted
from tmsdash.web.paging import Page

State = BatchChunk.State
WITHOUT_UNKNOWN = "without_unknown"  # what a button sends along
REPEATS, SEND_AGAIN, SKIP = "repeats", "send_again", "skip"  # what becomes of customers that were asked for since
NAMED = "named"  # those whom the page named


@dataclass(frozen=True)
class Control:
    """A button: where it posts to, what it says, and the sentence that explains it; `field` is sent along."""

    route: str
    label: str
    hint: str = ""
    is_primary: bool = False
    field: str = ""


@dataclass(frozen=True)
class BatchLine:
    """A batch as a line of the list of batches."""

    batch: Batch
    progress: Progress

    @property
    def is_whole(self) -> bool:
        """Whether TMS accepted every customer."""
        return self.progress.accepted == self.batch.customer_count

    @property
    def css(self) -> str:
        return self.batch.shown_state if self.is_whole else f"{self.batch.shown_state} partly"

    @property
    def state(self) -> str:
        """What it does, in words."""
        return WAITS if lacks_worker(self.batch) else self.batch.shown_state.label

    @property
    def action(self) -> str:
        return str(self.batch.get_action_code_display() or "Several actions")


@dataclass(frozen=True, kw_only=True)
class BatchView(BatchLine):
    """A batch on its own page, for a user who `may_control` batches, and who may be its owner.

    `named` are the customers that were asked for since, if it could not go on because of them. `answered` are the
    chunks that were answered last, `reasons` say why customers were not accepted, `set_aside_ids` are the first ids
    that TMS does not know. `waits_since` is when a worker was last seen, if it waits for one. `confirmation` is the
    best that is known of all jobs, `check` what TMS was just seen to show.
    """

    cluster: Cluster | None
    chunks: Page[BatchChunk]
    answered: Sequence[BatchChunk] = ()
    reasons: Sequence[str] = ()
    set_aside_ids: Sequence[str] = ()
    rate: Rate | None = None
    waits_since: datetime | None = None
    may_control: bool = False
    is_owner: bool = False
    error: str = ""
    named: Named = Named()
    confirmation: BatchConfirmation | None = None
    check: BatchCheck | None = None

    @property
    def cards(self) -> list[LiveCard]:
        """What the check that was just made shows, for each cluster and action."""
        shown = self.check.states if self.check else ()
        batch_id = str(self.batch.batch_id)
        return [LiveCard(states, {"batch": batch_id, "action": str(states.action_code)}) for states in shown]

    @property
    def may_check(self) -> bool:
        """Whether the user may read what TMS shows, which they do once nothing is sent any more."""
        return self.may_control and bool(self.progress.accepted) and not self.batch.has_runner

    @property
    def title(self) -> str:
        cluster = self.cluster.name if self.cluster else self.batch.cluster_url or "several clusters"
        return f"{self.action} for {counted(self.batch.customer_count, 'customer')} on {cluster}"

    @property
    def start_worker(self) -> str:
        """What is to be done for one that waits for a worker."""
        return START_WORKER

    @property
    def headline(self) -> str:
        if self.batch.shown_state != Batch.State.DONE:
            return self.state
        return f"Done: {'TMS accepted every customer' if self.is_whole else 'not every customer was accepted'}"

    @property
    def size(self) -> str:
        size = f"{counted(self.batch.customer_count, 'customer')} in {counted(self.batch.chunk_count, 'chunk')}"
        repeats = f"; {counted(self.batch.repeated, 'repeat')} left out" if self.batch.repeated else ""
        return f"{size}{repeats}{'; with ids that look damaged' if self.batch.allow_unusual else ''}"

    @property
    def controls(self) -> tuple[Control, ...]:
        """What the user can do without a token: while a process carries it, which has one, all but to run the rest."""
        state = self.batch.shown_state
        if not self.may_control or state not in (Batch.State.RUNNING, Batch.State.PAUSED):
            return ()
        if not self.batch.has_runner:
            hint = "Stopped, it no longer keeps others from sending its customers."
            return (Control("batch_stop", "Stop", hint),)
        first = (Control("batch_pause", "Pause"),) if state == Batch.State.RUNNING else self._resume()
        return (*first, Control("batch_stop", "Stop after the running calls"))

    @property
    def reruns(self) -> tuple[Control, ...]:
        """What its owner can do once it is not carried any more; all of it needs a token."""
        if not self.may_control or (self.controls and self.batch.has_runner):
            return ()
        reruns = self._resume()
        if self.batch.has_runner or not self.is_owner:
            return reruns
        if self.progress.chunks(*Scope.REST.value):
            sent = "what waits, what was skipped, refused or never sent, and what was found not applied"
            label = f"Run the rest: {self._customers(Scope.REST)}"
            reruns += (Control("batch_rest", label, f"Run the rest sends {sent}.", is_primary=not reruns),)
        if self.progress.chunks(State.SET_ASIDE):
            hint = "Without them also sends what TMS rejected, without the ids that it does not know."
            label = f"Run the rest without them: {self._customers(Scope.REST_WITHOUT_UNKNOWN_IDS)}"
            reruns += (Control("batch_rest", label, hint, field=WITHOUT_UNKNOWN),)
        return reruns

    def _resume(self) -> tuple[Control, ...]:
        chunks = self.progress.chunks(State.WAITING)
        label = f"Resume: {self._customers(Scope.WAITING)} left in {counted(chunks, 'chunk')}"
        control = Control("batch_resume", label, "Resume sends the chunks that wait.", is_primary=True)
        return (control,) if self.is_owner and chunks else ()

    def _customers(self, scope: Scope) -> str:
        return counted(self.progress.customers(*scope.states), "customer")
