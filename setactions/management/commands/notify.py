import sys
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError

from setactions.operations.notifications import outbox
from tmsdash.commands import TimerCommand
from tmsdash.text import counted

NOT_SENT, UNUSABLE = 2, 3
NOBODY = "Nobody is to be told: set NOTIFY_WEBHOOK_URL with NOTIFY_WEBHOOK_KEY, or NOTIFY_EMAIL with EMAIL_URL."
PASSIVE = "TMS_PASSIVE is set: a stand-by sends nothing. Run it on the active host."


class Command(TimerCommand):
    help = (
        "Look for what people are to be told of, and send what is due, once: for sites that do not run `serve`, which "
        "does so by itself. With --test it sends a notice that says that it is a test. Exit code 0: all was sent, or "
        "nothing was due; 1: no setting names anybody to tell; 2: a receiver did not take it, which is tried again; "
        "3: a database could not be used."
    )
    wrong_key_exit_code = UNUSABLE

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--test", action="store_true", help="send a test notice, and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        if not outbox.channels():
            raise CommandError(PASSIVE if settings.TMS_PASSIVE else NOBODY)
        try:
            problems = self._test() if options["test"] else self._round()
        except AnyDatabaseError as error:
            raise CommandError(f"A database cannot be used; try again later. {error}", returncode=UNUSABLE) from None
        if problems:
            sys.exit(NOT_SENT)

    def _test(self) -> list[str]:
        results = outbox.send_test()
        for channel, problem in results.items():
            self.stdout.write(f"{channel}: {problem or 'the test notice was taken.'}")
        return [problem for problem in results.values() if problem]

    def _round(self) -> list[str]:
        news = outbox.write_news()
        sent, problems = outbox.send_due()
        self.stdout.write(f"New: {counted(news, 'event')}. Sent: {counted(sent, 'notice')}.")
        for problem in problems:
            self.stdout.write(f"{problem} It is tried again.")
        return problems
