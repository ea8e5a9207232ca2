"""The judge, on a world that the product made: clean it finds it clean, and what is planted it finds under its kind."""

import json
import os
import shutil
import socket
import sqlite3
import uuid
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import connections

from audit.actors import Actor
from audit.choices import Source
from jobs.models import Job
from setactions import service
from setactions.devtools.proofs.evidence import Shown, read_evidence
from setactions.devtools.proofs.judge import KINDS, judge
from setactions.inputs.ids import from_json
from setactions.submission import make_submission
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN

HOST = "127.0.0.1"
pytestmark = pytest.mark.sqlite


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


@pytest.fixture(scope="module")
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
        "again": carry_out(cids=["a1", "a2", "a3"], send_again=True),
        "single": carry_out(cids=["s1", "s2"]),
        "rejected": carry_out(cids=["r1"], token="fault:not-ready"),
        "applied": carry_out(cids=["u1"], token="fault:reset-after"),
        "not_applied": carry_out(cids=["n1"], token="fault:reset-before"),
        "mixed": carry_out(cids=["m1", "shared"], token="fault:reset-before"),
        "sharing": carry_out(cids=["shared"]),
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


def test_what_the_product_did_is_clean(world):
    judgement = world.judged()
    assert judgement.violations == {kind: [] for kind in KINDS}
    assert judgement.open == judgement.mixed == [str(world.ids["mixed"])]
    assert judgement.passed
    expected = {"calls": 8, "calls cut off": 0, "applied": 5, "jobs": 5, "attempts": 9, "shown": 0}
    outcomes = {"accepted": 4, "applied": 1, "not_applied": 1, "not_sent": 1, "refused": 1, "rejected": 1, "unknown": 1}
    assert judgement.facts == expected | {f"outcome {name}": count for name, count in outcomes.items()}


def test_truthful_showing_is_clean(world):
    ids = {name: str(attempt_id) for name, attempt_id in world.ids.items()}
    shown = [
        Shown(ids["single"], "pending"),
        Shown(ids["single"], "accepted", ids["single"], recorded=True),
        Shown(ids["applied"], "unknown"),
        Shown(ids["rejected"], "rejected"),
        Shown(ids["unsent"], "not_sent"),
        Shown(ids["not_applied"], "not_applied"),
        Shown(str(uuid.uuid4()), "refused"),
    ]
    assert world.judged(shown=shown).passed


# -- Each kind of violation ---------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("name", ["single", "applied", "first", "again"])
def test_a_job_that_is_not_there_is_lost(world, name):
    judgement = world.judged(jobs=of(WITHOUT_JOB, name))
    assert [kind for kind, cases in judgement.violations.items() if cases] == ["lost"]
    assert len(judgement.violations["lost"]) == 1
    assert str(world.ids[name]) in judgement.violations["lost"][0]
    assert not judgement.passed


def test_a_call_that_left_no_trace_is_lost_and_unaudited(world):
    planted = {"jobs": of(WITHOUT_JOB, "single"), "audit": of(WITHOUT_AUDIT, "single")}
    assert world.found(**planted) == {"lost", "unaudited"}


def test_a_job_that_is_owed_is_open_and_not_lost(world):
    owed = [
        "DELETE FROM audit_auditentry WHERE attempt_id = :single AND kind = 'RECORDED'",
        "UPDATE audit_attempt SET is_open = 1, job_owed = 1 WHERE attempt_id = :single",
    ]
    judgement = world.judged(jobs=of(WITHOUT_JOB, "single"), audit=owed)
    assert not any(judgement.violations.values())
    assert set(judgement.open) - set(judgement.mixed) == {str(world.ids["single"])}
    assert not judgement.passed


def test_an_open_attempt_for_the_same_list_hides_no_loss(world):
    opened = [
        *turn("again", "ACCEPTED", "UNKNOWN", "unknown"),
        "DELETE FROM audit_auditentry WHERE attempt_id = :again AND kind = 'RECORDED'",
        "UPDATE audit_attempt SET is_open = 1 WHERE attempt_id = :again",
    ]
    gone = of(WITHOUT_JOB, "first") + of(WITHOUT_JOB, "again")
    assert world.found(audit=opened, jobs=gone, calls=world.with_call("a1", "a2", "a3", applied=False)) == {"lost"}


