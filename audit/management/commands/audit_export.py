import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError

from audit.actors import command_actor
from audit.choices import Action, Outcome, Source
from audit.customer_index import pks_asking_for
from audit.exports import FORMS, export
from audit.models import Attempt
from audit.proof.commands import gone_named
from tmsdash.commands import Command as BaseCommand
from tmsdash.commands import day_option
from tmsdash.days import first_moment, last_moment
from tmsdash.downloads import RUN_AGAIN, IncompleteError, mark_of, marked, whole_file
from tmsdash.text import one_line

ACTIONS = {action.label: action.value for action in Action}
# What each option asks of an attempt: the field, and the option's text or day as that field holds it.
LOOKUPS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "since": ("created_at__gte", first_moment),
    "until": ("created_at__lte", last_moment),
    "user": ("user_id", str),
    "action": ("action_code", ACTIONS.get),
    "cluster": ("cluster_url", str),
    "outcome": ("outcome", str),
    "source": ("source", str),
    "customer": ("pk__in", pks_asking_for),
}


class Command(BaseCommand):
    help = (
        "Write the attempts of a period with their customers, newest first: as CSV with a row for each customer, or as "
        "JSON lines with an object for each attempt. The export itself is noted in the audit."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=day_option, metavar="DAY", help="from this day on (UTC, year-month-day)")
        parser.add_argument("--until", type=day_option, metavar="DAY", help="up to and including this day (UTC)")
        parser.add_argument("--format", choices=sorted(FORMS), default="csv", help="default: %(default)s")
        parser.add_argument("--output", metavar="FILE", help="write to this new file instead of standard output")
        parser.add_argument("--user", metavar="NAME", help="only this user's attempts")
        parser.add_argument("--action", choices=sorted(ACTIONS), help="only this action")
        parser.add_argument("--cluster", metavar="ORIGIN", help="only on this cluster, such as https://tms.example")
        parser.add_argument("--outcome", choices=sorted(Outcome.values), help="only with this outcome")
        parser.add_argument("--source", choices=sorted(Source.values), help="only from this source")
        parser.add_argument("--customer", metavar="ID", help="only for exactly this customer")

    def handle(self, *args: Any, **options: Any) -> None:
        given = {name: options[name] for name in LOOKUPS if options[name]}
        attempts = Attempt.objects.filter(
            **{LOOKUPS[name][0]: LOOKUPS[name][1](value) for name, value in given.items()}
        )
        filters = {name: str(value) for name, value in given.items()}
        form, name = options["format"], options["output"]
        try:
            # The file is made first: what cannot be written is no export, and must not be noted as one.
            output: Any = whole_file(Path(name), is_new=True) if name else nullcontext(self.stdout._out)
            with gone_named(self.stderr, "exported"), output as file:
                file.writelines(marked(export(attempts, form, filters, command_actor()), mark_of(form, RUN_AGAIN)))
                file.flush()
        except AnyDatabaseError as error:
            raise CommandError(f"The audit cannot be used, so nothing was exported. {one_line(str(error))}") from None
        except IncompleteError as error:
            left = f"{name} was not made" if name else "what was printed is not whole, as its last line says"
            raise CommandError(f"The export failed: {left}. {error} Try again, then tell the admin.") from None
        except BrokenPipeError:
            sys.exit(1)  # whoever reads the lines has stopped
        except OSError as error:
            raise CommandError(f"{name or 'The output'} cannot be written: {error.strerror}.") from None
