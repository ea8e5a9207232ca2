"""How a batch ended, as a command says it: in words, as JSON, and as an exit code."""

from collections.abc import Iterator
from typing import Any

from jobs.batches.scopes import Scope
from jobs.batches.selectors import Progress, progress_of, reasons_of, set_aside_ids
from jobs.live.codes import state_name
from jobs.models import Batch, BatchChunk
from setactions.batches.report import NOT_KNOWN
from setactions.live.confirmations import BatchCheck
from tmsdash.text import counted

ALL_ACCEPTED, SOME_NOT_ACCEPTED, SOME_UNKNOWN = 0, 2, 3
State = BatchChunk.State
# Chunks that TMS rejected for unknown ids are rejected ones; the ids themselves are counted apart.
_NAMES = {state: "rejected" if state == State.SET_ASIDE else state.value for state in State}
_NAMES[State.CALLING] = State.UNKNOWN.value
_LABELS = {state.value: state.label for state in State} | {NOT_KNOWN: "Ids that TMS does not know"}


class Summary:
    """A batch as it is now, and what a `check` showed of it. Raises DatabaseError if it cannot be read."""

    def __init__(self, batch: Batch, check: BatchCheck | None = None) -> None:
        self.check = check
        self.batch = Batch.objects.get(pk=batch.pk)
        self.progress: Progress = progress_of(batch)
        self.unknown_to_tms = set_aside_ids(batch)
        self.reasons = reasons_of(batch)

    @property
    def exit_code(self) -> int:
        """0 all accepted, 2 some not, 3 some unknown."""
        if self.progress.chunks(State.UNKNOWN, State.CALLING):
            return SOME_UNKNOWN
        is_whole = self.progress.accepted == self.batch.customer_count
        return ALL_ACCEPTED if is_whole else SOME_NOT_ACCEPTED

    def left(self, scope: Scope) -> int:
        """Return how many customers a further run with this scope sends."""
        return self.progress.customers(*scope.states)

    def counts(self) -> dict[str, int]:
        counts = dict.fromkeys(_NAMES.values(), 0)
        for tally in self.progress.tallies:
            counts[_NAMES[tally.state]] += tally.customers
        return counts | {NOT_KNOWN: len(self.unknown_to_tms)}

    def as_json(self, resume_line: str) -> dict[str, Any]:
        """Return the whole as the command's JSON object; `resume_line` is the command line to go on with."""
        batch = self.batch
        accepted = batch.chunks.filter(state=State.ACCEPTED).order_by("number").values_list("attempt_id", flat=True)
        return {
            "status": "success" if self.exit_code == ALL_ACCEPTED else "error",
            "batch_id": str(batch.batch_id),
            "state": batch.shown_state.value,
            "reason": " ".join(filter(None, [batch.reason, *self.reasons])),
            "customers": batch.customer_count,
            "repeated": batch.repeated,
            "chunks": batch.chunk_count,
            "counts": self.counts(),
            "left": self.left(Scope.REST),
            "job_ids": [str(job_id) for job_id in accepted],
            "unknown_to_tms": self.unknown_to_tms,
            **self._check_as_json(),
            "resume": resume_line if self.left(Scope.REST_WITHOUT_UNKNOWN_IDS) else None,
            "exit_code": self.exit_code,
        }

    def _check_as_json(self) -> dict[str, Any]:
        if not self.check:
            return {}
        if self.check.problems:
            return {"check": {"problem": " ".join(self.check.problems)}}
        return {"check": {"confirmed": self.check.confirmed, "customers": self.check.customer_count}}

    def in_words(self, resume_line: str) -> Iterator[str]:
        """Return the whole in sentences, with what to do next."""
        batch, counts = self.batch, self.counts()
        yield f"Batch {batch.batch_id}: {batch.shown_state.label.lower()}. {batch.reason}".rstrip()
        yield f"Accepted: {counts.pop('accepted'):,} of {counted(batch.customer_count, 'customer')}."
        for name, count in counts.items():
            if count:
                yield f"{_LABELS[name]}: {count:,}."
        for shown in self.check.states if self.check else ():
            yield f"TMS shows for {state_name(shown.action_code)}: {shown.in_words}."
        for problem in self.check.problems if self.check else ():
            yield f"WARNING: what TMS shows could not be read. {problem}"
        yield from self.reasons
        if self.unknown_to_tms:
            more = " …" if len(self.unknown_to_tms) > 20 else ""
            yield f"TMS does not know {', '.join(self.unknown_to_tms[:20])}{more}"
        if self.exit_code == SOME_UNKNOWN:
            find_out = "Find out with manage.py reconcile and a token, or on its page."
            yield f"What has an unknown outcome is not sent again. {find_out}"
        if left := self.left(Scope.REST):
            calls = counted(self.progress.chunks(*Scope.REST.states), "call")
            yield f"Left to send: {counted(left, 'customer')} in {calls}. To go on: {resume_line}"
        if self.left(Scope.REST_WITHOUT_UNKNOWN_IDS) > left:
            yield f"To go on without the ids that TMS does not know: {resume_line} --without-unknown"