def test_what_was_not_applied_cannot_be_lost(world):
    not_applied = world.with_call("s1", "s2", applied=False)
    assert world.found(jobs=of(WITHOUT_JOB, "single"), calls=not_applied) == {"misjudged"}


def test_a_job_of_what_was_not_applied_is_a_phantom(world):
    assert world.found(calls=world.with_call("s1", "s2", applied=False)) == {"phantom", "misjudged"}
    assert world.found(calls=[call for call in world.calls if call.cids != ("u1",)]) == {"phantom", "misjudged"}
    moved = "UPDATE jobs_job SET job_id = :{0} WHERE job_id = :sharing"
    assert world.found(jobs=moved.format("rejected")) == {"phantom", "unaudited", "incomplete", "lost"}


def test_a_job_of_a_rejected_attempt_is_a_phantom_beside_an_accepted_one_for_the_same_list(world):
    turned = [
        *turn("again", "ACCEPTED", "REJECTED", "rejected"),
        "DELETE FROM audit_auditentry WHERE attempt_id = :again AND kind = 'RECORDED'",
    ]
    number = world.number_of_call("a1", "a2", "a3")
    calls = [*world.calls[:number], replace(world.calls[number], applied=False), *world.calls[number + 1 :]]
    assert world.found(audit=turned, calls=calls) == {"phantom", "unaudited"}


def again(name):
    """Return statements that write a job once more, under an id of its own, as two writers do."""
    columns = [column.column for column in Job._meta.fields if column.column not in ("id", "job_id")]
    return [
        f"INSERT INTO jobs_job (id, job_id, {', '.join(columns)}) "
        f"SELECT 1000000000, '{uuid.uuid4().hex}', {', '.join(columns)} FROM jobs_job WHERE job_id = :{name}",
        "INSERT INTO jobs_jobcustomer (job_id, cid, position) SELECT 1000000000, cid, position FROM jobs_jobcustomer "
        f"WHERE job_id = (SELECT id FROM jobs_job WHERE job_id = :{name})",
    ]


def test_a_second_job_for_one_call_is_doubled(world):
    assert world.found(jobs=again("single")) == {"doubled", "unaudited"}
    assert world.found(jobs=again("first")) == {"doubled", "unaudited"}
    evidence = world.evidence()
    for name in ("single", "first"):
        twice = [*evidence.jobs, *(job for job in evidence.jobs if job.job_id == str(world.ids[name]))]
        violations = judge(replace(evidence, jobs=twice), world.need_person).violations
        assert {kind for kind, cases in violations.items() if cases} == {"doubled"}


def test_two_jobs_of_one_attempt_are_doubled_even_if_they_are_as_many_as_the_calls(world):
    owed = [
        "DELETE FROM audit_auditentry WHERE attempt_id = :again AND kind = 'RECORDED'",
        "UPDATE audit_attempt SET is_open = 1, job_owed = 1 WHERE attempt_id = :again",
    ]
    evidence = world.evidence(audit=owed, jobs=of(WITHOUT_JOB, "again"))
    twice = [*evidence.jobs, *(job for job in evidence.jobs if job.job_id == str(world.ids["first"]))]
    violations = judge(replace(evidence, jobs=twice)).violations
    assert {kind for kind, cases in violations.items() if cases} == {"doubled"}


def test_a_list_that_reached_tms_twice_under_one_attempt_is_sent_twice(world):
    for cids, others in ((("s1", "s2"), {"lost"}), (("a1", "a2", "a3"), {"lost"}), (("r1",), set()), (("n1",), set())):
        repeated = [*world.calls, world.calls[world.number_of_call(*cids)]]
        assert world.found(calls=repeated) == {"sent_twice"} | others


def test_a_spelling_makes_no_difference_but_an_order_does(world):
    assert world.found(calls=world.with_call("s1", "s2", action="pe-enable")) == set()
    found = world.found(calls=world.with_call("s1", "s2", cids=("s2", "s1")))
    assert found == {"lost", "unaudited", "phantom", "misjudged"}


