"""Runs the batch command in the test's own process."""

import json
from collections import Counter
from dataclasses import dataclass
from io import StringIO

from django.core.management import call_command
from django.core.management.base import CommandError

from setactions.management.commands.set_action_batch import Command
from tmsdash.tests.fixtures import TOKEN

CIDS = [f"{number:032x}" for number in range(1, 11)]
GO = ("--yes", "--json")


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def command(*arguments, user="olivia", cluster="evian3", action="PE-Enable"):
    """How the command ends for a user, with a cluster and an action unless these are None."""
    out, err = StringIO(), StringIO()
    named = [f"--{name}={value}" for name, value in (("cluster", cluster), ("action", action)) if value]
    code = 0
    try:
        call_command(Command(), *map(str, arguments), f"--user={user}", *named, stdout=out, stderr=err)
    except CommandError as error:
        code, err = error.returncode, StringIO(str(error))
    except SystemExit as error:
        code = error.code
    return Ended(code, out.getvalue(), err.getvalue())


def go_on(file, ended, monkeypatch, *more):
    """Go on with the batch."""
    monkeypatch.setenv("TMS_TOKEN", TOKEN)  # the command takes it out of the environment
    return command(file, *GO, "--batch-id", ended.json["batch_id"], *more)


def sent(tms):
    """How often each customer was in a call."""
    return Counter(cid for call in tms.calls() for cid in call.cids)
