import json
import logging
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError

from audit.actors import command_actor
from audit.chain import ANCHOR_DIGITS
from audit.proof.acknowledgements import NotLostError
from audit.proof.commands import ProofCommand, gone_named
from audit.proof.lost_seals import acknowledge_lost_seals
from audit.proof.sealing import BrokenError, seal
from audit.transparency import timestamps
from audit.transparency.notes import Checkpoint
from audit.transparency.signing_key import SigningKeyError
from tmsdash import timers
from tmsdash.cores import WorkerLostError
from tmsdash.text import one_line

logger = logging.getLogger(__name__)


class Command(ProofCommand):
    help = (
        "Seal the audit as it is now, even if nothing is new: a signed line in AUDIT_SEAL_DIR and in the log, with a "
        "checkpoint that everybody can check who has the public key (audit_keys shows it). It looks at the entries "
        "since the last seal, and seals nothing that is broken. Run it from a timer, on one host, the one with the key "
        "that signs checkpoints, and have the lines copied to another machine. Exit code 0: sealed; 3: the audit is "
        "broken."
    )

    timer = timers.SEAL

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--archives", metavar="FOLDER", help="where the archives are (default: AUDIT_SEAL_DIR)")
        parser.add_argument(
            "--rebuild-tree",
            action="store_true",
            help="look at all entries, and make the Merkle tree anew from them; "
            "checkpoints that are missing come from the seals",
        )
        parser.add_argument(
            "--acknowledge-lost-seals", action="store_true", help="first note in the chain that seals were lost"
        )
        parser.add_argument("--reason", default="", help="how they were lost, in 10 characters or more")
        parser.add_argument("--json", action="store_true", help="print the seal as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(options["archives"]) if options["archives"] else None
        try:
            with gone_named(self.stderr, "sealed"):
                if options["acknowledge_lost_seals"]:
                    for lost in acknowledge_lost_seals(options["reason"], command_actor()):
                        self.stderr.write(f"Noted in the audit. {lost.sentence}")
                sealed = seal(command_actor(), folder, rebuild_tree=options["rebuild_tree"])
        except BrokenError as error:
            self.end_broken(error.finding, "sealed")
        except (NotLostError, SigningKeyError) as error:
            raise CommandError(f"Nothing was sealed. {error}") from None
        except (AnyDatabaseError, WorkerLostError) as error:
            raise CommandError(f"The audit cannot be read or written, so nothing was sealed. {error}") from None
        except OSError as error:
            raise CommandError(f"AUDIT_SEAL_DIR: {error.filename} cannot be used: {error.strerror}.") from None
        if settings.AUDIT_TIMESTAMP_URL:
            self._stamp(sealed.checkpoint)
        line = sealed.seal
        end = f"{line.sequence}:{line.mac[:ANCHOR_DIGITS]}"
        words = (
            f"Sealed: number {line.number}, {sealed.new:,} new entries, the last is {end}. The checkpoint of "
            f"{sealed.checkpoint.size:,} entries has the root {sealed.checkpoint.root.hex()}."
        )
        self.stdout.write(json.dumps(line.facts()) if options["json"] else words)

    def _stamp(self, checkpoint: Checkpoint) -> None:
        """Have a checkpoint stamped, which it is as good as before without."""
        try:
            at = timestamps.stamp(checkpoint)
            logger.info("[STAMP] STAMPED: size=%d, at=%s", checkpoint.size, at.isoformat())
        except (timestamps.TimestampError, AnyDatabaseError) as error:
            problem = one_line(str(error))
            logger.warning("[STAMP] NOT STAMPED: size=%d. %s The next seal asks again.", checkpoint.size, problem)
