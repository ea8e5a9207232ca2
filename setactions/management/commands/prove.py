import json
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from setactions.devtools.proofs.batch_kills import run_batch_kills
from setactions.devtools.proofs.campaign import run_campaign
from setactions.devtools.proofs.report import ProofResult, judge_remains
from setactions.devtools.proofs.restarts import run_restarts
from setactions.devtools.proofs.site import ProofError
from setactions.devtools.proofs.steady_load import RATE
from setactions.devtools.tampering.trial import Trials, try_ways
from tmsdash.commands import Command as BaseCommand
from tmsdash.processes import INTERRUPTED, ended_by_signals

COUNTS = ("kills", "clients", "batch_kills", "queue_faults", "restarts", "rate")
SERVER = "TEST_POSTGRES_URL"  # not an option: it may hold a password
CONTROL = "TEST_POSTGRES_CONTROL"  # the program that restarts the server


class Command(BaseCommand):
    help = (
        "Prove, on throwaway databases and with a simulated TMS, that every action that TMS accepted has "
        "exactly one Job and that nothing else has one, while servers are killed at random moments under load. Exit "
        "code 1 if that does not hold; the databases are then kept."
    )
    requires_system_checks = ()  # it uses nothing of this site but its code

    is_of_site = False  # the one that is proven is another one

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kills", type=int, default=20, help="how often to kill a server (default: %(default)s)")
        parser.add_argument("--batch-kills", type=int, metavar="N", help="instead, kill N times whatever runs a batch")
        parser.add_argument(
            "--queue-faults", type=int, metavar="N", help="instead, let N things go wrong with batches in the queue"
        )
        parser.add_argument(
            "--restarts", type=int, metavar="N", help="instead, let N servers take each other's place on one socket"
        )
        parser.add_argument(
            "--rate", type=int, default=RATE, help="requests a second meanwhile, for --restarts (default: %(default)s)"
        )
        parser.add_argument(
            "--tampering",
            action="store_true",
            help="instead, tamper with the audit in all ways that are known, with its files alone and with its keys, "
            "and tell what audit_verify says of each; takes minutes",
        )
        parser.add_argument("--clients", type=int, default=16, help="clients submitting at once (default: %(default)s)")
        parser.add_argument("--seed", type=int, help="repeat the choices of a run, though not its timing")
        parser.add_argument(
            "--postgresql",
            action="store_true",
            help=f"on databases of its own on the PostgreSQL server whose URL is in {SERVER}, instead of SQLite files; "
            "with --queue-faults as several hosts, and the server is restarted, too",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if any(options[name] is not None and options[name] < 1 for name in COUNTS):
            raise CommandError("Choose at least one kill, fault, restart, client and request.")
        if options["postgresql"] and options["tampering"]:
            raise CommandError("--tampering is tried on SQLite's files. Leave --postgresql out.")
        needed = [SERVER, *[CONTROL] * bool(options["queue_faults"])]  # the server is restarted among other things
        if options["postgresql"] and (missing := [name for name in needed if name not in os.environ]):
            example = ".ci/with-postgres python manage.py prove --postgresql"
            raise CommandError(f"Set {' and '.join(missing)}, such as by {example}.")
        folder = Path(tempfile.mkdtemp(prefix="tmsdash-prove-"))
        try:
            with ended_by_signals():
                result = self._prove(folder, options)
        except ProofError as error:
            raise CommandError(f"The proof could not be carried out; see {folder}. {error}") from None
        except KeyboardInterrupt:
            shutil.rmtree(folder)
            raise CommandError("Stopped; nothing is proven.", returncode=INTERRUPTED) from None
        self.stdout.write(json.dumps(result.as_json()) if options["json"] else result.as_table())
        if not result.passed:
            raise CommandError(f"The promise was not kept. Databases and logs are in {folder}.")
        shutil.rmtree(folder)

    def _prove(self, folder: Path, options: dict[str, Any]) -> ProofResult | Trials:
        started = time.monotonic()

        def say(line: str) -> None:
            self.stderr.write(f"{time.monotonic() - started:7.1f} s  {line}", lambda text: text)

        if options["tampering"]:
            say(f"Tampering, in {folder}")
            return try_ways(folder, is_short=False, say=say)
        seed = secrets.randbelow(1 << 32) if options["seed"] is None else options["seed"]
        server = os.environ[SERVER] if options["postgresql"] else ""
        if options["batch_kills"]:
            say(f"{options['batch_kills']:,} kills of whatever runs a batch, seed {seed}, in {folder}")
            remains = run_batch_kills(folder, kills=options["batch_kills"], seed=seed, say=say, server=server)
        elif options["queue_faults"]:
            from setactions.devtools.proofs.queue_faults import run_queue_faults  # it needs what a queue does

            say(f"{options['queue_faults']:,} faults, seed {seed}, in {folder}")
            remains = run_queue_faults(folder, faults=options["queue_faults"], seed=seed, say=say, server=server)
        elif options["restarts"]:
            restarts, rate = options["restarts"], options["rate"]
            say(f"{restarts:,} restarts, {rate:,} requests a second, seed {seed}, in {folder}")
            remains = run_restarts(folder, restarts=restarts, seed=seed, say=say, server=server, rate=rate)
        else:
            say(f"{options['kills']:,} kills, {options['clients']:,} clients, seed {seed}, in {folder}")
            clients = options["clients"]
            remains = run_campaign(folder, kills=options["kills"], clients=clients, seed=seed, say=say, server=server)
        result = judge_remains(remains)
        say("Judged.")
        return result
