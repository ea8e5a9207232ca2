"""What the pages of batches show, as values: templates only put them in their places."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from django.conf import settings
from django.urls import reverse
from django.utils.safestring import SafeString

from audit.choices import Outcome
from jobs.batches.scopes import Scope
from jobs.batches.selectors import Progress, Tally
from jobs.live.card import LiveCard
from jobs.live.confirmations import BatchConfirmation
from jobs.models import Batch, BatchChunk
from jobs.statuses import ShownStatus
from setactions.batches.progress import Rate
from setactions.live.confirmations import BatchCheck
from setactions.queue.liveness import START_WORKER, WAITS, lacks_worker
from setactions.word import Named
from tmsdash.text import counted
from tmsdash.web.clusters import bar_of_several, cluster_name
from tmsdash.web.paging import Page

State = BatchChunk.State
WITHOUT_UNKNOWN = "without_unknown"  # what a button sends along
REPEATS, SEND_AGAIN, SKIP = "repeats", "send_again", "skip"  # what becomes of customers that were asked for since
NAMED = "named"  # those whom the page named
EVERY_S, EVERY_S_PAUSED = 2, 10  # how often a page asks how its batch stands
MESSAGE_SHOWN = 160  # characters; a longer one is folded up
PROBLEM_STATES = (
    *(State.REJECTED, State.SET_ASIDE, State.REFUSED),
    *(State.NOT_SENT, State.NOT_APPLIED, State.UNKNOWN),
)


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
        """The classes of its colour and sign."""
        state = "stopping" if self.batch.is_stopping else str(self.batch.shown_state)
        return state if self.is_whole else f"{state} partly"

    @property
    def state(self) -> str:
        """What it does, in words."""
        return WAITS if lacks_worker(self.batch) else self.batch.state_label

    @property
    def action(self) -> str:
        return str(self.batch.get_action_code_display() or "Several actions")


@dataclass(frozen=True)
class ChunkLine:
    """A chunk as a line of its batch's page; `shown` is what was confirmed of its job, if anything was."""

    chunk: BatchChunk
    shown: ShownStatus | None = None

    @property
    def took(self) -> str:
        """How long its last call took, in seconds; "" while that is not known."""
        began_at, ended_at = self.chunk.started_at, self.chunk.ended_at
        if not began_at or not ended_at or ended_at < began_at:
            return ""
        return f"{(ended_at - began_at).total_seconds():,.1f} s"

    @property
    def is_long(self) -> bool:
        """Whether its message is too long for the table, which then has it folded up."""
        return len(self.chunk.message) > MESSAGE_SHOWN


@dataclass(frozen=True)
class ChunkFilter:
    """Which chunks of a batch a page shows: those in one of some `states`, or all if there are none."""

    query: str = ""
    label: str = "All"
    states: tuple[BatchChunk.State, ...] = ()

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> "ChunkFilter":
        """Return what an address asks for; what it asks for in vain shows all chunks."""
        if query.get("only") == "problems":
            return PROBLEMS
        state = query.get("state")
        return cls.of(State(state)) if state in State.values else ALL

    @classmethod
    def of(cls, state: BatchChunk.State) -> "ChunkFilter":
        """Return the filter for the chunks in one state."""
        return cls(f"?state={state.value}", state.label, (state,))


ALL = ChunkFilter()
PROBLEMS = ChunkFilter("?only=problems", "Only problems", PROBLEM_STATES)


