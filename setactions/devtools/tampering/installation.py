"""A small installation that the product made, with Set Actions, an archive and seals, to be spoilt again and again."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from setactions.devtools.proofs.site import USER, ProofError, Site
from setactions.devtools.simulator import Simulator

CLUSTER = "main"
TOKEN = "a-token-of-no-use-to-anybody"  # noqa: S105
DAYS = 40  # that pass before the first actions are archived
LOG = "commands"
SETTINGS = {"TMS_READBACK_INTERVAL_S": 60}  # about what is shorter, each command would warn


@dataclass(frozen=True)
class Ending:
    """How a command ended, and all that it printed and logged."""

    code: int
    output: str

    @property
    def words(self) -> str:
        """What it said, without its log."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return " ".join(line for line in lines if not line.startswith("[") and " [" not in line[:40])

    @property
    def is_traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.output


class Installation:
    """Everything in `folder`: `var` and `seals` are the site's; `earlier` holds both as they once were; `kept` is what
    somebody keeps on another machine.

    Leaving the `with` block ends the process that runs the commands.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare; nothing is made before `build`."""
        self.folder, self.var, self.seals = folder, folder / "var", folder / "seals"
        self.earlier, self.kept, self._whole = folder / "earlier", folder / "kept", folder / "whole"
        self.log, self.witness = self.kept / "log", self.kept / "witness.txt"
        for made in (self.var, self.kept):
            made.mkdir()
        self._tms = Simulator()
        self._runner: subprocess.Popen[str] | None = None
        self._day = 0  # by the site's clock, counted from today

    def __enter__(self) -> "Installation":
        self._tms.start()
        self.site = Site(self.var, {CLUSTER: self._tms.url}, **SETTINGS, AUDIT_SEAL_DIR=self.seals)
        return self

    def __exit__(self, *_: object) -> None:
        self.site.close()
        for pipe in (self._runner.stdin, self._runner.stdout) if self._runner else ():
            if pipe:
                pipe.close()
        self._tms.stop()

    def build(self) -> None:
        """Make it as the product does, by its commands. Raise ProofError if one of them fails."""
        self.site.set_up()
        program = [sys.executable, "-m", "setactions.devtools.tampering.command_runner"]
        self._runner = self.site.spawn_program(LOG, *program, piped=True)
        (self.kept / "token").touch(mode=0o600)
        (self.kept / "token").write_text(TOKEN)
        self._send("a1", "a2", "a3")
        self._send("b1")
        self._must("reconcile")
        self._must("audit_seal")
        self._day += DAYS
        self._must("audit_archive", "--before", f"{datetime.now(UTC) + timedelta(days=DAYS - 1):%Y-%m-%d}")
        self._send("c1", "c2")
        self._must("audit_seal")
        self._copy(self.earlier)
        self._export()
        self._send("d1", "d2")
        self._send("e1")
        self._must("reconcile")
        self._must("audit_seal")
        self._keep_checkpoints()
        self._export()
        self._must("audit_verify", "--jobs", "--anchors-from", str(self.log), "--witness", str(self.witness))
        self._copy(self._whole)

    def reset(self) -> None:
        """Put everything back as it was built."""
        for place in (self.var, self.seals):
            _clear(place)
            shutil.copytree(self._whole / place.name, place, dirs_exist_ok=True)

    def run(self, *arguments: str) -> Ending:
        """Run a command of the site. Raise ProofError if it cannot be run."""
        asked = {"arguments": arguments, "days_ahead": self._day}
        if not (self._runner and self._runner.stdin and self._runner.stdout):
            raise ProofError("Commands cannot be run.")
        try:
            self._runner.stdin.write(json.dumps(asked) + "\n")
            self._runner.stdin.flush()
            return Ending(**json.loads(self._runner.stdout.readline()))
        except (OSError, ValueError):
            raise ProofError(f"What runs the commands has ended: {self.site.log(LOG)}") from None

    def _copy(self, target: Path) -> None:
        for place in (self.var, self.seals):
            shutil.copytree(place, target / place.name)

    def _export(self) -> None:
        """Make an entry that belongs to no attempt."""
        self._must("audit_export")

    def _keep_checkpoints(self) -> None:
        """Write all checkpoints to a file, as a witness keeps them."""
        with closing(sqlite3.connect(self.var / "audit.db")) as audit:
            notes = audit.execute("SELECT note FROM audit_storedcheckpoint ORDER BY size").fetchall()
        self.witness.write_text("\n".join(note for (note,) in notes))

    def _must(self, *arguments: str) -> None:
        ending = self.run(*arguments)
        if ending.code:
            raise ProofError(f"manage.py {arguments[0]} ended with {ending.code}: {ending.output}")
        with self.log.open("a") as log:  # with the anchors
            log.write(ending.output)

    def _send(self, *cids: str) -> None:
        listed = self.kept / "customers.csv"
        listed.write_text("\n".join(["customer_id", *cids, ""]))
        options = ["--user", USER, "--cluster", CLUSTER, "--action", "PE-Enable", "--yes", "--no-check"]
        token = ["--token-file", str(self.kept / "token")]
        self._must("set_action_batch", str(listed), *options, *token)


def _clear(folder: Path) -> None:
    """Remove what is in a folder, and the folder or whatever was put in its place."""
    if folder.is_dir():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)
