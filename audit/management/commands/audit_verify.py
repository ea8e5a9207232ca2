import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from tqdm import tqdm

from audit.models import Attempt, ChainHead
from audit.proof.anchors import NoAnchorError, kept_anchor, logged_anchors
from audit.proof.archives import ArchiveError
from audit.proof.findings import Finding, Verification
from audit.proof.verification import verify
from tmsdash.commands import Command as BaseCommand
from tmsdash.text import one_line

BROKEN = 3


class Command(BaseCommand):
    help = (
        "Prove that the audit is what was written: no entry changed, missing or added, the chain as long as it was, "
        "and the attempts and the index of customers as the entries say. It is compared with the seals in "
        "AUDIT_SEAL_DIR and with anchors, which are in the log and on every attempt's page. Exit code 0: whole; 3: "
        "broken (the first bad entry is named), or an anchor does not fit."
    )

    needed_keys = ()  # it reads, and says itself which keys it lacks

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--anchor", action="append", default=[], metavar="SEQ:MAC", help="an anchor that was kept; may be repeated"
        )
        parser.add_argument(
            "--anchors-from", metavar="FILE", help="a log (- for standard input): its lines that begin with [AUDIT]"
        )
        parser.add_argument("--archives", metavar="FOLDER", help="where the archives are (default: AUDIT_SEAL_DIR)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            anchors = [kept_anchor(text) for text in options["anchor"]]
            if options["anchors_from"]:
                anchors += logged_anchors(options["anchors_from"])
        except NoAnchorError as error:
            raise CommandError(str(error)) from None
        try:
            head = ChainHead.objects.first()
            total = (head.sequence if head else 0) + Attempt.objects.count()
            with tqdm(total=total, unit=" rows", disable=None, leave=False) as bar:
                found = verify(anchors, bar.update, self.archive_folder(options))
                self.verify_further(found, options)
        except (AnyDatabaseError, ArchiveError, OSError) as error:
            raise CommandError(f"The audit or its seals cannot be read, so that nothing is proven. {error}") from None
        self.stdout.write(json.dumps(_as_json(found)) if options["json"] else _in_words(found))
        if not found.is_whole:
            sys.exit(BROKEN)

    def archive_folder(self, options: dict[str, Any]) -> Path | None:
        """Return where archives are, if not in AUDIT_SEAL_DIR."""
        return Path(options["archives"]) if options["archives"] else None

    def verify_further(self, found: Verification, options: dict[str, Any]) -> None:
        """Look at what is beside the audit; setactions' command of the same name does."""


def _as_json(found: Verification) -> dict[str, Any]:
    return {
        "whole": found.is_whole,
        "chain_whole": found.is_chain_whole,
        "entries": found.entries,
        "attempts": found.attempts,
        "last": found.last,
        "archives": found.archives,
        "seals": found.seals,
        "superseded": found.superseded,
        "anchors": found.anchors,
        "first_bad": next((finding.where for finding in (*found.findings, *found.unfit_anchors)), None),
        **found.further,
        "finding_count": found.finding_count,
        "findings": [_finding_as_json(finding) for finding in found.findings],
        "anchors_unfit_count": found.unfit_count,
        "anchors_unfit": [_finding_as_json(finding) for finding in found.unfit_anchors],
        "unchecked": found.unchecked,
        "lost_keys": [asdict(lost) for lost in found.lost_keys],
        "not_looked_at": found.not_looked_at,
    }


def _finding_as_json(finding: Finding) -> dict[str, str]:
    return {"where": finding.where, "problem": finding.problem}


def _in_words(found: Verification) -> str:
    looked_at = (
        f"{found.entries:,} entries, {found.attempts:,} attempts, {found.archives:,} archives, {found.seals:,} seals "
        f"and {found.anchors:,} anchors"
    )
    if found.further:
        further = (f"{count:,} {name.replace('_', ' ')}" for name, count in found.further.items())
        looked_at += f"; {', '.join(further)}"
    if found.superseded:
        looked_at += f" ({found.superseded:,} of the seals are of what a restored backup replaced)"
    if found.is_whole:
        lines = [f"The audit is whole: {looked_at}. Its last entry is {found.last}: keep that elsewhere."]
    elif found.is_chain_whole:
        lines = [
            f"The audit's entries, macs, end and seals are whole: {looked_at}. Its last entry is {found.last}.",
            f"ANCHORS DO NOT FIT: {found.unfit_count:,}, first {found.unfit_anchors[0].where}. Either they were "
            "changed where they were kept, or the whole audit was put back to an earlier state.",
        ]
    else:
        lines = [f"The audit is BROKEN. First bad: {found.findings[0].where}. Looked at: {looked_at}."]
    lines += _findings_in_words(found.findings, found.finding_count)
    if found.unfit_count and not found.is_chain_whole:
        lines.append(f"Besides, {found.unfit_count:,} anchors do not fit:")
    lines += _findings_in_words(found.unfit_anchors, found.unfit_count)
    lines += [f"Lost key: {lost.sentence}" for lost in found.lost_keys]
    lines += [f"Not looked at, because its key is not known here: {one_line(name)}" for name in found.not_looked_at]
    return "\n".join(lines)


def _findings_in_words(findings: list[Finding], count: int) -> list[str]:
    lines = [one_line(f"  {finding.where}: {finding.problem}", 1_000) for finding in findings]
    if count > len(findings):
        lines.append(f"  … and {count - len(findings):,} more.")
    return lines
