"""The judge: finds every place where calls, Jobs, audit and what clients were shown do not fit together.

Calls and attempts are tied by what they ask for: TMS knows no attempt ids. Where the same list was
sent on purpose by several attempts nobody can tell whose call was whose, so there the judge counts.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from setactions.devtools.proofs.evidence import NO, YES, Ask, Attempt, Evidence, Job, Shown, code_of
from setactions.devtools.simulator import Call

KINDS = {
    "lost": "TMS applied it, but there is no Job, and no open attempt that could still get one",
    "phantom": "a Job without a call that TMS applied",
    "doubled": "more Jobs than calls that TMS applied, or than attempts",
    "sent_twice": "more calls than attempts",
    "unaudited": "a call or a Job without the events that it must have in the audit",
    "incomplete": "a Job that does not hold exactly what was asked for",
    "shown_then_lost": "a client was shown what is not so",
    "misjudged": "an attempt with an outcome that is not what happened",
    "inconsistent": "the audit contradicts itself",
    "damaged": "SQLite finds a database file damaged",
}
EVENT_OF_EVIDENCE = {"reply": "ACCEPTED", "read_back": "APPLIED", "decided": "DECIDED"}
REPLIES = ("ACCEPTED", "REJECTED", "NOT_SENT")


@dataclass(frozen=True)
class Judgement:
    """What the judge found.

    `violations` has for each of KINDS a sentence for each case. `open` are the ids of attempts that
    nobody has closed yet, `mixed` those of them that only a person can close. `facts` are counts.
    """

    violations: dict[str, list[str]]
    open: list[str]
    mixed: list[str]
    facts: dict[str, int]

    @property
    def passed(self) -> bool:
        """Whether nothing is violated, and nothing is open that could have been closed."""
        return not any(self.violations.values()) and set(self.open) == set(self.mixed)


@dataclass
class _Group:
    """All that concerns one list of customers and one action."""

    ask: Ask
    calls: list[Call] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    denied: int = 0
    """How many of the attempts clients were shown as not applied."""

    def __str__(self) -> str:
        code, cids = self.ask
        who = ", ".join(attempt.attempt_id for attempt in self.attempts) or "no attempt"
        return f"action {code} for {len(cids)} ids from {cids[:1]} ({who})"

    @property
    def applied(self) -> int:
        return sum(call.applied for call in self.calls)

    def with_outcome(self, *outcomes: str) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.outcome in outcomes]


def judge(evidence: Evidence, need_person: Collection[str] = ()) -> Judgement:
    """Judge a world in which nobody writes any more.

    `need_person` are the attempt ids that `reconcile`, run with a token, left to a person; of these
    only those count as mixed for which that is right: another attempt may explain what TMS shows.
    """
    groups = _groups(evidence)
    jobs: defaultdict[str, list[Job]] = defaultdict(list)
    for job in evidence.jobs:
        jobs[job.job_id].append(job)
    violations: dict[str, list[str]] = {kind: [] for kind in KINDS}
    violations["damaged"] += evidence.damage
    for group in groups:
        _judge_jobs_of(group, violations)
        _judge_calls_of(group, violations)
        _judge_outcomes_of(group, violations)
    for job in evidence.jobs:
        attempt = evidence.attempts.get(job.job_id)
        violations["unaudited"] += _missing_events(job, attempt)
        violations["incomplete"] += _differences(job, attempt)
    for attempt in evidence.attempts.values():
        violations["inconsistent"] += _contradictions(attempt)
    for shown in evidence.shown:
        violations["shown_then_lost"] += _broken_promises(shown, evidence.attempts.get(shown.attempt_id), jobs)
    left = [attempt for attempt in evidence.attempts.values() if attempt.is_open]
    mixed = [attempt for attempt in left if attempt.attempt_id in need_person and "INTENT" in attempt.events]
    explained = {attempt.attempt_id for attempt in _explained_by_others(mixed, evidence)}
    return Judgement(
        violations,
        open=[attempt.attempt_id for attempt in left],
        mixed=[attempt.attempt_id for attempt in mixed if attempt.attempt_id in explained],
        facts=_facts(evidence),
    )


def _groups(evidence: Evidence) -> list[_Group]:
    groups: dict[Ask, _Group] = {}

    def group(ask: Ask) -> _Group:
        return groups.setdefault(ask, _Group(ask))

    denied = {shown.attempt_id for shown in evidence.shown if shown.outcome in NO}
    for call in evidence.calls:
        group((code_of(call.action), call.cids)).calls.append(call)
    for attempt in evidence.attempts.values():
        if "INTENT" in attempt.events:
            group(attempt.ask).attempts.append(attempt)
            group(attempt.ask).denied += attempt.attempt_id in denied
    for job in evidence.jobs:
        owner = evidence.attempts.get(job.job_id)
        group(owner.ask if owner and "INTENT" in owner.events else job.ask).jobs.append(job)
    return list(groups.values())


def _judge_jobs_of(group: _Group, violations: dict[str, list[str]]) -> None:
    """Compare the number of Jobs with the number of applied calls."""
    with_job = Counter(job.job_id for job in group.jobs)
    closed_no = {attempt.attempt_id for attempt in group.with_outcome(*NO)}
    is_misjudged = _wrongly_denied(group) > 0  # then a Job of such an attempt may be right
    phantoms = [job for job in group.jobs if not group.applied or (job.job_id in closed_no and not is_misjudged)]
    violations["phantom"] += [f"job {job.job_id}: {group}" for job in phantoms]
    true_jobs = len(group.jobs) - len(phantoms)
    surplus = max(true_jobs - group.applied, sum(count - 1 for count in with_job.values()))
    if surplus > 0:
        violations["doubled"].append(f"{true_jobs} jobs for {group.applied} applied calls: {group}")
    without_job = [attempt for attempt in group.attempts if attempt.attempt_id not in with_job]
    gone = sum(attempt.outcome in YES and not attempt.is_open for attempt in without_job)
    waiting = sum(attempt.is_open for attempt in without_job)
    lost = min(group.applied, gone + max(0, group.applied - true_jobs - waiting - gone))
    if lost:
        violations["lost"].append(f"{group.applied} applied calls, {lost} without a job: {group}")


def _judge_calls_of(group: _Group, violations: dict[str, list[str]]) -> None:
    """Compare the number of calls with the number of attempts."""
    if group.calls and not group.attempts:
        violations["unaudited"].append(f"{len(group.calls)} calls without an INTENT: {group}")
    elif len(group.calls) > len(group.attempts):
        violations["sent_twice"].append(f"{len(group.calls)} calls: {group}")
    if group.denied and group.applied > len(group.attempts) - group.denied:
        violations["shown_then_lost"].append(f"clients were shown as not applied what was applied: {group}")


def _judge_outcomes_of(group: _Group, violations: dict[str, list[str]]) -> None:
    """Compare what the outcomes say with what happened."""
    calls, said_yes = len(group.calls), len(group.with_outcome(*YES))
    said_no, unsent = group.with_outcome(*NO), len(group.with_outcome("not_sent"))
    answered = len(group.with_outcome("accepted", "rejected"))
    if said_yes > group.applied:
        problem = f"{said_yes} accepted or applied, but {group.applied} applied calls"
    elif said_no and _wrongly_denied(group) > 0:
        problem = f"closed as {', '.join(attempt.outcome for attempt in said_no)}, but applied"
    elif unsent and calls > len(group.attempts) - unsent:
        problem = f"{unsent} not sent, but {calls} calls"
    elif answered > calls:
        problem = f"{answered} answered by TMS, but {calls} calls"
    else:
        return
    violations["misjudged"].append(f"{problem}: {group}")


def _wrongly_denied(group: _Group) -> int:
    """Return how many calls were applied beyond those that the outcomes, read generously, tell of."""
    return group.applied - len(group.attempts) + len(group.with_outcome(*NO))


def _missing_events(job: Job, attempt: Attempt | None) -> Iterator[str]:
    if attempt is None or "INTENT" not in attempt.events:
        yield f"job {job.job_id} without an INTENT"
        return
    decided = attempt.events.get("DECIDED")
    reasons = attempt.events.keys() & {"ACCEPTED", "APPLIED"}
    if decided and decided.body["ruling"] == "applied":
        reasons |= {"DECIDED"}
    if EVENT_OF_EVIDENCE.get(job.evidence) not in reasons:
        yield f"job {job.job_id} rests on {job.evidence!r}, but its events are {', '.join(attempt.events)}"
    is_closed = not attempt.is_open or (attempt.summary is not None and not attempt.summary.is_open)
    if is_closed and "RECORDED" not in attempt.events:
        yield f"job {job.job_id} of a closed attempt without RECORDED"


def _differences(job: Job, attempt: Attempt | None) -> Iterator[str]:
    positions = [position for position, _ in job.customers]
    if job.customer_count != len(job.customers) or positions != list(range(len(positions))):
        yield f"job {job.job_id} counts {job.customer_count} customers and has {len(job.customers)}"
    if job.payload_cids != job.ask[1]:
        yield f"job {job.job_id} has other customers than its payload"
    if attempt and "INTENT" in attempt.events and job.ask != attempt.ask:
        yield f"job {job.job_id} is not for what its INTENT asked for"


def _contradictions(attempt: Attempt) -> Iterator[str]:
    name, summary = f"attempt {attempt.attempt_id}", attempt.summary
    if attempt.repeated or len(attempt.events.keys() & set(REPLIES)) > 1:
        yield f"{name} has the events {', '.join([*attempt.events, *attempt.repeated])}"
    elif "RECORDED" in attempt.events and attempt.outcome not in YES:
        yield f"{name} has a recorded job, but is {attempt.outcome}"
    elif summary is None:
        yield f"{name} has events, but no row"
    elif (summary.outcome, summary.is_open, summary.job_owed) != (attempt.outcome, attempt.is_open, attempt.owes_job):
        state = f"{summary.outcome}, open {summary.is_open}, job owed {summary.job_owed}"
        yield f"{name} is {state} in its row, but its events are {', '.join(attempt.events)}"
    elif sorted(summary.cids) != sorted(attempt.cids):
        yield f"{name} is indexed for other customers than it opened with"
    elif "INTENT" in attempt.events and summary.customer_count != len(attempt.cids):
        yield f"{name} counts {summary.customer_count} customers, but opened with {len(attempt.cids)}"


def _broken_promises(shown: Shown, attempt: Attempt | None, jobs: dict[str, list[Job]]) -> Iterator[str]:
    if shown.outcome not in YES:
        return
    may_come = attempt is not None and attempt.is_open and not shown.recorded
    if shown.job_id != shown.attempt_id or (shown.job_id not in jobs and not may_come):
        yield f"a client was shown job {shown.job_id} for attempt {shown.attempt_id}"


def _explained_by_others(mixed: list[Attempt], evidence: Evidence) -> Iterator[Attempt]:
    """Yield those attempts whose customers another one may have changed in a way that hides the truth.

    An other one with a lower action that was over before cannot: what it left behind is told apart.
    """
    doubtful = {cid for attempt in mixed for cid in attempt.cids}
    by_cid: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in evidence.attempts.values():
        if "INTENT" in attempt.events and attempt.outcome not in ("rejected", "not_sent"):
            for cid in doubtful.intersection(attempt.cids):
                by_cid[cid].append(attempt)
    for attempt in mixed:
        others = [other for cid in attempt.cids for other in by_cid[cid] if other is not attempt]
        begun = attempt.events["INTENT"].number
        if any(other.ask[0] >= attempt.ask[0] or other.ended > begun for other in others):
            yield attempt


def _facts(evidence: Evidence) -> dict[str, int]:
    outcomes = Counter(attempt.outcome for attempt in evidence.attempts.values())
    return {
        "calls": len(evidence.calls),
        "calls cut off": evidence.cut_off,
        "applied": sum(call.applied for call in evidence.calls),
        "jobs": len(evidence.jobs),
        "attempts": sum("INTENT" in attempt.events for attempt in evidence.attempts.values()),
        "shown": len(evidence.shown),
    } | {f"outcome {outcome}": count for outcome, count in sorted(outcomes.items())}
