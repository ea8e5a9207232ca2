"""Moving one, two or all three databases of an installation. The order is what makes it safe to kill at any moment:

1. The source is marked, so that nothing else uses it, then the target. Both marks have the same id.
2. Rows are copied in parts, each in a transaction with the note of how far the copy is. The same move, run again, goes
   on behind the last part.
3. Every table is read back and compared, then everything else is proven of the target: references, tables and triggers,
   the audit as `audit_verify` does it, and the keys.
4. The sources are marked as moved, and only then can the targets be used. If it is killed in between, the same move is
   run again.

If anything is wrong the move ends before step 4: the source is what it was but for its mark, which `take_back` removes.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from audit.proof.findings import Verification
from audit.proof.verification import verify
from setactions.operations.backups.creation import database_of
from setactions.operations.moves import source as sources
from setactions.operations.moves import target as targets
from setactions.operations.moves.places import MoveError, used
from setactions.operations.moves.sessions import Session, session_with
from setactions.operations.moves.survey import Plan, assert_own_keys, is_usable
from setactions.proof.database_check import PROGRAMS
from tmsdash.db.migration import migrating_alone
from tmsdash.db.schema import schema_problems
from tmsdash.kill_points import kill_point


class BrokenAuditError(MoveError):
    """The audit in the target is not whole."""


@dataclass(frozen=True)
class Reporter:
    """Who is told how far a move is: of waiting, of each step with the number of its rows, and of rows."""

    wait: Callable[[str], None]
    begin: Callable[[str, int], None]
    rows: Callable[[int], object]


@dataclass(frozen=True)
class Outcome:
    """What was moved: the rows of each database, and what the audit's verification says if that was among them."""

    rows: dict[str, int]
    verification: Verification | None


def move(plans: Sequence[Plan], reporter: Reporter) -> Outcome:
    """Move databases as planned, or go on where the same move was interrupted.

    Raises MoveError, BackupError if a source is in use, django.db.Error and OSError; then the targets cannot be used.
    """
    with ExitStack() as stack:
        unfinished = [plan for plan in plans if not plan.is_over]
        held = {plan.alias: stack.enter_context(sources.held(plan.database, plan.mark)) for plan in unfinished}
        stack.enter_context(used({plan.alias: plan.target for plan in plans}))
        kill_point("move: sources marked, targets not")
        with migrating_alone(reporter.wait, [plan.alias for plan in unfinished]):
            for plan in unfinished:
                is_usable(plan.alias, plan.target, plan.mark)  # somebody may have filled it since
                targets.begin(plan.alias, plan.target_mark)
        unused = [plan for plan in plans if not plan.is_used]
        filled = {plan.alias: stack.enter_context(closing(session_with(database_of(plan.alias)))) for plan in unused}
        rows = {plan.alias: _fill(plan, held[plan.alias], filled[plan.alias], reporter) for plan in unfinished}
        verification = _proven([plan.alias for plan in unused], reporter)
        kill_point("move: all proven, sources not marked as moved")
        for plan in unfinished:
            sources.end(held[plan.alias], plan.mark)
            kill_point("move: a source marked as moved")
        for plan in unused:
            targets.release(filled[plan.alias])
    return Outcome(rows, verification)


def _fill(plan: Plan, source: Session, target: Session, reporter: Reporter) -> int:
    """Copy what is not copied yet of a database, and compare all of it; return the number of its rows."""
    progress = targets.progress_of(target, plan.tables)
    counts = {table.name: source.count(table) for table in plan.tables}
    reporter.begin(f"{plan.alias}: copying", sum(counts.values()))
    for table in plan.tables:
        reporter.rows(progress[table.name].content.rows)
        if not progress[table.name].is_copied:
            targets.copy(source, target, table, progress[table.name], reporter.rows)
    reporter.begin(f"{plan.alias}: comparing", sum(counts.values()))
    for table in plan.tables:
        targets.compare(target, table, progress[table.name].content, counts[table.name], reporter.rows)
        if table.counter:
            target.set_highest(table, source.highest(table))
    target.finish()
    return sum(counts.values())


def _proven(aliases: list[str], reporter: Reporter) -> Verification | None:
    """Prove all but the rows of the targets, which are used as the databases of the site. Raises MoveError."""
    for alias in aliases:
        for problem in schema_problems(alias, PROGRAMS.get(alias, frozenset())):
            raise MoveError(problem)
    assert_own_keys(aliases)
    if "audit" not in aliases:
        return None
    reporter.begin("audit: verifying", 0)
    verification = verify(on_step=reporter.rows)
    if not verification.is_whole:
        finding = (*verification.findings, *verification.unfit_anchors)[0]
        raise BrokenAuditError(f"The audit in the copy is BROKEN. {finding.where}: {finding.problem}")
    return verification
