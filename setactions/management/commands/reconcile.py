import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.actors import command_actor
from setactions.batches.recovery import catch_up_all
from setactions.resolving.reconcile import reconcile
from setactions.resolving.roll_forward import ReconcileReport
from setactions.resolving.unexplained import Unexplained, find_unexplained, in_words
from setactions.token_options import add_token_arguments, token_of_options
from tmsdash import timers
from tmsdash.commands import TimerCommand
from tmsdash.text import counted, one_line

logger = logging.getLogger(__name__)

SOME_NEED_A_TOKEN, SOME_NEED_A_PERSON, FAILED = 1, 2, 3


class Command(TimerCommand):
    help = (
        "Finish what was left open: record the jobs that are owed and, with a token, read back what TMS shows for "
        "attempts whose outcome is unknown. After a backup was restored, --full with a token also names the customers "
        "for which TMS shows an action that nothing here asked for. Exit code 0: all closed, except those on which TMS "
        "may still be working, which are counted; 1: some need a token, or a cluster could not be read; 2: some need "
        "a person; 3: a database could not be used."
    )

    wrong_key_exit_code = FAILED
    timer = timers.RECONCILE
    done_codes = (0, SOME_NEED_A_TOKEN, SOME_NEED_A_PERSON)

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
            unexplained = find_unexplained(token) if options["full"] and token else None
        except AnyDatabaseError as error:
            raise CommandError(f"A database cannot be used; run it again later. {error}", returncode=FAILED) from None
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(report, unexplained)))
        else:
            self.stdout.write(_in_words(report))
            if options["full"]:
                self.stdout.write(_unexplained_in_words(unexplained))
        for problem in unexplained.problems if unexplained else ():
            logger.warning("[RECONCILE] WARNING: %s", one_line(problem))
        if code := _exit_code(report, unexplained):
            sys.exit(code)


def _exit_code(report: ReconcileReport, unexplained: Unexplained | None) -> int:
    if report.not_recorded:
        return FAILED
    if report.need_person or report.schema or (unexplained and unexplained.states):
        return SOME_NEED_A_PERSON
    return SOME_NEED_A_TOKEN if report.need_token or (unexplained and unexplained.problems) else 0


def _as_json(report: ReconcileReport, unexplained: Unexplained | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"closed": report.closed, "recorded": report.recorded, "open": report.still_open}
    if report.judged_from:
        answer["judged_from"] = report.judged_from.isoformat()
    for name in ("need_token", "need_person", "altered", "schema"):
        items = [str(item) for item in getattr(report, name)]
        if items or name.startswith("need"):
            answer[name] = items
    if unexplained:
        answer["unexplained"] = [
            {"cluster_url": state.cluster.origin, "cid": state.cid, "action_code": state.action_code}
            for state in unexplained.states
        ]
    return answer


def _in_words(report: ReconcileReport) -> str:
    lines = [f"Attempts closed: {report.closed:,}. Jobs recorded: {report.recorded:,}."]
    if report.not_recorded:
        lines.append(f"Jobs that could not be recorded, see the log: {len(report.not_recorded):,}.")
    if report.judged_from:
        lines.append(
            f"Open, because TMS may still be working on them: {report.still_open:,}. Run it again after "
            f"{report.judged_from:%Y-%m-%d %H:%M:%S} UTC, when all of them can be judged."
        )
    lists: list[tuple[str, Sequence[object]]] = [
        ("A token is needed, to read back what TMS shows, for", report.need_token),
        ("A person is needed, who looks at the attempt's page and the log, for", report.need_person),
        ("Not as they were written, and so no evidence; see the log, for", report.altered),
        ("Databases that are not as the migrations made them:", report.schema),
    ]
    for sentence, items in lists:
        if items:
            lines.append(sentence if sentence.endswith(":") else f"{sentence} {len(items):,}:")
            lines += [f"  {item}" for item in items]
    if report.from_future:
        lines.append(
            f"This server's clock is wrong, or was set back: the time of {counted(report.from_future, 'open attempt')} "
            "is still to come. Set the clock right."
        )
    return "\n".join(lines)


def _unexplained_in_words(unexplained: Unexplained | None) -> str:
    if unexplained is None:
        return (
            "TMS was not asked what it shows. To see what it accepted that nothing here asked for, give a token: "
            "--ask-token, --token-file FILE or TMS_TOKEN."
        )
    lines = [*in_words(unexplained.states), *unexplained.problems]
    if unexplained.states:
        lines.append("Find out who sent this, or what was lost with a restored backup. Nothing was changed.")
    return "\n".join(lines or ["Everything that TMS shows was asked for here."])
