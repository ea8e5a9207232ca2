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

    def handle(self, *args: Any, **options: Any) -> None:
        rounds = str(options["rounds"])
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
            for command in (
                ["manage.py", "migrate_all", "-v0"],
                ["-m", "setactions.devtools.benchmarks", options["name"], rounds, str(options["scale"])],
            ):
                done = subprocess.run([sys.executable, *command], env=environment, cwd=settings.BASE_DIR)  # noqa: S603
                if done.returncode:
                    raise CommandError(f"{options['name']} is slower than its limit, or failed; see above.")
