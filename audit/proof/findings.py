"""What a verification of the audit reports: how much it looked at, and everything that is not as it was written."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from audit.proof.lost_keys import LostKey

AUDIT = "database audit"  # where something is wrong with all of it
FINDINGS_KEPT = 50  # of either sort, while all are counted: a lost entry can make every row behind it a finding


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written: where, and a sentence about it."""

    where: str
    problem: str
    is_anchor: bool = False
    """Whether only an anchor contradicts the audit. Anchors are kept outside, so the chain itself may be whole."""


@dataclass
class Verification:
    """What was looked at, and what was found.

    Anchors that do not match are kept apart: nobody can tell from here whether they or the audit were changed.
    """

    entries: int = 0
    attempts: int = 0
    archives: int = 0
    seals: int = 0
    superseded: int = 0  # seals of a history that a restored backup replaced
    anchors: int = 0
    checkpoints: int = 0  # of the site's own, in its database and in seals
    witnesses: int = 0  # checkpoints that witnesses kept
    last: str = ""  # the anchor of the last entry
    further: dict[str, int] = field(default_factory=dict)  # counts of what was looked at outside the audit
    finding_count: int = 0
    findings: list[Finding] = field(default_factory=list)
    unfit_count: int = 0
    unfit_anchors: list[Finding] = field(default_factory=list)
    lost_keys: list[LostKey] = field(default_factory=list)
    lost_seals: list[str] = field(default_factory=list)  # sentences on files that were acknowledged as lost
    unchecked: int = 0  # entries under keys that are acknowledged as lost
    not_looked_at: list[str] = field(default_factory=list)  # names of seal files and archives under unknown keys

    @property
    def is_audit_gone(self) -> bool:
        """Whether the audit's database is gone or damaged, so that nothing can be compared with it."""
        return any(finding.where == AUDIT for finding in self.findings)

    @property
    def is_whole(self) -> bool:
        return self.is_chain_whole and not self.unfit_count

    @property
    def is_chain_whole(self) -> bool:
        """Whether the audit contradicts neither itself nor its seals, whatever anchors say."""
        return not self.finding_count

    def add(self, findings: Iterable[Finding]) -> None:
        """Count findings, and keep the first ones."""
        for finding in findings:
            kept = self.unfit_anchors if finding.is_anchor else self.findings
            self.unfit_count += finding.is_anchor
            self.finding_count += not finding.is_anchor
            if len(kept) < FINDINGS_KEPT:
                kept.append(finding)
