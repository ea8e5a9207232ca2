import argparse
import os
import subprocess
import sys
import tempfile
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from setactions.devtools.benchmarks import BENCHMARKS, measurement


class Command(BaseCommand):
    help = (
        "Measure the product against a floor measured in the same run, on throwaway SQLite databases. "
        "Exit code 1 if a ratio is above its limit."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=sorted(BENCHMARKS), help="what to measure")
        parser.add_argument(
            "--scale", type=float, default=1.0, help="share of the rows and customers (default: %(default)s)"
        )
        parser.add_argument("--rounds", type=int, default=measurement.rounds, help="how often (default: %(default)s)")
        # Within the throwaway installation that the command has made.
        parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["here"]:
            measurement.rounds, measurement.scale = options["rounds"], options["scale"]
            sys.exit(0 if BENCHMARKS[options["name"]]() else 1)
        with tempfile.TemporaryDirectory() as folder:
            environment = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
            environment |= {
                "ENV_FILE": os.devnull,
                "NO_PROXY": "*",  # the bare calls of the floor stay on loopback, too
                "VAR_DIR": folder,
                "TMS_MAX_CIDS_PER_CALL": "30000",
                "TMS_CLUSTERS": "",
                "DJANGO_SETTINGS_MODULE": "tmsdash.settings",
            }
            scope = [f"--{option}={options[option]}" for option in ("rounds", "scale")]
            for command in (["migrate_all", "-v0"], ["bench", options["name"], "--here", *scope]):
                arguments = [sys.executable, "manage.py", *command]
                done = subprocess.run(arguments, env=environment, cwd=settings.BASE_DIR)  # noqa: S603
                if done.returncode:
                    raise CommandError(f"{options['name']} is slower than its limit, or failed; see above.")
