"""The judge, on a world that the product made: clean it finds it clean, and what is planted it finds under its kind."""

import socket
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.models import Job
from setactions.devtools.proofs.evidence import Shown
from setactions.devtools.proofs.judge import KINDS, judge
from setactions.devtools.tests.worlds import HOST, WITHOUT_AUDIT, WITHOUT_JOB, of, turn

pytestmark = pytest.mark.sqlite


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
        "INSERT INTO jobs_jobcustomer (id, job_id, cid, position) "
        "SELECT 1000000000 * 1048576 + position, 1000000000, cid, position FROM jobs_jobcustomer "
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
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_judge*.py"))
    assert [kind for kind in KINDS if f'"{kind}"' not in text] == []
