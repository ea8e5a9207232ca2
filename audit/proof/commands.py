"""What the commands that prove the audit share, and others that need it whole."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from django.core.management.base import OutputWrapper
from django.db import Error as AnyDatabaseError

from audit.chain import DATABASE
from audit.proof.findings import AUDIT, Finding
from tmsdash import site_keys
from tmsdash.commands import TimerCommand
from tmsdash.db.damage import damage
from tmsdash.text import one_line

BROKEN = 3  # the exit code if the audit is not whole


def end_broken(stderr: OutputWrapper, finding: Finding, undone: str) -> NoReturn:
    """End a command: the audit is broken, so `undone` was not done."""
    stderr.write(one_line(f"The audit is BROKEN; nothing was {undone}. {finding.where}: {finding.problem}", 1_000))
    stderr.write("Run manage.py audit_verify: it names everything.")
    sys.exit(BROKEN)


@contextmanager
def gone_named(stderr: OutputWrapper, undone: str) -> Iterator[None]:
    """End the command with what is wrong if the block cannot read the audit because its database is gone or damaged.

    Another error of the database goes on to the caller.
    """
    try:
        yield
    except AnyDatabaseError as error:
        problem = damage(DATABASE, error)
        if not problem:
            raise
        end_broken(stderr, Finding(AUDIT, problem), undone)


class ProofCommand(TimerCommand):
    """A command that does its work only if the audit is whole, which a wrong AUDIT_KEY contradicts, too."""

    needed_keys = site_keys.KEPT
    wrong_key_exit_code = BROKEN

    def end_broken(self, finding: Finding, undone: str) -> NoReturn:
        """End the command: the audit is broken, so `undone` was not done."""
        end_broken(self.stderr, finding, undone)
