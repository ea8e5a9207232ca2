import json
import re
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from tqdm import tqdm

from audit.chain import ANCHOR_DIGITS
from audit.models import Attempt, ChainHead
from audit.verification import Point, Verification, verify
from tmsdash.commands import Command as BaseCommand

BROKEN = 3
ANCHOR = re.compile(rf"([0-9]{{1,18}}):([0-9a-f]{{{ANCHOR_DIGITS},64}})")
ANCHOR_IN_LOG = re.compile(rf"anchor={ANCHOR.pattern}")


class Command(BaseCommand):
    help = (
        "Prove that the audit is what was written: no entry changed, missing or added, the chain as long as it was, "
        "the attempts and the customer index as the entries say. Compares it with the seals in AUDIT_SEAL_DIR and "
        "with anchors, which are in the log and on every attempt's page. Exit code 0: whole; 3: broken, and the first "
        "bad entry is named."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--anchor", action="append", default=[], metavar="SEQ:MAC", help="an anchor that was kept; repeatable"
        )
        parser.add_argument(
            "--anchors-from", metavar="FILE", help="a log (- for standard input), whose lines hold anchor=SEQ:MAC"
        )
        parser.add_argument("--archives", metavar="FOLDER", help="where archives are (default: AUDIT_SEAL_DIR)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        anchors = [_anchor(text) for text in options["anchor"]]
        if options["anchors_from"]:
            anchors += _anchors_in(options["anchors_from"])
        try:
            head = ChainHead.objects.first()
            total = (head.sequence if head else 0) + Attempt.objects.count()
            with tqdm(total=total, unit=" rows", disable=None, leave=False) as bar:
                found = verify(anchors, bar.update, Path(options["archives"]) if options["archives"] else None)
        except (AnyDatabaseError, OSError) as error:
            raise CommandError(f"The audit or its seals cannot be read, so that nothing is proven. {error}") from None
        self.stdout.write(json.dumps(_as_json(found)) if options["json"] else _in_words(found))
        if not found.is_whole:
            sys.exit(BROKEN)


def _anchor(text: str) -> Point:
    match = ANCHOR.fullmatch(text.strip().lower())
    if not match:
        raise CommandError(f"--anchor {text}: write SEQUENCE:MAC, such as 17:0123456789abcdef.")
    return Point(int(match[1]), match[2], f"the anchor {text}")


def _anchors_in(name: str) -> list[Point]:
    """Return every anchor of a log; raises CommandError if there is none."""
    try:
        with sys.stdin if name == "-" else open(name, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            found = {match[0]: match for line in file for match in ANCHOR_IN_LOG.finditer(line)}
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from None
    if not found:
        raise CommandError(f"{name} holds no anchor. Lines with one say anchor=SEQUENCE:MAC.")
    return [Point(int(match[1]), match[2], f"the log {name}") for match in found.values()]


def _as_json(found: Verification) -> dict[str, Any]:
    return {
        "whole": found.is_whole,
        "entries": found.entries,
        "attempts": found.attempts,
        "last": found.last,
        "archives": found.archives,
        "seals": found.seals,
        "superseded": found.superseded,
        "anchors": found.anchors,
        "first_bad": found.findings[0].where if found.findings else None,
        "finding_count": found.finding_count,
        "findings": [{"where": finding.where, "problem": finding.problem} for finding in found.findings],
    }


def _in_words(found: Verification) -> str:
    looked_at = (
        f"{found.entries:,} entries, {found.attempts:,} attempts, {found.archives:,} archives, {found.seals:,} seals "
        f"and {found.anchors:,} anchors"
    )
    if found.superseded:
        looked_at += f" ({found.superseded:,} of the seals are of what a restored backup replaced)"
    if found.is_whole:
        return f"The audit is whole: {looked_at}. Its last entry is {found.last}: keep that elsewhere."
    lines = [
        f"The audit is BROKEN. First bad: {found.findings[0].where}. Looked at: {looked_at}.",
        *(f"  {finding.where}: {finding.problem}" for finding in found.findings),
    ]
    if found.finding_count > len(found.findings):
        lines.append(f"  … and {found.finding_count - len(found.findings):,} more.")
    return "\n".join(lines)
