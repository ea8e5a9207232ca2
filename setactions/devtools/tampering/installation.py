"""A small installation that the product made, with Set Actions, an archive and seals, to be spoilt again and again."""

import json
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from setactions.devtools.proofs.site import USER, ProofError, Site
from setactions.devtools.simulator import Simulator

CLUSTER = "main"
TOKEN = "a-token-of-no-use-to-anybody"  # noqa: S105
DAYS_AGO = 40  # when the actions of the archive were sent
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
        self.log = self.kept / "log"
        for made in (self.var, self.kept):
            made.mkdir()
        self._tms = Simulator()

    def __enter__(self) -> "Installation":
        self._tms.start()
        self.site = Site(self.var, {CLUSTER: self._tms.url}, **SETTINGS, AUDIT_SEAL_DIR=self.seals)
        return self

    def __exit__(self, *_: object) -> None:
        self.site.close()
        self._tms.stop()

    def build(self) -> None:
        """Make it as the product does, by its commands. Raise ProofError if one of them fails."""
        self.site.set_up()
        program = [sys.executable, "-m", "setactions.devtools.tampering.command_runner"]
        self._runner = self.site.spawn_program(LOG, *program, piped=True)
        (self.kept / "token").write_text(TOKEN)
        self._send("a1", "a2", "a3", days_ago=DAYS_AGO)
        self._send("b1", days_ago=DAYS_AGO - 1)
        self._must("audit_seal", days_ago=DAYS_AGO - 2)
        before = datetime.now(UTC) - timedelta(days=DAYS_AGO - 10)
        self._must("audit_archive", "--before", f"{before:%Y-%m-%d}", days_ago=2)
        self._send("c1", "c2", days_ago=1)
        self._must("audit_seal")
        self._copy(self.earlier)
        self._must("audit_export", "--output", str(self.kept / "exported.csv"))  # a fact that belongs to no attempt
        self._send("d1", "d2")
        self._send("e1")
        self._must("audit_seal")
        self._must("audit_verify", "--jobs", "--anchors-from", str(self.log))
        self._copy(self._whole)

    def reset(self) -> None:
        """Put everything back as it was built."""
        for place in (self.var, self.seals):
            _clear(place)
            shutil.copytree(self._whole / place.name, place, dirs_exist_ok=True)

    def run(self, *arguments: str, days_ago: int = 0) -> Ending:
        """Run a command of the site, as if it were so many days ago. Raise ProofError if it cannot be run."""
        asked = {"arguments": arguments, "days_ago": days_ago}
        if not (self._runner.stdin and self._runner.stdout):
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

    def _must(self, *arguments: str, days_ago: int = 0) -> None:
        ending = self.run(*arguments, days_ago=days_ago)
        if ending.code:
            raise ProofError(f"manage.py {arguments[0]} ended with {ending.code}: {ending.output}")
        with self.log.open("a") as log:  # with the anchors
            log.write(ending.output)

    def _send(self, *cids: str, days_ago: int = 0) -> None:
        listed = self.kept / "customers.csv"
        listed.write_text("\n".join(["customer_id", *cids, ""]))
        options = ["--user", USER, "--cluster", CLUSTER, "--action", "PE-Enable", "--yes", "--no-check"]
        token = ["--token-file", str(self.kept / "token")]
        self._must("set_action_batch", str(listed), *options, *token, days_ago=days_ago)


def _clear(folder: Path) -> None:
    """Remove what is in a folder, and the folder or whatever was put in its place."""
    if folder.is_dir():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)
