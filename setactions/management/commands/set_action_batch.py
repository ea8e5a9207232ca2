import json
import shlex
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from audit.choices import Source
from jobs.batches import ledger
from jobs.batches.creation import ListDigest, NewChunk, create_batch
from jobs.batches.scopes import Scope
from jobs.batches.selectors import LeftPart, left_parts
from jobs.models import Batch
from setactions.batches.foreground import Interruption, Meter, carry, quiet_log, take_over
from setactions.batches.plan import confirm, plan, plan_of_rest, same_list_lately
from setactions.batches.recovery import catch_up
from setactions.batches.report import report_lines
from setactions.batches.runner import Runner
from setactions.batches.summary import SOME_UNKNOWN, Summary
from setactions.inputs.csv_table import Table, TableError, read_table
from setactions.permissions import check_may_set_action
from setactions.refusal import Refusal
from setactions.submission import wire_name
from setactions.token import Token
from setactions.token_options import add_token_arguments, ask_for_token, token_of_options
from tmsdash.commands import Command as BaseCommand
from tmsdash.commands import os_actor_name
from tmsdash.text import one_line

MAX_WORKERS = 64
_REPEATED_OPTIONS = ("user", "cluster", "action", "chunk", "workers")  # in the command line to go on with


class Command(BaseCommand):
    help = (
        "Trigger a Set Action for the customers of a CSV file, in calls of a few hundred. The whole file is checked "
        "first. The token comes from TMS_TOKEN, a file or a prompt. Exit code 0: all accepted; 1: bad input or not "
        "confirmed, nothing sent; 2: some not accepted; 3: some unknown."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="a CSV file in UTF-8, or - for standard input")
        parser.add_argument("--user", required=True, help="the dashboard's user for whom this is done")
        parser.add_argument("--cluster", default="", help="for rows that name none in a column cluster")
        parser.add_argument("--action", default="", help="for rows that name none in a column action")
        parser.add_argument("--batch-id", type=uuid.UUID, help="an id for a new batch; of an old one: go on with it")
        parser.add_argument("--chunk", type=int, metavar="N", help="customers per call (TMS_BATCH_CHUNK)")
        parser.add_argument(
            "--workers", type=int, metavar="N", help="calls at once, within TMS_BATCH_CALLS per cluster"
        )
        parser.add_argument("--without-unknown", action="store_true", help="also run what was rejected for unknown ids")
        parser.add_argument("--strict", action="store_true", help="let what looks unusual be an error")
        parser.add_argument("--dry-run", action="store_true", help="check the file, say the plan and send nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask for a yes")
        parser.add_argument(
            "--confirm",
            type=int,
            metavar="N",
            help="the number of customers that are about to be sent, where it must be typed",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--report", metavar="OUT.csv", help="write what became of each customer")
        add_token_arguments(parser)

    @sensitive_variables()
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with ExitStack() as stack:
                code = self._handle(stack, options)
        except TableError as error:
            problems = f"{error.error_count:,} error{'s' * (error.error_count != 1)}"
            first = f" The first {len(error.errors):,} are:" if error.error_count > len(error.errors) else ""
            self._fail(f"Nothing was sent: {problems}.{first}", error.errors, error.error_count, options)
        except CommandError as error:
            self._fail(str(error), (), 1, options, code=error.returncode)
        except KeyboardInterrupt:
            sentence = "Interrupted. What was sent is recorded; --batch-id with the batch's id says how it stands."
            self._fail(sentence, (), 1, options, code=SOME_UNKNOWN)
        if code:
            sys.exit(code)

    def _fail(
        self, sentence: str, errors: tuple[str, ...], count: int, options: dict[str, Any], *, code: int = 1
    ) -> NoReturn:
        if not options["json"]:
            raise CommandError("\n".join([sentence, *errors]), returncode=code) from None
        found = {"status": "error", "errors": errors or [sentence], "error_count": count, "exit_code": code}
        self.stdout.write(json.dumps(found))
        sys.exit(code)

    @sensitive_variables()
    def _handle(self, stack: ExitStack, options: dict[str, Any]) -> int:
        """Return the exit code; what must be closed in the end goes on the stack."""
        with _nothing_sent():
            if options["file"] == options["from_file"] == "-":
                raise CommandError("Standard input cannot be both the list and the token. Nothing was sent.")
            user = _user_named(options["user"])
            size = _within("--chunk", options["chunk"], settings.TMS_BATCH_CHUNK, settings.TMS_MAX_CIDS_PER_CALL)
            table = stack.enter_context(_table(options))
            workers = _within("--workers", options["workers"], _calls_at_once(table), MAX_WORKERS)
            digest = str(ListDigest(_chunks(table, size)))
            batch = _known_batch(options["batch_id"], user, digest)
            left = _what_is_left(batch, options)
            lines = plan_of_rest(batch, left, table) if batch else plan(table, chunk_size=size)
            self._say(options, *lines, *same_list_lately(digest, but=options["batch_id"]))
            if batch and batch.reason:
                self._say(options, f"Batch {batch.batch_id} did not go on: {batch.reason}")
            if options["dry_run"]:
                return self._end_dry_run(table, left if batch else None, options)
            if settings.TMS_PASSIVE:
                raise CommandError("This server is in passive mode and sends nothing. Use the active one.")
            report = stack.enter_context(_report_file(options["report"]))
            if batch and not (left or batch.has_runner):
                return self._end(batch, report, options)
            can_ask = options["file"] != "-" and sys.stdin.isatty()
            confirm(table, left if batch else None, options, can_ask=can_ask)
            token = _needed_token(table, options, can_ask=can_ask)
            if batch:
                ledger.retry(batch, Scope.REST_WITHOUT_UNKNOWN_IDS if options["without_unknown"] else Scope.REST)
            else:
                batch = _new_batch(options, user, table, size)
            self._say(options, f"Batch {batch.batch_id}. Should this process die: {_resume_line(batch, options)}")
        self._carry(batch, token, workers, options, can_ask=can_ask)
        return self._end(batch, report, options)

    @sensitive_variables()
    def _carry(self, batch: Batch, token: Token, workers: int, options: dict[str, Any], *, can_ask: bool) -> None:
        """Run the batch until there is nothing left to do; where TMS does not take the token, ask for another one."""
        actor = Actor(user_id=batch.user_id, source=Source.COMMAND, run_by=os_actor_name())
        meter, interruption = Meter(Summary(batch).left), Interruption()
        while True:
            runner = Runner(batch, actor, token, workers=workers, on_settled=meter.settled)
            with interruption.awaited(), quiet_log(is_wanted=options["verbosity"] < 2):
                take_over(runner, interruption)
                carry(runner, meter, interruption)
            if interruption.count or not (runner.token_refused and can_ask):
                return
            self._say(options, Batch.objects.get(pk=batch.pk).reason)
            try:
                token = ask_for_token()
            except (CommandError, KeyboardInterrupt):
                return

    def _say(self, options: dict[str, Any], *lines: str) -> None:
        stream = self.stderr if options["json"] else self.stdout
        for line in lines:
            stream.write(one_line(line, 1_000), lambda text: text)

    def _end_dry_run(self, table: Table, left: list[LeftPart] | None, options: dict[str, Any]) -> int:
        if options["json"]:
            parts = [
                {"cluster": part.cluster.name, "action": part.action.label, "customers": part.customer_count}
                for part in table.parts
            ]
            facts = {"customers": table.customer_count, "repeated": table.repeated, "parts": parts}
            if left is not None:
                facts["left"] = sum(part.customers for part in left)
            found = {"status": "checked", **facts, "warnings": table.warnings, "exit_code": 0}
            self.stdout.write(json.dumps(found))
        else:
            self.stdout.write("Nothing was sent: this was a dry run.")
        return 0

    def _end(self, batch: Batch, report: TextIO | None, options: dict[str, Any]) -> int:
        """Say how the batch stands, and return the exit code."""
        try:
            summary = Summary(batch)
            if report:
                report.truncate(0)
                report.writelines(report_lines(batch))
        except (AnyDatabaseError, OSError) as error:
            sentence = f"Batch {batch.batch_id} was run, but its outcome or report could not be written: {error}"
            raise CommandError(sentence, returncode=SOME_UNKNOWN) from None
        resume = _resume_line(batch, options)
        if options["json"]:
            self.stdout.write(json.dumps(summary.as_json(resume)))
        else:
            self._say(options, *summary.in_words(resume))
        return summary.exit_code


@contextmanager
def _nothing_sent() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError("Interrupted. Nothing was sent.") from None
    except Refusal as refusal:
        raise CommandError(f"{refusal.message} Nothing was sent.") from None
    except AnyDatabaseError as error:
        raise CommandError(f"A database cannot be used; run it again later. Nothing was sent. {error}") from None


def _user_named(name: str) -> Any:
    user = get_user_model().objects.filter(username=name).first()
    if user is None or not user.is_active:
        raise CommandError(f"There is no active user {one_line(name, 50)}. Nothing was sent.")
    check_may_set_action(user)
    return user


def _within(option: str, value: int | None, default: int, largest: int) -> int:
    if value is not None and not 1 <= value <= largest:
        raise CommandError(f"{option} must be from 1 to {largest:,}. Nothing was sent.")
    return min(default, largest) if value is None else value


def _table(options: dict[str, Any]) -> Table:
    try:
        with sys.stdin.buffer if options["file"] == "-" else Path(options["file"]).open("rb") as source:
            names = {name: options[name] for name in ("cluster", "action")}
            return read_table(cast("BufferedReader", source), **names, strict=options["strict"])
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CommandError(f"The file cannot be read: {reason}. Nothing was sent.") from None


def _calls_at_once(table: Table) -> int:
    return settings.TMS_BATCH_CALLS * len({part.cluster for part in table.parts})


def _chunks(table: Table, size: int) -> Iterator[NewChunk]:
    for part, cids in table.chunks(size):
        yield NewChunk(
            cluster_url=part.cluster.origin,
            action_code=part.action.value,
            action_sent=wire_name(part.action),
            cids=cids,
        )


def _known_batch(batch_id: uuid.UUID | None, user: Any, digest: str) -> Batch | None:
    """Return the batch to go on with, or None if there is none; raises CommandError if it is not for this list."""
    batch = Batch.objects.filter(batch_id=batch_id).first() if batch_id else None
    if batch and batch.user_id != user.get_username():
        raise CommandError("This batch id is another user's. Give none for a new batch. Nothing was sent.")
    if batch and batch.list_digest != digest:
        raise CommandError(
            "The batch with this id was given another list, cluster or action. Give it the same file to go on with "
            "it, or no batch id for a new batch. Nothing was sent."
        )
    return batch


def _what_is_left(batch: Batch | None, options: dict[str, Any]) -> list[LeftPart]:
    """Return what a further run of a batch would send; nothing for a new one."""
    if batch is None:
        return []
    if not options["dry_run"] and not settings.TMS_PASSIVE:
        catch_up(batch)
    return left_parts(batch, Scope.REST_WITHOUT_UNKNOWN_IDS if options["without_unknown"] else Scope.REST)


@sensitive_variables()
def _needed_token(table: Table, options: dict[str, Any], *, can_ask: bool) -> Token:
    """Return the token; raises CommandError if none was given."""
    token = token_of_options(options) or (ask_for_token() if can_ask else None)
    if token is None:
        raise CommandError("A token is needed: --ask-token, --token-file FILE or TMS_TOKEN. Nothing was sent.")
    if any(token.is_among(cids) for _, cids in table.chunks(1_000)):
        raise CommandError("The bearer token stands among the customer ids. Take it out of the file. Nothing was sent.")
    return token


def _new_batch(options: dict[str, Any], user: Any, table: Table, size: int) -> Batch:
    batch, _ = create_batch(
        batch_id=options["batch_id"] or uuid.uuid4(),
        user_id=user.get_username(),
        file_name="" if options["file"] == "-" else Path(options["file"]).name,
        repeated=table.repeated,
        chunks=_chunks(table, size),
    )
    return batch


@contextmanager
def _report_file(name: str | None) -> Iterator[TextIO | None]:
    """Open the report before anything is sent; what stands there is kept until there is something to write."""
    if name is None:
        yield None
        return
    try:
        file = Path(name).open("a", encoding="utf-8", newline="")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise CommandError(f"The report cannot be written: {error.strerror}. Nothing was sent.") from None
    with file:
        yield file


def _resume_line(batch: Batch, options: dict[str, Any]) -> str:
    given = [(f"--{name}", str(options[name])) for name in _REPEATED_OPTIONS if options[name]]
    words = [word for pair in given for word in pair]
    return shlex.join(["manage.py", "set_action_batch", options["file"], *words, "--batch-id", str(batch.batch_id)])
