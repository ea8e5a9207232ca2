import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError

from audit.proof.commands import ProofCommand, gone_named
from audit.proof.seals import last_seal, write_seal
from audit.proof.verification import verify_since
from tmsdash import timers
from tmsdash.cores import WorkerLostError


class Command(ProofCommand):
    help = (
        "Seal the audit as it is now: a signed line in AUDIT_SEAL_DIR and in the log, even if nothing is new. It looks "
        "at the entries since the last seal, and seals nothing that is broken. Run it from a timer, and have the lines "
        "copied to another machine. Exit code 0: sealed; 3: the audit is broken."
    )

    timer = timers.SEAL

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the seal as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with gone_named(self.stderr, "sealed"):
                last = last_seal()
                head, findings = verify_since(last)
                if findings or head is None:
                    self.end_broken(findings[0], "sealed")
                seal = write_seal(head)
        except (AnyDatabaseError, WorkerLostError) as error:
            raise CommandError(f"The audit cannot be read, so nothing was sealed. {error}") from None
        except OSError as error:
            raise CommandError(f"AUDIT_SEAL_DIR: {error.filename} cannot be used: {error.strerror}.") from None
        new = seal.sequence - (last.sequence if last else 0)
        words = f"Sealed: number {seal.number}, {new:,} new entries, the last is {seal.sequence}:{seal.mac[:16]}."
        self.stdout.write(json.dumps(asdict(seal)) if options["json"] else words)
