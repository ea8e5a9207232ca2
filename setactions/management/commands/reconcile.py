import json
import logging
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.actors import command_actor
from setactions.batches.recovery import catch_up_all
from setactions.resolving.reconcile import reconcile
from setactions.resolving.roll_forward import ReconcileReport
from setactions.resolving.unexplained import Findings, find_unexplained, in_words
from setactions.token_options import add_token_arguments, token_of_options
from tmsdash.commands import Command as BaseCommand
from tmsdash.text import one_line

logger = logging.getLogger(__name__)

SOME_NEED_A_TOKEN, SOME_NEED_A_PERSON, FAILED = 1, 2, 3


class Command(BaseCommand):
    help = (
        "Finish what was left open: record the jobs that are owed and, with a token, read back what TMS shows for "
        "attempts whose outcome is unknown. After a backup was restored, --full with a token also names the customers "
        "for which TMS shows an action that nothing here asked for. Exit code 0: all closed; 1: some need a token, or "
        "a cluster could not be read; 2: some need a person; 3: a database could not be used."
    )

    wrong_key_exit_code = FAILED

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--full", action="store_true", help="also compare all jobs with the audit: after a restore")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        add_token_arguments(parser)

    @sensitive_variables()
    def handle(self, *args: Any, **options: Any) -> None:
        actor = command_actor()
        token = token_of_options(options)
        try:
            report = reconcile(actor, token, full=options["full"])
            catch_up_all()
            findings = find_unexplained(token) if options["full"] and token else None
        except AnyDatabaseError as error:
            raise CommandError(f"A database cannot be used; run it again later. {error}", returncode=FAILED) from None
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(report) | (_unexplained_as_json(findings) if findings else {})))
        else:
            self.stdout.write(_in_words(report))
            if options["full"]:
                self.stdout.write(_unexplained_in_words(findings))
        for problem in findings.problems if findings else ():
            logger.warning("[RECONCILE] WARNING: %s", one_line(problem))
        code = _exit_code(report, findings)
        if code:
            sys.exit(code)


def _exit_code(report: ReconcileReport, findings: Findings | None) -> int:
    if report.not_recorded:
        return FAILED
    if report.need_person or report.schema or (findings and findings.unexplained):
        return SOME_NEED_A_PERSON
    return SOME_NEED_A_TOKEN if report.need_token or (findings and findings.problems) else 0


def _as_json(report: ReconcileReport) -> dict[str, Any]:
    return {
        "closed": report.closed,
        "recorded": report.recorded,
        "need_token": [str(attempt_id) for attempt_id in report.need_token],
        "need_person": [str(attempt_id) for attempt_id in report.need_person],
    } | _altered_as_json(report)


def _altered_as_json(report: ReconcileReport) -> dict[str, Any]:
    """Return what is not as it was written, if there is anything."""
    altered = {"altered": [str(attempt_id) for attempt_id in report.altered], "schema": report.schema}
    return {name: found for name, found in altered.items() if found}


def _in_words(report: ReconcileReport) -> str:
    lines = [f"Attempts closed: {report.closed:,}. Jobs recorded: {report.recorded:,}."]
    if report.not_recorded:
        lines.append(f"Jobs that could not be recorded, see the log: {len(report.not_recorded):,}.")
    if report.need_token:
        lines.append(f"A token is needed, to read back what TMS shows, for {len(report.need_token):,}:")
        lines += [f"  {attempt_id}" for attempt_id in report.need_token]
    if report.need_person:
        lines.append(
            f"A person is needed, who looks at the attempt's page and the log, for {len(report.need_person):,}:"
        )
        lines += [f"  {attempt_id}" for attempt_id in report.need_person]
    if report.altered:
        lines.append(f"Not as they were written, and no evidence; see the log, for {len(report.altered):,}:")
        lines += [f"  {attempt_id}" for attempt_id in report.altered]
    if report.schema:
        lines.append("Databases that are not as the migrations made them:")
        lines += [f"  {problem}" for problem in report.schema]
    return "\n".join(lines)


def _unexplained_as_json(findings: Findings) -> dict[str, Any]:
    return {
        "unexplained": [
            {"cluster_url": one.cluster.origin, "cid": one.cid, "action_code": one.action_code}
            for one in findings.unexplained
        ]
    }


def _unexplained_in_words(findings: Findings | None) -> str:
    if findings is None:
        return (
            "TMS was not asked what it shows. To learn what it accepted and nothing here asked for, give a token: "
            "--ask-token, --token-file FILE or TMS_TOKEN."
        )
    lines = [*in_words(findings.unexplained), *findings.problems]
    if findings.unexplained:
        lines.append("Find out who sent this, or what was lost with a restored backup. Nothing was changed.")
    return "\n".join(lines or ["Everything that TMS shows was asked for here."])
