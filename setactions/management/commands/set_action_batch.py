import json
import sys
import uuid
from contextlib import ExitStack
from typing import Any, NoReturn, TextIO

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from audit.choices import Source
from jobs.batches.lists import ListDigest, NewBatch
from jobs.models import Batch
from setactions.batches import service
from setactions.batches.chunks import TableChunks
from setactions.batches.foreground import Foreground
from setactions.batches.options import BatchOptions
from setactions.batches.plan import plan_list, plan_rest
from setactions.batches.recovery import catch_up
from setactions.batches.report import report_lines
from setactions.batches.summary import Summary
from setactions.inputs.csv_table import TableError
from setactions.limits import check_active
from setactions.note import check_given, checked_note
from setactions.refusal import Refusal
from setactions.word import NO_WORD, Word
from tmsdash.commands import Command as BaseCommand
from tmsdash.commands import os_actor_name
from tmsdash.downloads import IncompleteError, mark_of, marked
from tmsdash.text import counted, one_line


class Command(BaseCommand):
    help = (
        "Trigger a Set Action for the customers of a CSV file, in calls of a few hundred. The whole file is checked "
        "first. The token comes from TMS_TOKEN, a file or a prompt. Exit code 0: all accepted; 1: bad input or not "
        "confirmed, nothing sent; 2: some not accepted; 3: some unknown."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        BatchOptions.add_to(parser)

    @sensitive_variables()
    def handle(self, *args: Any, **options: Any) -> None:
        batch_options = BatchOptions.from_parsed(options)
        self._is_json = batch_options.json
        self._summary: Summary | None = None  # once it is printed
        engine = Foreground(batch_options, self._say)
        try:
            with ExitStack() as stack:
                code = self._handle(stack, engine, batch_options)
        except TableError as error:
            problem = f"Nothing was sent: {counted(error.error_count, 'error')}."
            self._fail(problem, 1, error.errors, error.error_count)
        except (CommandError, Refusal, AnyDatabaseError, IncompleteError, OSError, KeyboardInterrupt) as error:
            self._fail(*engine.explain(error), overlap=error.overlap if isinstance(error, Refusal) else None)
        if code:
            sys.exit(code)

    @sensitive_variables()
    def _handle(self, stack: ExitStack, engine: Foreground, options: BatchOptions) -> int:
        """Return the exit code; what must be closed in the end goes on the stack."""
        options.check()
        user = options.find_user()
        table = stack.enter_context(options.read_table())
        chunks = TableChunks(table, options.chunk_size)
        digest = str(ListDigest(chunks))
        batch_id = options.batch_id or uuid.uuid4()
        batch = service.find_batch(user=user, batch_id=batch_id, list_digest=digest)
        if not options.dry_run:
            check_active()
            if batch:
                catch_up(batch)
        plan = plan_rest(table, batch, options) if batch else plan_list(table, options)
        actor = Actor(user_id=user.get_username(), source=Source.COMMAND, run_by=os_actor_name())
        if not options.dry_run and plan.is_repeat(options):
            service.refuse_overlap(
                user=user, actor=actor, overlap=plan.overlap, chunks=chunks, note=options.note.strip()
            )
        self._say(*plan.sentences, *plan.about_overlap(options))
        if options.dry_run:
            self._output(plan.as_json(batch), "Nothing was sent: this was a dry run.")
            return 0
        report = stack.enter_context(options.open_report())
        if batch and not (plan.customer_count or batch.has_runner):
            return self._end(batch, report, options)
        if not batch:
            check_given(options.note.strip(), plan.clusters, "Give the reason or the ticket with --note.")
        plan.confirm(options)
        token = options.needed_token()
        new = NewBatch(
            batch_id=batch_id,
            chunks=chunks,
            list_digest=digest,
            file_name=options.file_name,
            repeated=table.repeated,
            allow_unusual=table.allow_unusual,
            note=checked_note(options.note, token),
        )
        sender: dict[str, Any] = {"user": user, "actor": actor, "token": token, "engine": engine}
        word = plan.overlap.named.word(plan.overlap.cids) if options.send_again else NO_WORD
        return self._end(self._carry(batch or new, options, word, sender), report, options, engine)

    @sensitive_variables()
    def _carry(self, batch: Batch | NewBatch, options: BatchOptions, word: Word, sender: dict[str, Any]) -> Batch:
        """Go on with a batch, or start a new one, with the `word` to send again; `sender` says who does, and how."""
        if isinstance(batch, NewBatch):
            return service.start_batch(new=batch, word=word, **sender)
        service.go_on(
            batch=batch,
            scope=options.scope,
            word=word,
            skip=options.without_accepted,
            allow_unusual=options.allow_unusual,
            **sender,
        )
        return batch

    def _end(self, batch: Batch, report: TextIO | None, options: BatchOptions, engine: Foreground | None = None) -> int:
        """Say how the batch stands, write the report, and return the exit code."""
        summary, resume_line = Summary(batch, engine.check if engine else None), options.resume_line(batch)
        self._output(summary.as_json(resume_line), *summary.in_words(resume_line))
        self._summary = summary  # first: a report that fails takes nothing from it
        if report:
            report.writelines(marked(report_lines(summary.batch), mark_of("csv", "see the page of the batch")))
        return summary.exit_code

    def _output(self, as_json: dict[str, Any], *in_words: str) -> None:
        if self._is_json:
            self.stdout.write(json.dumps(as_json))
        else:
            self._say(*in_words)

    def _say(self, *lines: str) -> None:
        stream = self.stderr if self._is_json else self.stdout
        for line in lines:
            stream.write(one_line(line, 1_000), lambda text: text)

    def _fail(
        self,
        problem: str,
        code: int,
        errors: tuple[str, ...] = (),
        count: int = 1,
        overlap: dict[str, Any] | None = None,
    ) -> NoReturn:
        if self._summary:  # the outcome is known, but success would hide that the report failed
            code = self._summary.exit_code or code
        if self._summary or not self._is_json:  # one JSON object is printed, no second one
            raise CommandError("\n".join([problem, *errors]), returncode=code) from None
        failure = {"status": "error", "errors": errors or [problem], "error_count": count, "exit_code": code}
        self.stdout.write(json.dumps(failure | ({"overlap": overlap} if overlap else {})))
        sys.exit(code)
