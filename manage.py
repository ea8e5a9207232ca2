#!/usr/bin/env python
"""Django's command line for TMS Dashboard."""

import atexit
import gc
import os
import sys

from tmsdash import startup

if __name__ == "__main__":  # before Django is loaded: the process may begin anew
    if sys.version_info < (3, 11):  # noqa: UP036 (what it says is for whoever has an older one)
        sys.exit("TMS Dashboard needs Python 3.11 or later: make a new .venv with it, as docs/install.md shows.")
    startup.begin(sys.argv[1] if len(sys.argv) > 1 else "help")

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError
from django.db import Error as AnyDatabaseError

from setactions.operations.doctor import wrong_settings as doctor_settings
from tmsdash.db.migration import MIGRATE_FIRST, are_migrations_due
from tmsdash.db.moves import MovedError
from tmsdash.db.sqlite_files import MissingFileError
from tmsdash.db.transactions import UNUSABLE_DATABASE
from tmsdash.logs import log_what_nobody_caught, no_audit_line
from tmsdash.processes import INTERRUPTED


def main() -> None:
    """Run a management command; what is not the program's fault ends it with a sentence instead of a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tmsdash.settings")
    try:
        _ = doctor_settings.load() if startup.command == "doctor" else settings.INSTALLED_APPS
    except ImproperlyConfigured as error:
        sys.exit(f"TMS Dashboard cannot start. {error}")
    log_what_nobody_caught()
    atexit.register(gc.freeze)  # else Python looks through all that was loaded before it ends, for a tenth of a second
    try:
        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
    except EOFError:
        sys.exit("This command asks, and there is nobody to answer. Run it at a terminal, or see its --help.")
    except AnyDatabaseError as error:
        if isinstance(error, MovedError) or isinstance(error.__cause__, MissingFileError):
            sys.exit(str(error))
        is_due = are_migrations_due()
        if not (is_due or isinstance(error, UNUSABLE_DATABASE) or type(error) is DatabaseError):
            raise
        sys.exit(no_audit_line(f"A database cannot be used: {str(error).strip()}.{MIGRATE_FIRST if is_due else ''}"))


if __name__ == "__main__":
    main()
