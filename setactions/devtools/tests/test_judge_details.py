"""The judge looks into Jobs, answers and the audit: what is incomplete, not so, misjudged, contradictory or damaged."""

import sqlite3
from contextlib import closing

import pytest

from setactions.devtools.proofs.evidence import Shown
from setactions.devtools.proofs.judge import judge
from setactions.devtools.tests.worlds import WITHOUT_AUDIT, WITHOUT_JOB, of, turn

pytestmark = pytest.mark.sqlite

MOVE = "UPDATE jobs_jobcustomer SET"
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
        f"UPDATE jobs_jobcustomer SET id = id + 1, position = position + 1 WHERE {SECOND}",
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
        f"{MOVE} id = id + 2, position = position + 2 WHERE id IN (SELECT id FROM {CUSTOMERS})",
        f"{MOVE} id = id - 3, position = 0 WHERE id = (SELECT id FROM {CUSTOMERS} AND position = 3)",
        f"{MOVE} id = id - 1, position = 1 WHERE id = (SELECT id FROM {CUSTOMERS} AND position = 2)",
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
