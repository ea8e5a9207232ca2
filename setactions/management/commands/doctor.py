import logging
import sys
from typing import Any

from django.core.management.base import CommandParser

from setactions.operations.doctor.diagnosis import diagnose
from setactions.operations.doctor.report import as_json, is_well, lines
from setactions.operations.doctor.site import Site
from setactions.operations.doctor.wrong_settings import loaded
from tmsdash.commands import Command as OurCommand
from tmsdash.logs import no_audit_line


class Command(OurCommand):
    help = (
        "Look at this installation and say in words what is wrong, each with the command or the line of .env that "
        "mends it. Nothing is made or changed, and nothing is sent to a cluster's API: of each only / is asked for. "
        "Exit code 0: well; 1: something is to be mended."
    )

    requires_system_checks = ()  # it runs them all itself
    is_of_site = False  # what is wrong with keys and databases is what it says

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        logging.disable(logging.CRITICAL)  # what would be logged is said here, once
        results = diagnose(Site(loaded))
        for line in [as_json(results)] if options["json"] else lines(results):
            self.stdout.write(line if options["json"] else no_audit_line(line))
        sys.exit(0 if is_well(results) else 1)
