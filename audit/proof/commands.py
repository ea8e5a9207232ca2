"""What the commands that prove the audit share."""

import sys
from typing import NoReturn

from audit.proof.findings import Finding
from tmsdash import site_keys
from tmsdash.commands import TimerCommand

BROKEN = 3  # the exit code if the audit is not whole


class ProofCommand(TimerCommand):
    """A command that does its work only if the audit is whole, which a wrong AUDIT_KEY contradicts, too."""

    needed_keys = site_keys.KEPT
    wrong_key_exit_code = BROKEN

    def end_broken(self, finding: Finding, undone: str) -> NoReturn:
        """End the command: the audit is broken, so `undone` was not done."""
        self.stderr.write(f"The audit is BROKEN; nothing was {undone}. {finding.where}: {finding.problem}")
        self.stderr.write("Run manage.py audit_verify: it names everything.")
        sys.exit(BROKEN)
