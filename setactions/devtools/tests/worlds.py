"""What the product left behind, with violations planted in copies of it."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from io import StringIO
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import connections

from audit.actors import Actor
from audit.choices import Source
from setactions import service
from setactions.devtools.proofs.evidence import read_evidence
from setactions.devtools.proofs.judge import judge
from setactions.inputs.ids import from_json
from setactions.payload import make_submission
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from setactions.word import ANY_WORD
from tmsdash.tests.fixtures import TOKEN

HOST = "127.0.0.1"


class World:
    """What the product left behind; `ids` are attempts by name. Planting happens in copies of the files."""

    def __init__(self, folder, calls, ids, need_person):
        self.folder, self.calls, self.ids, self.need_person = folder, calls, ids, need_person

    def evidence(self, jobs=(), audit=(), calls=None, shown=()):
        files = {}
        for name, statements in (("jobs", jobs), ("audit", audit)):
            files[name] = self.folder / f"planted_{name}.db"
            shutil.copy(self.folder / f"{name}.db", files[name])
            with closing(sqlite3.connect(files[name])) as database, database:
                for statement in [statements] if isinstance(statements, str) else statements:
                    assert database.execute(statement, self._hex_ids(statement)).rowcount != 0
        return read_evidence(self.calls if calls is None else calls, files["jobs"], files["audit"], shown)

    def judged(self, **planted):
        return judge(self.evidence(**planted), self.need_person)

    def found(self, **planted):
        return {kind for kind, cases in self.judged(**planted).violations.items() if cases}

    def number_of_call(self, *cids):
        return next(number for number, call in enumerate(self.calls) if call.cids == cids)

    def with_call(self, *cids, **changes):
        """Return the calls with one of them changed."""
        number = self.number_of_call(*cids)
        return [*self.calls[:number], replace(self.calls[number], **changes), *self.calls[number + 1 :]]

    def _hex_ids(self, statement):
        return {name: attempt_id.hex for name, attempt_id in self.ids.items() if f":{name}" in statement}


@pytest.fixture(scope="session")
def worlds():
    """The one world, once the first test has made it."""
    return []


@pytest.fixture
def world(worlds, request, tmp_path):
    """A copy of the one world; to spoil at will."""
    if not worlds:
        worlds.append(request.getfixturevalue("new_world"))
    [original] = worlds
    shutil.copytree(original.folder, tmp_path, dirs_exist_ok=True)
    return World(tmp_path, original.calls, original.ids, original.need_person)


@pytest.fixture
def new_world(tms, carry_out, olivia, settings, tmp_path_factory):
    """Attempts of every outcome, reconciled; two of them share a customer, so that one is for a person."""
    folder = tmp_path_factory.mktemp("world")
    first = carry_out(cids=["a1", "a2", "a3"])
    carry_out(cids=["a1", "a2", "a3"])  # refused as a repeat
    results = {
        "first": first,
        "again": carry_out(cids=["a1", "a2", "a3"], word=ANY_WORD),
        "single": carry_out(cids=["s1", "s2"]),
        "rejected": carry_out(cids=["r1"], token="fault:not-ready"),
        "applied": carry_out(cids=["u1"], token="fault:reset-after"),
        "not_applied": carry_out(cids=["n1"], token="fault:reset-before"),
        "mixed": carry_out(cids=["m1", "shared"], token="fault:reset-before"),
        "sharing": carry_out(cids=["shared"], word=ANY_WORD),
        "unsent": service.set_action(
            user=olivia,
            submission=make_submission(cluster_named("brooke"), "T-Enable", from_json(["x1"])),
            token=Token(TOKEN),
            actor=Actor(user_id="olivia", source=Source.COMMAND),
        ),
    }
    settings.TMS_OPEN_AFTER_S = settings.TMS_READBACK_INTERVAL_S = 0
    with mock.patch.dict(os.environ, TMS_TOKEN=TOKEN), pytest.raises(SystemExit) as ended:
        call_command("reconcile", json=True, stdout=(output := StringIO()))
    assert ended.value.code == 2
    for alias in ("jobs", "audit"):
        with closing(sqlite3.connect(folder / f"{alias}.db")) as copy:
            connections[alias].connection.backup(copy)
            for [trigger] in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                copy.execute(f"DROP TRIGGER {trigger}")  # whoever plants violations has removed them
    ids = {name: result.attempt_id for name, result in results.items()}
    calls = tms.calls()
    tms.reset()
    return World(folder, calls, ids, json.loads(output.getvalue())["need_person"])


WITHOUT_JOB = [
    "DELETE FROM jobs_jobcustomer WHERE job_id = (SELECT id FROM jobs_job WHERE job_id = :{0})",
    "DELETE FROM jobs_job WHERE job_id = :{0}",
]

WITHOUT_AUDIT = [
    "DELETE FROM audit_attemptcustomer WHERE attempt_id = (SELECT id FROM audit_attempt WHERE attempt_id = :{0})",
    "DELETE FROM audit_attempt WHERE attempt_id = :{0}",
    "DELETE FROM audit_auditentry WHERE attempt_id = :{0}",
]


def of(statements, name):
    return [statement.format(name) for statement in statements]


def turn(name, kind, to, outcome):
    """Make an event say something else, and the row say the same."""
    return [
        f"UPDATE audit_auditentry SET kind = '{to}' WHERE attempt_id = :{name} AND kind = '{kind}'",
        f"UPDATE audit_attempt SET outcome = '{outcome}' WHERE attempt_id = :{name}",
    ]
