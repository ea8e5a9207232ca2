import json
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from tqdm import tqdm

from audit.models import Attempt
from audit.proof.anchors import NoAnchorError, kept_anchor, logged_anchors
from audit.proof.archives import ArchiveError
from audit.proof.claims import NoWitnessError, witnessed
from audit.proof.commands import BROKEN
from audit.proof.findings import Finding, Verification
from audit.proof.heads import stored_head
from audit.proof.verification import verify
from tmsdash import timers
from tmsdash.commands import TimerCommand
from tmsdash.cores import WorkerLostError
from tmsdash.text import one_line

COUNTS = ("entries", "attempts", "last", "archives", "seals", "superseded", "anchors", "checkpoints", "witnesses")
NAMES = {"witnesses": "checkpoints of witnesses"}  # of counts, in words


class Command(TimerCommand):
    help = (
        "Prove that the audit is what was written: no entry changed, missing or added, the chain as long as it was, "
        "and the attempts and the index of customers as the entries say. It is compared with the seals in "
        "AUDIT_SEAL_DIR, with signed checkpoints, also those that witnesses keep, and with anchors, which are in the "
        "log and on every attempt's page. Exit code 0: whole; 3: broken (the first bad entry is named), or an anchor "
        "does not match."
    )

    timer = timers.VERIFY
    needed_keys = ()  # it only reads, and names the keys that it lacks

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--anchor", action="append", default=[], metavar="SEQ:MAC", help="an anchor that was kept; may be repeated"
        )
        parser.add_argument("--anchors-from", metavar="FILE", help="a log (- for standard input): its lines of [AUDIT]")
        parser.add_argument(
            "--witness", action="append", default=[], metavar="FILE", help="what a witness kept; may be repeated"
        )
        parser.add_argument("--archives", metavar="FOLDER", help="where the archives are (default: AUDIT_SEAL_DIR)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            anchors = [kept_anchor(text) for text in options["anchor"]]
            if options["anchors_from"]:
                anchors += logged_anchors(options["anchors_from"])
            witnesses = [claim for name in options["witness"] for claim in witnessed(name)]
        except (NoAnchorError, NoWitnessError) as error:
            raise CommandError(str(error)) from None
        try:
            with tqdm(total=_rows(), unit=" rows", disable=None, leave=False) as bar:
                verification = verify(anchors, bar.update, self.archive_folder(options), witnesses)
                if not verification.is_audit_gone:
                    self.verify_further(verification, options)
        except (AnyDatabaseError, ArchiveError, WorkerLostError, OSError) as error:
            raise CommandError(f"The audit or its seals cannot be read, so nothing is proven. {error}") from None
        self.stdout.write(json.dumps(_as_json(verification)) if options["json"] else _in_words(verification))
        if not verification.is_whole:
            sys.exit(BROKEN)

    def archive_folder(self, options: dict[str, Any]) -> Path | None:
        """Return where the archives are, if not in AUDIT_SEAL_DIR."""
        return Path(options["archives"]) if options["archives"] else None

    def verify_further(self, verification: Verification, options: dict[str, Any]) -> None:
        """Look at what lies outside the audit, as the command of the same name in setactions does."""


def _rows() -> int | None:
    """Return about how many rows will be looked at; None if nobody can tell."""
    with suppress(AnyDatabaseError):
        head = stored_head()
        return (head.sequence if head else 0) + Attempt.objects.count()
    return None


def _as_json(verification: Verification) -> dict[str, Any]:
    findings, unfit = verification.findings, verification.unfit_anchors
    return {
        "whole": verification.is_whole,
        "chain_whole": verification.is_chain_whole,
        **{name: getattr(verification, name) for name in COUNTS},
        "first_bad": next((finding.where for finding in (*findings, *unfit)), None),
        **verification.further,
        "finding_count": verification.finding_count,
        "findings": [{"where": finding.where, "problem": finding.problem} for finding in findings],
        "anchors_unfit_count": verification.unfit_count,
        "anchors_unfit": [{"where": finding.where, "problem": finding.problem} for finding in unfit],
        "lost_seals": verification.lost_seals,
        "unchecked": verification.unchecked,
        "lost_keys": [asdict(lost) for lost in verification.lost_keys],
        "not_looked_at": verification.not_looked_at,
    }


def _in_words(verification: Verification) -> str:
    findings, unfit = verification.findings, verification.unfit_anchors
    shown = [name for name in COUNTS if name not in ("last", "superseded")]
    counts = [f"{getattr(verification, name):,} {NAMES.get(name, name)}" for name in shown]
    looked_at = f"{', '.join(counts[:-1])} and {counts[-1]}"
    if verification.further:
        further = (f"{count:,} {name.replace('_', ' ')}" for name, count in verification.further.items())
        looked_at += f"; {', '.join(further)}"
    if verification.superseded:
        looked_at += f" ({verification.superseded:,} of the seals are of a history that a restored backup replaced)"
    if verification.is_whole:
        lines = [f"The audit is whole: {looked_at}. Its last entry is {verification.last}: keep that elsewhere."]
    elif verification.is_chain_whole:
        lines = [
            f"The audit's entries, macs, end and seals are whole: {looked_at}. Its last entry is {verification.last}.",
            f"ANCHORS DO NOT MATCH: {verification.unfit_count:,}, first {unfit[0].where}. Either they were changed "
            "where they were kept, or the whole audit was put back to an earlier state.",
        ]
    else:
        lines = [f"The audit is BROKEN. First bad: {one_line(findings[0].where)}. Looked at: {looked_at}."]
    lines += _findings_in_words(findings, verification.finding_count)
    if unfit and not verification.is_chain_whole:
        lines.append(f"Besides, {verification.unfit_count:,} anchors do not match:")
    lines += _findings_in_words(unfit, verification.unfit_count)
    lines += [f"Lost key: {lost.sentence}" for lost in verification.lost_keys]
    lines += [one_line(f"Lost seals: {sentence}", 1_000) for sentence in verification.lost_seals]
    for name in verification.not_looked_at:
        lines.append(f"Not looked at, because its key is not known here: {one_line(name)}")
    return "\n".join(lines)


def _findings_in_words(findings: list[Finding], count: int) -> list[str]:
    lines = [one_line(f"  {finding.where}: {finding.problem}", 1_000) for finding in findings]
    if count > len(findings):
        lines.append(f"  … and {count - len(findings):,} more.")
    return lines
