"""The options of the batch command, as argparse takes them and as the command uses them."""

import shlex
import sys
import uuid
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from io import BufferedReader
from pathlib import Path
from typing import Any, TextIO, cast

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.views.decorators.debug import sensitive_variables

from jobs.batches.scopes import Scope
from jobs.models import Batch
from setactions.inputs.csv_table import Table, read_table
from setactions.note import checked_note
from setactions.permissions import check_may_set_action
from setactions.token import Token
from setactions.token_options import add_token_arguments, ask_for_token, token_of_options
from tmsdash.downloads import whole_file
from tmsdash.text import one_line

MAX_WORKERS = 64
STANDARD_INPUT = "-"


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What the command was asked for. The methods raise CommandError, and Refusal, for what is wrong."""

    file: str
    user: str
    cluster: str
    action: str
    batch_id: uuid.UUID | None
    chunk: int | None
    workers: int | None
    without_unknown: bool
    without_accepted: bool
    send_again: bool
    strict: bool
    allow_unusual: bool
    no_check: bool
    dry_run: bool
    yes: bool
    confirm: int | None
    note: str
    json: bool
    report: str | None
    from_file: str | None
    ask_token: bool
    verbosity: int

    @staticmethod
    def add_to(parser: CommandParser) -> None:
        add = parser.add_argument
        add("file", metavar="FILE", help="a CSV file in UTF-8, or - for standard input")
        add("--user", required=True, help="the dashboard user on whose behalf this is done")
        add("--cluster", default="", help="for rows without a cluster of their own")
        add("--action", default="", help="for rows without an action of their own")
        add("--batch-id", type=uuid.UUID, help="the id for a new batch, or of a batch to go on with")
        add("--chunk", type=int, metavar="N", help="customers per call (default: TMS_BATCH_CHUNK)")
        add("--workers", type=int, metavar="N", help="calls at once, at most TMS_BATCH_CALLS per cluster")
        add("--without-unknown", action="store_true", help="also run rejected chunks, without the ids unknown to TMS")
        leave_out = "leave out customers that are open or newly accepted; of a batch that goes on, skip their chunks"
        add("--without-accepted", action="store_true", help=leave_out)
        add("--send-again", action="store_true", help="also send customers that are open or newly accepted")
        add(
            "--strict",
            action="store_true",
            help="treat ids that merely look unusual, or differ only by case, as errors, too",
        )
        add("--allow-unusual", action="store_true", help="take ids that look damaged, such as #N/A, with a warning")
        add("--no-check", action="store_true", help="do not read, at the end of a batch, what TMS shows of it")
        add("--dry-run", action="store_true", help="check the file, print the plan and send nothing")
        add("--yes", action="store_true", help="do not ask for confirmation")
        add("--confirm", type=int, metavar="N", help="confirm the number of customers that are about to be sent")
        add("--note", default="", metavar="TEXT", help="the reason or the ticket, kept with each attempt")
        add("--json", action="store_true", help="print one JSON object")
        add("--report", metavar="OUT.csv", help="write what became of each customer to a file")
        add_token_arguments(parser)

    @classmethod
    def from_parsed(cls, parsed: dict[str, Any]) -> "BatchOptions":
        return cls(**{field.name: parsed[field.name] for field in fields(cls)})

    def check(self) -> None:
        """Raise CommandError, or Refusal for the note, if one of them cannot be, or two of them not together."""
        checked_note(self.note)
        if self.file == self.from_file == STANDARD_INPUT:
            raise CommandError("Standard input cannot be both the list and the token.")
        if self.strict and self.allow_unusual:
            raise CommandError("--strict and --allow-unusual contradict each other. Give one of them.")
        if self.send_again and self.without_accepted:
            raise CommandError("--send-again and --without-accepted contradict each other. Give one of them.")
        limits = ("--chunk", self.chunk, settings.TMS_MAX_CIDS_PER_CALL), ("--workers", self.workers, MAX_WORKERS)
        for name, value, largest in limits:
            if value is not None and not 1 <= value <= largest:
                raise CommandError(f"{name} must be from 1 to {largest:,}.")

    @property
    def scope(self) -> Scope:
        """What a batch that is there already goes on with."""
        return Scope.REST_WITHOUT_UNKNOWN_IDS if self.without_unknown else Scope.REST

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer questions."""
        return self.file != STANDARD_INPUT and sys.stdin.isatty()

    @property
    def file_name(self) -> str:
        """The name of the file without its folder; empty for standard input."""
        return "" if self.file == STANDARD_INPUT else Path(self.file).name

    @property
    def chunk_size(self) -> int:
        """How many customers go in one call."""
        return self.chunk or min(settings.TMS_BATCH_CHUNK, settings.TMS_MAX_CIDS_PER_CALL)

    def worker_count(self, cluster_count: int) -> int:
        """Return how many calls may run at once, for a list of so many clusters."""
        return self.workers or min(MAX_WORKERS, settings.TMS_BATCH_CALLS * cluster_count)

    def find_user(self) -> Any:
        """Return the user, who must be active and permitted."""
        user = get_user_model().objects.filter(username=self.user).first()
        if user is None or not user.is_active:
            raise CommandError(f"There is no active user {one_line(self.user, 50)}.")
        check_may_set_action(user)
        return user

    def read_table(self) -> Table:
        """Read and check the whole list; raises TableError, too."""
        try:
            with sys.stdin.buffer if self.file == STANDARD_INPUT else Path(self.file).open("rb") as source:
                content = cast("BufferedReader", source)
                shapes = {"strict": self.strict, "allow_unusual": self.allow_unusual}
                return read_table(content, cluster=self.cluster, action=self.action, **shapes)
        except OSError as error:
            raise CommandError(f"The file cannot be read: {error.strerror or type(error).__name__}.") from None

    @sensitive_variables()
    def needed_token(self) -> Token:
        token = token_of_options(asdict(self)) or (ask_for_token() if self.can_ask else None)
        if token is None:
            raise CommandError("A token is needed: --ask-token, --token-file FILE or TMS_TOKEN.")
        return token

    def open_report(self) -> AbstractContextManager[TextIO | None]:
        """Make the report before anything is sent; a file of that name is kept until the new one is whole."""
        return whole_file(Path(self.report)) if self.report else nullcontext()

    def resume_line(self, batch: Batch) -> str:
        repeated = ("user", "cluster", "action", "chunk", "workers")
        words = [word for name in repeated if getattr(self, name) for word in (f"--{name}", str(getattr(self, name)))]
        words += ["--allow-unusual"] * self.allow_unusual  # without it, the list is not read again
        words += ["--no-check"] * self.no_check
        return shlex.join(["manage.py", "set_action_batch", self.file, *words, "--batch-id", str(batch.batch_id)])
