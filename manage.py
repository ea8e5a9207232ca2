#!/usr/bin/env python
"""Django's command line for TMS Dashboard."""

import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    """Run a management command; a wrong setting ends it with one sentence instead of a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tmsdash.settings")
    try:
        _ = settings.INSTALLED_APPS
    except ImproperlyConfigured as error:
        sys.exit(f"TMS Dashboard cannot start. {error}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
