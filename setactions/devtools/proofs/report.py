"""The result of a proof, for people and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from setactions.devtools.proofs.campaign import Remains
from setactions.devtools.proofs.evidence import read_evidence
from setactions.devtools.proofs.fleets import FLEET_KINDS, judge_fleets
from setactions.devtools.proofs.judge import KINDS, Judgement, judge

EXAMPLES = 3
SURPRISES = "surprises"


@dataclass(frozen=True)
class ProofResult:
    """What the judge found, what the load counted, and what neither side should have seen."""

    judgement: Judgement
    facts: dict[str, int]
    surprises: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether the promise was kept, and nothing else went wrong either."""
        return self.judgement.passed and not self.surprises

    def as_json(self) -> dict[str, Any]:
        """Return all of it; violations and surprises with every case."""
        return {
            "passed": self.passed,
            "facts": self.facts | self.judgement.facts,
            "violations": self.judgement.violations,
            "open": self.judgement.open,
            "mixed": self.judgement.mixed,
            "surprises": list(self.surprises),
        }

    def as_table(self) -> str:
        """Return one line for each count, and the first examples of what is wrong."""
        judgement = self.judgement
        lines = [_row(name, count) for name, count in (self.facts | judgement.facts).items()]
        lines += [_row("open", len(judgement.open)), _row("  of these mixed", len(judgement.mixed)), ""]
        for kind, cases in judgement.violations.items():
            lines += _with_examples(kind, (KINDS | FLEET_KINDS)[kind], cases)
        unexplained = sorted(set(judgement.open) - set(judgement.mixed))
        lines += _with_examples("left open", "reconcile could have closed it", unexplained)
        lines += _with_examples(SURPRISES, "answers and ends that should not be", self.surprises)
        return "\n".join(lines)


def judge_remains(remains: Remains) -> ProofResult:
    """Return the result of what a campaign left behind."""
    files = (remains.folder / "jobs.db", remains.folder / "audit.db")
    evidence = read_evidence(remains.calls, *files, remains.shown)
    judgement = judge(evidence, remains.last_report.need_person)
    if remains.customers:
        fleets = judge_fleets(remains.customers, evidence.calls, files[0])
        judgement = replace(
            judgement,
            violations=judgement.violations | fleets,
            facts=judgement.facts | {"customers": len(remains.customers)},
        )
    return ProofResult(judgement, remains.facts, remains.surprises)


def _row(name: str, count: int) -> str:
    return f"{name:28}{count:10,}"


def _with_examples(name: str, meaning: str, cases: Sequence[str]) -> list[str]:
    return [f"{_row(name, len(cases))}   {meaning}", *(f"    {case}" for case in cases[:EXAMPLES])]
