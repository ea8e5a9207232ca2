import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError

from audit.proof.seals import last_seal, write_seal
from audit.proof.verification import verify_since
from tmsdash import site_keys
from tmsdash.commands import Command as BaseCommand

BROKEN = 3


class Command(BaseCommand):
    help = (
        "Seal the audit as it is now: a signed line in AUDIT_SEAL_DIR and in the log, even if nothing is new. It looks "
        "at the entries since the last seal, and seals nothing that is broken. Run it from a timer, and have the lines "
        "copied to another machine. Exit code 0: sealed; 3: the audit is broken."
    )

    needed_keys = site_keys.KEPT  # whether AUDIT_KEY fits is part of what is verified
    wrong_key_exit_code = BROKEN

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the seal as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            last = last_seal()
            head, findings = verify_since(last)
            if findings or head is None:
                first = findings[0]
                self.stderr.write(f"The audit is BROKEN, and was not sealed. {first.where}: {first.problem}")
                self.stderr.write("manage.py audit_verify says more.")
                sys.exit(BROKEN)
            seal = write_seal(head)
        except AnyDatabaseError as error:
            raise CommandError(f"The audit cannot be read, so that nothing was sealed. {error}") from None
        except OSError as error:
            raise CommandError(f"AUDIT_SEAL_DIR: {error.filename} cannot be used: {error.strerror}.") from None
        new = seal.sequence - (last.sequence if last else 0)
        words = f"Sealed: number {seal.number}, {new:,} new entries, the last is {seal.sequence}:{seal.mac[:16]}."
        self.stdout.write(json.dumps(asdict(seal)) if options["json"] else words)