def test_a_call_whose_caller_died_while_sending_is_none(world, tms):
    head = f"POST /tms/v1/set/action HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer x\r\nContent-Length: 9\r\n\r\n"
    with socket.create_connection((HOST, int(tms.url.rpartition(":")[2]))) as caller:
        caller.sendall(head.encode())
    calls = [*world.calls, *tms.wait_for(lambda calls: calls)]
    assert world.found(calls=calls) == set()
    assert world.judged(calls=calls).facts["calls cut off"] == 1


@pytest.mark.parametrize(
    ("planted", "also"),
    [
        ("DELETE FROM audit_auditentry WHERE attempt_id = :single AND kind = 'INTENT'", {"inconsistent"}),
        ("DELETE FROM audit_auditentry WHERE attempt_id = :single AND kind = 'ACCEPTED'", {"inconsistent"}),
        ("DELETE FROM audit_auditentry WHERE attempt_id = :applied AND kind = 'APPLIED'", {"inconsistent"}),
        ("DELETE FROM audit_auditentry WHERE attempt_id = :single AND kind = 'RECORDED'", {"inconsistent"}),
    ],
)
def test_a_job_without_its_events_is_unaudited(world, planted, also):
    violations = world.judged(audit=planted).violations
    assert {kind for kind, cases in violations.items() if cases} == {"unaudited"} | also
    assert any(case.startswith("job ") for case in violations["unaudited"])


def test_a_call_and_a_job_without_an_attempt_are_unaudited(world):
    assert world.found(audit=of(WITHOUT_AUDIT, "single")) == {"unaudited"}
    assert world.found(audit=of(WITHOUT_AUDIT, "rejected")) == {"unaudited"}


def test_a_job_that_claims_other_evidence_than_there_is_is_unaudited(world):
    for name, evidence in (("single", "read_back"), ("applied", "reply"), ("single", "decided"), ("single", "")):
        assert world.found(jobs=f"UPDATE jobs_job SET evidence = '{evidence}' WHERE job_id = :{name}") == {"unaudited"}


CUSTOMERS = "jobs_jobcustomer WHERE job_id = (SELECT id FROM jobs_job WHERE job_id = :single)"
SECOND = f"id = (SELECT id FROM {CUSTOMERS} AND position = 1)"
OTHER_PAYLOAD = (
    """UPDATE jobs_job SET request_payload = '{"action": "PE-Enable", "cids": ["s2", "s1"]}' WHERE job_id = :single"""
)


@pytest.mark.parametrize(
    "planted",
    [
        f"DELETE FROM {CUSTOMERS}",
        f"DELETE FROM {CUSTOMERS} AND position = 1",
        f"UPDATE jobs_jobcustomer SET position = position + 1 WHERE {SECOND}",
        f"UPDATE jobs_jobcustomer SET cid = 's' WHERE {SECOND}",
        "UPDATE jobs_job SET customer_count = 3 WHERE job_id = :single",
        "UPDATE jobs_job SET action_name = 'T-Enable' WHERE job_id = :single",
        OTHER_PAYLOAD,
    ],
)
def test_a_job_that_is_not_what_was_asked_for_is_incomplete(world, planted):
    assert world.found(jobs=planted) == {"incomplete"}


def test_a_job_with_its_customers_in_another_order_is_incomplete(world):
    swapped = [
        f"UPDATE jobs_jobcustomer SET position = position + 2 WHERE id IN (SELECT id FROM {CUSTOMERS})",
        f"UPDATE jobs_jobcustomer SET position = 0 WHERE id = (SELECT id FROM {CUSTOMERS} AND position = 3)",
        f"UPDATE jobs_jobcustomer SET position = 1 WHERE id = (SELECT id FROM {CUSTOMERS} AND position = 2)",
        OTHER_PAYLOAD,
    ]
    assert world.found(jobs=swapped) == {"incomplete"}


