import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from setactions.devtools.benchmarks import BENCHMARKS, OF_ALL, ON_POSTGRESQL, ROUNDS, measurement
from setactions.devtools.benchmarks.installation import installation, manage
from setactions.devtools.benchmarks.isolation import run_each
from setactions.devtools.benchmarks.page import assert_has_markers, write_page

ALL = "all"


class Command(BaseCommand):
    help = (
        "Measure the product against floors measured in the same run, on throwaway databases. "
        "Exit code 1 if a ratio is above its limit."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "name", choices=[ALL, *BENCHMARKS], help=f"what to measure; {ALL} is all but years, queue and metrics"
        )
        parser.add_argument(
            "--scale", type=float, default=1.0, help="share of the rows, customers and seconds (default: %(default)s)"
        )
        parser.add_argument(
            "--rounds", type=int, help=f"how often (default: {measurement.rounds}, less for the longest)"
        )
        parser.add_argument(
            "--postgresql", action="store_true", help=f"on a server: BENCH_POSTGRES_URL ({', '.join(ON_POSTGRESQL)})"
        )
        parser.add_argument(
            "--write",
            type=lambda name: Path(name).resolve(),
            metavar="PAGE",
            help="put table and chart into this Markdown file",
        )
        parser.add_argument(
            "--installations",
            nargs=2,
            type=lambda name: str(Path(name).resolve(strict=True)),
            metavar=("FEW", "MANY"),
            help="the settings (ENV_FILE) of two made-up installations for years, instead of making them",
        )
        # Within the throwaway installation that the command has made.
        parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        name, rounds = options["name"], options["rounds"]
        names = (
            [name] if name != ALL else [each for each in OF_ALL if not options["postgresql"] or each in ON_POSTGRESQL]
        )
        if options["postgresql"] and not set(names) <= set(ON_POSTGRESQL):
            raise CommandError(f"On PostgreSQL there are: {', '.join(ON_POSTGRESQL)}.")
        if options["write"]:
            assert_has_markers(options["write"])  # before what takes an hour
        given = [f"--{option}={options[option]}" for option in ("scale", "rounds", "write") if options[option]]
        given += ["--postgresql"] * options["postgresql"]
        if options["installations"]:
            given += ["--installations", *options["installations"]]
        if not options["here"]:
            with installation(on_postgresql=options["postgresql"]) as environment:
                manage(environment, "bench", name, "--here", *given)
            return
        measurement.scale = options["scale"]
        measurement.env_files = options["installations"] and tuple(options["installations"])
        rows, failed = run_each(names, {each: rounds or ROUNDS.get(each, measurement.rounds) for each in names})
        if options["write"]:
            shown = [option for option in given if not option.startswith("--write") and option != "--scale=1.0"]
            write_page(options["write"], rows, " ".join(["manage.py bench", name, *shown]))
        if failed:
            self.stderr.write(f"Slower than a limit, or failed: {', '.join(failed)}. See above.")
            sys.exit(1)
