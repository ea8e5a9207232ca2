#!/usr/bin/env python
"""Django's command line for TMS Dashboard."""

import os
import sys

from tmsdash import startup

if __name__ == "__main__":  # before Django is loaded: the process may begin anew
    startup.begin(sys.argv[1] if len(sys.argv) > 1 else "help")

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError

from tmsdash.logs import log_what_nobody_caught
from tmsdash.sqlite_files import MissingFileError


def main() -> None:
    """Run a management command; a wrong setting or a missing file ends it with a sentence instead of a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tmsdash.settings")
    try:
        _ = settings.INSTALLED_APPS
    except ImproperlyConfigured as error:
        sys.exit(f"TMS Dashboard cannot start. {error}")
    log_what_nobody_caught()
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if not isinstance(error.__cause__, MissingFileError):
            raise
        sys.exit(str(error))


if __name__ == "__main__":
    main()