@pytest.mark.parametrize(
    ("name", "outcome", "job", "recorded"),
    [
        ("rejected", "accepted", "rejected", True),
        ("rejected", "accepted", "rejected", False),
        ("mixed", "accepted", "mixed", True),  # it is open, but what was shown was more than "being recorded"
        ("single", "accepted", "first", True),
        ("single", "accepted", None, True),
        ("single", "rejected", None, False),
        ("single", "not_applied", None, False),
        ("single", "refused", None, False),
        ("applied", "not_sent", None, False),
    ],
)
def test_what_was_shown_and_is_not_so_is_shown_then_lost(world, name, outcome, job, recorded):
    shown = Shown(str(world.ids[name]), outcome, str(world.ids[job]) if job else None, recorded=recorded)
    assert world.found(shown=[shown]) == {"shown_then_lost"}


def test_two_of_the_same_list_shown_as_not_applied_are_counted(world):
    for number in (0, 1):  # both were applied
        calls = world.with_call("a1", "a2", "a3", applied=bool(number))
        shown = [Shown(str(world.ids["again"]), "rejected")]
        assert ("shown_then_lost" in world.found(shown=shown, calls=calls)) == bool(number)


def test_a_job_that_was_shown_and_is_lost_is_both(world):
    shown = [Shown(str(world.ids["single"]), "accepted", str(world.ids["single"]), recorded=True)]
    assert world.found(shown=shown, jobs=of(WITHOUT_JOB, "single")) == {"shown_then_lost", "lost"}


@pytest.mark.parametrize(
    ("planted", "also"),
    [
        (turn("single", "ACCEPTED", "REJECTED", "rejected"), {"unaudited", "inconsistent"}),
        (turn("rejected", "REJECTED", "NOT_SENT", "not_sent"), set()),
        (turn("unsent", "NOT_SENT", "REJECTED", "rejected"), set()),
        (turn("applied", "APPLIED", "NOT_APPLIED", "not_applied"), {"unaudited", "inconsistent"}),
        (turn("mixed", "UNKNOWN", "NOT_SENT", "not_sent")[:1], {"inconsistent"}),
    ],
)
def test_an_outcome_that_is_not_what_happened_is_misjudged(world, planted, also):
    assert world.found(audit=planted) == {"misjudged"} | also


def test_a_closed_denial_of_what_was_applied_is_misjudged_and_lost(world):
    denied = [
        *turn("applied", "APPLIED", "NOT_APPLIED", "not_applied"),
        "DELETE FROM audit_auditentry WHERE attempt_id = :applied AND kind = 'RECORDED'",
    ]
    assert world.found(audit=denied, jobs=of(WITHOUT_JOB, "applied")) == {"misjudged", "lost"}


def test_a_wrong_ruling_of_a_person_is_misjudged(world):
    for ruling, name, found in (("applied", "not_applied", {"misjudged"}), ("not_applied", "not_applied", set())):
        decided = [
            "UPDATE audit_auditentry SET kind = 'DECIDED', body = "
            f"""'{{"ruling": "{ruling}"}}' WHERE attempt_id = :{name} AND kind = 'NOT_APPLIED'""",
            f"UPDATE audit_attempt SET outcome = 'decided_{ruling}', is_open = {ruling == 'applied'}, "
            f"job_owed = {ruling == 'applied'} WHERE attempt_id = :{name}",
        ]
        assert world.found(audit=decided) == found


def test_a_job_that_a_person_ruled_out_is_unaudited(world):
    decided = (
        """UPDATE audit_auditentry SET kind = 'DECIDED', body = '{"ruling": "not_applied"}' """
        "WHERE attempt_id = :applied AND kind = 'APPLIED'"
    )
    assert "unaudited" in world.found(
        audit=decided, jobs="UPDATE jobs_job SET evidence = 'decided' WHERE job_id = :applied"
    )


ROW = "UPDATE audit_attempt SET {} WHERE attempt_id = :{}"


