import getpass
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.models import USER_ID_LENGTH
from audit.services import Actor
from setactions.reconcile import reconcile
from setactions.refusal import Refusal
from setactions.roll_forward import Report
from setactions.token import Token
from tmsdash.commands import Command as BaseCommand

SOME_NEED_A_TOKEN, SOME_NEED_A_PERSON, FAILED = 1, 2, 3


class Command(BaseCommand):
    help = (
        "Finish what was left open: record the jobs that are owed, and, with a token, read back what TMS shows of "
        "attempts whose outcome is unknown. Exit code 0: all closed; 1: some need a token; 2: some need a person; "
        "3: a database could not be used."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--full", action="store_true", help="also compare all jobs with the audit, after a restore")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        token = parser.add_mutually_exclusive_group()
        token.add_argument(
            "--token-file",
            dest="from_file",
            metavar="FILE",
            help="read the token from FILE, or from standard input for -",
        )
        token.add_argument("--ask-token", action="store_true", help="ask for the token (else TMS_TOKEN is used if set)")

    @sensitive_variables()
    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor(user_id=f"{_os_user()}@{socket.gethostname()}"[:USER_ID_LENGTH])
        try:
            report = reconcile(actor, _token(options), full=options["full"])
        except AnyDatabaseError as error:
            raise CommandError(f"A database cannot be used; run it again later. {error}", returncode=FAILED) from None
        self.stdout.write(json.dumps(_as_json(report)) if options["json"] else _in_words(report))
        code = _exit_code(report)
        if code:
            sys.exit(code)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        return f"uid{os.getuid()}"


@sensitive_variables()
def _token(options: dict[str, Any]) -> Token | None:
    """Return the token that was given, or None; raises CommandError if it is none."""
    if options["ask_token"]:
        try:
            text = getpass.getpass("Bearer token: ")
        except EOFError:
            raise CommandError("No token was given: there is nobody to ask. Use --token-file or TMS_TOKEN.") from None
    elif options["from_file"]:
        try:
            text = sys.stdin.read() if options["from_file"] == "-" else Path(options["from_file"]).read_text()
        except (OSError, ValueError) as error:  # without the name, which may be a token in the wrong place
            reason = (error.strerror if isinstance(error, OSError) else None) or "it is not text"
            raise CommandError(f"The token file cannot be read: {reason}.") from None
    else:
        text = os.environ.pop("TMS_TOKEN", "")
        if not text:
            return None
    try:
        return Token(text.strip())
    except Refusal as refusal:
        raise CommandError(refusal.message) from None


def _exit_code(report: Report) -> int:
    if report.not_recorded:
        return FAILED
    if report.need_person:
        return SOME_NEED_A_PERSON
    return SOME_NEED_A_TOKEN if report.need_token else 0


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "closed": report.closed,
        "recorded": report.recorded,
        "need_token": [str(attempt_id) for attempt_id in report.need_token],
        "need_person": [str(attempt_id) for attempt_id in report.need_person],
    }


def _in_words(report: Report) -> str:
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
    return "\n".join(lines)