@dataclass(frozen=True, kw_only=True)
class BatchView(BatchLine):
    """A batch on its own page, for a user who `may_control` batches, and who may be its owner.

    `named` are the customers that were asked for since, if it could not go on because of them. `answered` are the
    chunks that were answered last, `reasons` say why customers were not accepted, `set_aside_ids` are the first ids
    that TMS does not know. `origins` are those of all its clusters. `only` says which `chunks` are shown.
    `waits_since` is when a worker was last seen, if it waits for one. `confirmation` is the best that is known of all
    jobs, `check` what TMS was just seen to show.
    """

    chunks: Page[ChunkLine]
    origins: Sequence[str] = ()
    only: ChunkFilter = ALL
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
    def production_bar(self) -> SafeString:
        """The bar that names those of its clusters that are production; "" if none is."""
        return bar_of_several(self.origins)

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
        cluster = cluster_name(self.batch.cluster_url) or "several clusters"
        return f"{self.action} for {counted(self.batch.customer_count, 'customer')} on {cluster}"

    @property
    def start_worker(self) -> str:
        """What is to be done for one that waits for a worker."""
        return START_WORKER

    @property
    def headline(self) -> str:
        """How it stands, in words."""
        if self.batch.shown_state == Batch.State.DONE:
            return f"Done: {'TMS accepted every customer' if self.is_whole else 'not every customer was accepted'}"
        calls = self.progress.chunks(State.CALLING)
        if calls and (self.batch.is_stopping or self.batch.shown_state == Batch.State.PAUSED):
            return f"{self.state}: {counted(calls, 'call')} {'is' if calls == 1 else 'are'} being finished"
        return self.state

    @property
    def percent(self) -> int:
        """Which share of the customers TMS accepted; 100 only if it is all of them."""
        return 100 * self.progress.accepted // max(1, self.batch.customer_count)

    @property
    def page_title(self) -> str:
        """The title of the page, which is all that others see of it in a row of tabs."""
        state = self.batch.shown_state
        begin = f"{self.percent} %" if state == Batch.State.RUNNING else self.state.lower()
        return f"Batch {begin} – {self.title}"

    @property
    def live_address(self) -> str:
        """Where the part of the page is that changes, with the same chunks."""
        page = f"page={self.chunks.number}" if self.chunks.number > 1 else ""
        query = "&".join(filter(None, (self.only.query.removeprefix("?"), page)))
        return reverse("batch_progress", args=[self.batch.batch_id]) + (f"?{query}" if query else "")

    @property
    def announcement(self) -> str:
        """What a screen reader says: it changes with each tenth of the customers, and with what the batch does."""
        return f"{self.headline}. {self.percent // 10 * 10} % accepted."

    @property
    def every_s(self) -> int | None:
        """After how many seconds its page asks how it stands; None if it goes on no more."""
        if not self.batch.has_runner:
            return None
        is_quiet = self.batch.shown_state == Batch.State.PAUSED and not self.progress.chunks(State.CALLING)
        return EVERY_S_PAUSED if is_quiet else EVERY_S

    @property
    def call(self) -> str:
        """Why somebody should look at it now; "" while it goes on by itself."""
        goes_on = self.batch.shown_state == Batch.State.RUNNING or self.batch.is_stopping
        return "" if goes_on or (self.batch.has_runner and self.batch.resume_at) else self.headline

    @property
    def filters(self) -> tuple[tuple[ChunkFilter, int], ...]:
        """The choices of chunks that its page offers above them, each with how many chunks that are."""
        choices = [ALL] + [PROBLEMS] * bool(self.progress.chunks(*PROBLEM_STATES))
        if self.only not in choices:
            choices.append(self.only)
        return tuple((choice, self.progress.chunks(*choice.states or State)) for choice in choices)

    @property
    def tiles(self) -> tuple[tuple[ChunkFilter, Tally], ...]:
        """How many customers are in which state, with the chunks that they lead to."""
        return tuple((ChunkFilter.of(tally.state), tally) for tally in self.progress.tallies)

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

    @property
    def rounds_left(self) -> int:
        """How many calls come one after the other, at most, until all is sent that it can go on with."""
        return ceil(self.progress.chunks(*Scope.REST.value) / settings.TMS_BATCH_CALLS)

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of its chunks, each once, for who wants to know what they mean."""
        return [*dict.fromkeys(outcome for tally in self.progress.tallies if (outcome := tally.state.outcome))]

    def _resume(self) -> tuple[Control, ...]:
        chunks = self.progress.chunks(State.WAITING)
        label = f"Resume: {self._customers(Scope.WAITING)} left in {counted(chunks, 'chunk')}"
        control = Control("batch_resume", label, "Resume sends the chunks that wait.", is_primary=True)
        return (control,) if self.is_owner and chunks else ()

    def _customers(self, scope: Scope) -> str:
        return counted(self.progress.customers(*scope.states), "customer")
