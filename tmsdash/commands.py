"""What our management commands share."""

import getpass
import os
import socket
import sys
from typing import Any, NoReturn

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    """A command that ends with exit code 1 for wrong options: argparse's 2 has a meaning of its own here."""

    # Those of pages, models and templates are for `check` and `serve`: they load all of the site.
    requires_system_checks: tuple[str, ...] = (Tags.compatibility, Tags.security)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return Django's parser with that exit code."""
        # Unabbreviated: --token would otherwise mean --token-file.
        parser = super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)

        def error(message: str) -> NoReturn:
            parser.print_usage(sys.stderr)
            parser.exit(1, f"{parser.prog}: {message}\n")

        parser.error = error  # type: ignore[method-assign]
        return parser


def os_actor_name() -> str:
    """Return who runs a command, for the audit: the operating system's user and the host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:150]
