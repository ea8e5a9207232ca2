"""Runs the batch command in the test's own process."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from io import StringIO

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from setactions.management.commands.set_action_batch import Command
from setactions.resolving.tests.doubting import environment_of_process
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import heeding_signals

CIDS = [f"{number:032x}" for number in range(1, 11)]
GO = ("--yes", "--json")
NAMED = ("--cluster=evian3", "--action=PE-Enable")


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


def start(file, tms, *more, stdin=subprocess.DEVNULL, ignored=()):
    """Start the command in a process of its own, which ignores some signals."""
    environment = environment_of_process(tms, settings.VAR_DIR) | {
        "TMS_TOKEN": TOKEN,
        "TMS_BATCH_CHUNK": "2",
        "TMS_BATCH_CALLS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", "set_action_batch", str(file), "--user=olivia", *NAMED, *GO, *more],
        cwd=settings.BASE_DIR,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: heeding_signals(*ignored),
    )


def go_on(file, ended, monkeypatch, *more):
    """Go on with the batch."""
    monkeypatch.setenv("TMS_TOKEN", TOKEN)  # the command takes it out of the environment
    return command(file, *GO, "--batch-id", ended.json["batch_id"], *more)


def sent(tms):
    """How often each customer was in a call."""
    return Counter(cid for call in tms.calls() if call.method == "POST" for cid in call.cids)
