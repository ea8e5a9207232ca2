from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from tqdm import tqdm

from audit.proof.archives import ArchiveError
from setactions.operations.backups.engine import BackupError
from setactions.operations.moves.move import BrokenAuditError, Outcome, Reporter, move
from setactions.operations.moves.places import MoveError, Place, used
from setactions.operations.moves.source import take_back
from setactions.operations.moves.survey import Plan, surveyed
from tmsdash.commands import Command as BaseCommand
from tmsdash.commands import confirmed
from tmsdash.cores import WorkerLostError
from tmsdash.db.transactions import VARIABLES
from tmsdash.processes import INTERRUPTED, ended_by_signals

BROKEN = 3
AGAIN = "Run the same command again, and it goes on; or give the move up: move_data --undo --from and the same URLs."


class Command(BaseCommand):
    help = (
        "Move an installation to other databases, as a rule from SQLite to PostgreSQL or back: one, two or all three "
        "of its databases, each to an empty one. Stop the site first. All rows are copied and compared, and the audit "
        "is verified; if the command is killed, run it again, and it goes on. From then on nothing uses the old "
        "databases. Exit code 0: moved, or moved before; 1: not moved; 3: not moved, because the audit is broken."
    )
    requires_system_checks = ()  # the databases of the settings may be neither the old nor the new ones
    needed_keys = ()  # those of the source count

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="sources", required=True, nargs="+", metavar="URL", help="what to move")
        parser.add_argument(
            "--to", dest="targets", nargs="+", default=[], metavar="URL", help="where, in the same order"
        )
        parser.add_argument("--undo", action="store_true", help="let what --from names be used again")
        parser.add_argument("--yes", action="store_true", help="do not ask before --undo")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            source_places = [Place.at("--from", url) for url in options["sources"]]
            target_places = [Place.at("--to", url) for url in options["targets"]]
            self._warn_of_passwords([*source_places, *target_places])
            if options["undo"]:
                self._undo(source_places, target_places, is_sure=options["yes"])
            else:
                self._move(surveyed(source_places, target_places))
        except (MoveError, BackupError, AnyDatabaseError, OSError) as error:
            raise CommandError(f"Nothing was moved. {str(error).strip()}") from None

    def _warn_of_passwords(self, places: list[Place]) -> None:
        if any(place.has_password for place in places):
            self.stderr.write(
                "Other users of this machine can see a password on a command line. Leave it out of the URL, and put it "
                "into ~/.pgpass or PGPASSWORD."
            )

    def _move(self, plans: list[Plan]) -> None:
        if all(plan.is_used for plan in plans):
            self.stdout.write("This was moved before. There is nothing to do.")
            return
        try:
            with ended_by_signals(), _reporter(self.stderr.write) as reporter:
                outcome = move(plans, reporter)
        except (MoveError, BackupError, AnyDatabaseError, ArchiveError, WorkerLostError, OSError) as error:
            code = BROKEN if isinstance(error, BrokenAuditError) else 1
            raise CommandError(f"The move is not over. {str(error).strip()} {AGAIN}", returncode=code) from None
        except KeyboardInterrupt:
            raise CommandError(f"Stopped. {AGAIN}", returncode=INTERRUPTED) from None
        self._show(plans, outcome)

    def _show(self, plans: list[Plan], outcome: Outcome) -> None:
        for plan in plans:
            rows = f"{outcome.rows[plan.alias]:,} rows" if plan.alias in outcome.rows else "before"
            self.stdout.write(f"{plan.alias}: {rows}, {plan.source} to {plan.target}")
        if audit := outcome.verification:
            self.stdout.write(f"The audit is whole: {audit.entries:,} entries, the last is {audit.last}.")
        names = ", ".join(VARIABLES[plan.alias] for plan in plans)
        roles = "" if all(plan.target.is_sqlite for plan in plans) else ", run docs/postgresql.sql if it has two roles,"
        self.stdout.write(
            f"Everything was moved and compared. Set {names} to the new databases{roles} and start the site. Nothing "
            "uses the old ones any more."
        )

    def _undo(self, places: list[Place], targets: list[Place], *, is_sure: bool) -> None:
        if targets:
            raise MoveError("--undo is about the databases of --from alone. Leave --to out.")
        if not is_sure:
            confirmed("What was written to the new databases since is not in these, which would be used again.")
        for place in places:
            alias = place.alias()
            with used({alias: place}):
                mark = take_back(alias, place)
            self.stdout.write(f"{place} can be used again. What was copied to {mark.other} must be deleted.")


@contextmanager
def _reporter(wait: Any) -> Iterator[Reporter]:
    """Show how far a move is, at a terminal."""
    with tqdm(unit=" rows", disable=None, leave=False) as bar:

        def begin(step: str, rows: int) -> None:
            bar.set_description(step, refresh=False)
            bar.reset(rows or None)

        yield Reporter(wait, begin, bar.update)