@pytest.mark.parametrize(
    "planted",
    [
        ROW.format("outcome = 'applied'", "single"),
        ROW.format("outcome = 'pending'", "mixed"),
        ROW.format("is_open = 1", "single"),
        ROW.format("is_open = 0", "mixed"),
        ROW.format("job_owed = 1", "single"),
        ROW.format("customer_count = 7", "rejected"),
        of(WITHOUT_AUDIT, "rejected")[:1],
        of(WITHOUT_AUDIT, "rejected")[:2],
        "UPDATE audit_attemptcustomer SET cid = 'r2' WHERE cid = 'r1'",
        "UPDATE audit_auditentry SET kind = 'NOT_SENT' WHERE attempt_id = :applied AND kind = 'APPLIED'",
    ],
)
def test_a_row_that_says_something_else_than_the_events_is_inconsistent(world, planted):
    assert "inconsistent" in world.found(audit=planted)


def test_events_that_exclude_each_other_are_inconsistent(world):
    event = (
        "INSERT INTO audit_auditentry (sequence, attempt_id, kind, created_at, user_id, action_type, ip_address, body, "
        "previous_mac, mac, key_id) "
        "SELECT 1000000000, attempt_id, '{0}', created_at, user_id, action_type, ip_address, body, '', '', '' "
        "FROM audit_auditentry WHERE attempt_id = :{1} AND kind = 'INTENT'"
    )
    for kind, name in (("REJECTED", "single"), ("RECORDED", "rejected"), ("REFUSED", "unsent")):
        assert world.found(audit=event.format(kind, name)) == {"inconsistent"}
    evidence = world.evidence()
    evidence.attempts[str(world.ids["single"])].repeated.append("INTENT")
    assert len(judge(evidence).violations["inconsistent"]) == 1


def test_a_row_without_its_owner_is_damage(world):
    planted = "DELETE FROM jobs_job WHERE job_id = :single"
    assert world.found(jobs=planted) == {"damaged", "lost"}


def test_a_file_with_a_torn_page_is_damaged(world):
    file = world.folder / "jobs.db"
    content = bytearray(file.read_bytes())
    with closing(sqlite3.connect(file)) as database:
        [index_page] = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'job_by_user'").fetchone()
    content[(index_page - 1) * 4096 + 3 : (index_page - 1) * 4096 + 5] = b"\x00\x00"  # its number of cells
    file.write_bytes(content)
    assert "damaged" in world.found()


# -- What is open -------------------------------------------------------------------------------------------------


def test_what_reconcile_did_not_leave_to_a_person_must_be_closed(world):
    judgement = judge(world.evidence())
    assert (judgement.open, judgement.mixed, judgement.passed) == ([str(world.ids["mixed"])], [], False)


def test_what_was_left_to_a_person_without_a_reason_is_not_mixed(world):
    """No other attempt asked for its customer, so there was nothing that a reading could not tell."""
    opened = [
        "DELETE FROM audit_auditentry WHERE attempt_id = :not_applied AND kind = 'NOT_APPLIED'",
        "UPDATE audit_attempt SET outcome = 'unknown', is_open = 1 WHERE attempt_id = :not_applied",
    ]
    judgement = judge(world.evidence(audit=opened), [str(attempt_id) for attempt_id in world.ids.values()])
    assert not any(judgement.violations.values())
    assert set(judgement.open) == {str(world.ids["mixed"]), str(world.ids["not_applied"])}
    assert judgement.mixed == [str(world.ids["mixed"])]
    assert not judgement.passed


def test_what_an_earlier_lower_action_left_behind_is_no_reason_for_a_person(world):
    lower = "UPDATE audit_auditentry SET body = replace(body, 'PE-Enable', 'Trans-Begin') WHERE attempt_id = :sharing"
    over = "UPDATE audit_auditentry SET sequence = 0 WHERE attempt_id = :sharing AND kind = 'ACCEPTED'"
    mixed = [str(world.ids["mixed"])]
    assert world.judged(audit=lower).mixed == world.judged(audit=over).mixed == mixed
    assert world.judged(audit=[lower, over]).mixed == []


def test_what_never_happened_is_no_reason_for_a_person(world):
    for outcome in ("rejected", "not_sent"):
        assert world.judged(audit=turn("sharing", "ACCEPTED", outcome.upper(), outcome)).mixed == []


def test_every_kind_of_violation_is_planted_here():
    text = Path(__file__).read_text()
    assert [kind for kind in KINDS if f'"{kind}"' not in text] == []
