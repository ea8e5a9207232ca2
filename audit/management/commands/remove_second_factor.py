from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.db import transaction

from audit.accounts.second_factors.factors import remove
from audit.actors import command_actor
from tmsdash.commands import Command as BaseCommand


class Command(BaseCommand):
    help = (
        "Remove the second factor of an account whose user has lost it, with an entry in the audit. Its password alone "
        "signs it in then. Exit code 0: removed; 1: there was none."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the user name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic(using="default"):
                user = User.objects.get(username=options["name"])
                removed = remove(user, command_actor())
        except User.DoesNotExist:
            raise CommandError("There is no user of this name. Nothing was done.") from None
        except AnyDatabaseError as error:
            raise CommandError(f"A database cannot be used. Nothing was done; run the command again. {error}") from None
        if not removed:
            raise CommandError("This account has no second factor. Nothing was done.")
        self.stdout.write("The second factor was removed.")
