"""What is changed in the audit past the product is found, and named; what nobody changed is whole."""

import pytest
from django.db import connections

from audit.actors import Actor
from audit.choices import Kind
from audit.models import GENESIS, AuditEntry
from audit.proof import append_only, seals
from audit.proof.seals import write_seal
from audit.proof.verification import verify
from audit.proof.walk import Point
from audit.services import record_fact
from audit.tests.making import make_attempt, tampering
from audit.tests.sealing import CHANGED, back_to_yesterday, head, run

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")


def found_after(*statements, **kwargs):
    with tampering() as cursor:
        for statement in statements:
            cursor.execute(statement)
            assert cursor.rowcount, statement
    found = verify(**kwargs)
    assert found.is_whole is (found.findings == [])
    return [f"{finding.where}: {finding.problem}" for finding in found.findings]


def test_what_nobody_changed_is_whole(audited):
    write_seal(head())
    entry = AuditEntry.objects.get(sequence=4)
    found = verify([Point(4, entry.mac[:16], "the log")])
    assert (found.is_whole, found.findings) == (True, [])
    assert (found.entries, found.attempts, found.seals, found.anchors) == (9, 4, 1, 1)
    assert found.last == f"9:{head().mac[:16]}"


def test_an_audit_without_any_entry_is_whole():
    found = verify()
    assert (found.is_whole, found.entries, found.last) == (True, 0, f"0:{GENESIS[:16]}")


# -- Tampering with the rows --------------------------------------------------------------------------------------

FAKE = (
    "INSERT INTO audit_auditentry (sequence, attempt_id, kind, created_at, user_id, action_type, ip_address, body, "
    "previous_mac, mac, key_id) SELECT {0}, NULL, 'SIGNED_IN', created_at, 'eve', '', '', '{{}}', previous_mac, mac, "
    "key_id FROM audit_auditentry WHERE sequence = 9"
)
SWAPPED = (
    "UPDATE audit_auditentry SET sequence = 1000 WHERE sequence = 3",
    "UPDATE audit_auditentry SET sequence = 3 WHERE sequence = 4",
    "UPDATE audit_auditentry SET sequence = 4 WHERE sequence = 1000",
)


@pytest.mark.parametrize(
    ("statements", "first"),
    [
        (["UPDATE audit_auditentry SET user_id = 'eve' WHERE sequence = 4"], f"entry 4: {CHANGED}"),
        (["UPDATE audit_auditentry SET ip_address = '' WHERE sequence = 8"], f"entry 8: {CHANGED}"),
        (["UPDATE audit_auditentry SET kind = 'NOT_SENT' WHERE sequence = 5"], f"entry 5: {CHANGED}"),
        (["UPDATE audit_auditentry SET attempt_id = NULL WHERE sequence = 5"], f"entry 5: {CHANGED}"),
        (["UPDATE audit_auditentry SET action_type = '' WHERE sequence = 1"], f"entry 1: {CHANGED}"),
        (
            ["UPDATE audit_auditentry SET created_at = '2026-01-01 00:00:00.000000' WHERE sequence = 2"],
            f"entry 2: {CHANGED}",
        ),
        (
            ["""UPDATE audit_auditentry SET body = REPLACE(body, '"a1"', '"a2"') WHERE sequence = 1"""],
            f"entry 1: {CHANGED}",
        ),
        *(
            (
                [f"UPDATE audit_auditentry SET body = '{body}' WHERE sequence = {sequence}"],
                f"entry {sequence}: {CHANGED}",
            )
            for sequence in (1, 5, 7)
            for body in ("no json", "[]", "{}", "null", '{"cids": 7}', "")
        ),
        (
            ["DELETE FROM audit_auditentry WHERE sequence = 7"],
            "entry 8: It follows entry 6: entry 7 is missing.",
        ),
        (
            ["DELETE FROM audit_auditentry WHERE sequence IN (4, 5)"],
            "entry 6: It follows entry 3: the entries 4 to 5 are missing.",
        ),
        (
            ["DELETE FROM audit_auditentry WHERE sequence = 1"],
            "entry 2: It follows entry 0: entry 1 is missing, and not in the archives either.",
        ),
        (SWAPPED, "entry 3: The entry before it is not the one that was there when it was written."),
        ([FAKE.format(10)], "entry 10: The entry before it is not the one that was there when it was written."),
        ([FAKE.format(-1)], "entry -1: It follows entry 0: two entries changed places, or one is there twice."),
        (
            ["DELETE FROM audit_auditentry WHERE sequence > 7"],
            "entry 8: It is missing, and so is everything after it: the head says that the chain ends with entry 9.",
        ),
        (
            ["DELETE FROM audit_auditentry"],
            "entry 1: It is missing, and so is everything after it: the head says that the chain ends with entry 9.",
        ),
        (["UPDATE audit_chainhead SET sequence = 8"], "head: It was changed: its signature does not match."),
        (["UPDATE audit_chainhead SET key_id = 'x'"], "head: It is signed with the key x, which is not known."),
        (
            ["DELETE FROM audit_chainhead"],
            "head: The head of the chain is missing, so nobody can tell where the chain ends.",
        ),
        (
            ["UPDATE audit_auditentry SET sequence = sequence + 100"],
            "entry 101: It follows entry 0: the entries 1 to 100 are missing, and not in the archives either.",
        ),
        (
            ["UPDATE audit_auditentry SET sequence = 20 WHERE sequence = 9"],
            "entry 20: It follows entry 8: the entries 9 to 19 are missing.",
        ),
    ],
)
def test_the_first_bad_entry_is_named(audited, statements, first):
    assert found_after(*statements)[0] == first


@pytest.mark.sqlite
@pytest.mark.parametrize("value", ["'x'", "9.5", "X'39'"])
def test_a_head_whose_sequence_is_no_number_is_found_by_all_commands(audited, value):
    [found] = found_after(f"UPDATE audit_chainhead SET sequence = {value}")
    assert found == "head: It was changed: its signature does not match."
    assert run("audit_verify")[0] == run("audit_seal")[0] == run("audit_archive", "--before", "2026-01-01")[0] == 3


@pytest.mark.sqlite
def test_a_second_head_is_found(audited):
    statement = "INSERT INTO audit_chainhead SELECT 0, sequence, mac, key_id, signature FROM audit_chainhead"
    assert found_after("PRAGMA ignore_check_constraints = ON", statement) == [
        "head: There is another head beside it, which the product did not write."
    ]


@pytest.mark.sqlite
def test_what_replace_did_is_found(audited):
    columns = "attempt_id, kind, created_at, 'eve', action_type, ip_address, body, previous_mac, mac, key_id"
    replace = (
        "REPLACE INTO audit_auditentry (sequence, attempt_id, kind, created_at, user_id, action_type, ip_address, "
        f"body, previous_mac, mac, key_id) SELECT sequence, {columns} FROM audit_auditentry WHERE sequence = 4"
    )
    assert found_after(replace) == [f"entry 4: {CHANGED}", *found_after(replace)[1:]]


def test_a_tail_that_was_cut_off_is_found_though_the_head_was_taken_back_with_it(audited):
    mac = AuditEntry.objects.get(sequence=7).mac
    found = found_after(
        "DELETE FROM audit_auditentry WHERE sequence > 7",
        f"UPDATE audit_chainhead SET sequence = 7, mac = '{mac}'",
    )
    assert found[0] == "head: It was changed: its signature does not match."


@pytest.mark.sqlite
@pytest.mark.parametrize("event", ["update", "delete", "insert"])
def test_a_trigger_that_is_gone_or_another_is_found(audited, event):
    name = f"audit_auditentry_{event}"
    with connections["audit"].cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {name}")
    assert [finding.problem for finding in verify().findings] == [f"The trigger {name} is missing."]
    with connections["audit"].cursor() as cursor:
        cursor.execute(f"CREATE TRIGGER {name} BEFORE {event.upper()} ON audit_auditentry BEGIN SELECT 1; END")
        cursor.execute("CREATE TRIGGER mine AFTER INSERT ON audit_attempt BEGIN SELECT 1; END")
    assert [finding.problem for finding in verify().findings] == [
        f"The trigger {name} was changed.",
        "Database audit: the trigger mine has no business there.",
    ]
    with connections["audit"].cursor() as cursor:
        cursor.execute("DROP TRIGGER mine")


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DROP TRIGGER {0} ON audit_auditentry", "is missing"),
        ("ALTER TABLE audit_auditentry DISABLE TRIGGER {0}", "was changed"),
        ("ALTER TABLE audit_auditentry ENABLE TRIGGER {0}", "was changed"),  # no longer always
        ("CREATE OR REPLACE FUNCTION {0}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", "was changed"),
        (
            "CREATE OR REPLACE TRIGGER {0} BEFORE DELETE ON audit_auditentry FOR EACH STATEMENT EXECUTE FUNCTION {0}()",
            "was changed",
        ),
        (
            "DROP TRIGGER {0} ON audit_auditentry; CREATE TRIGGER {0} BEFORE UPDATE OR DELETE OR TRUNCATE "
            "ON audit_auditentry FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION {0}(); "
            "ALTER TABLE audit_auditentry ENABLE ALWAYS TRIGGER {0}",
            "was changed",
        ),
        (
            "DROP TRIGGER {0} ON audit_auditentry; CREATE TRIGGER {0} BEFORE UPDATE OF key_id OR DELETE OR TRUNCATE "
            "ON audit_auditentry FOR EACH STATEMENT EXECUTE FUNCTION {0}(); "
            "ALTER TABLE audit_auditentry ENABLE ALWAYS TRIGGER {0}",
            "was changed",
        ),
        (
            "DROP TRIGGER {0} ON audit_auditentry; CREATE TRIGGER {0} BEFORE UPDATE OR DELETE OR TRUNCATE "
            "ON audit_attempt FOR EACH STATEMENT EXECUTE FUNCTION {0}(); "
            "ALTER TABLE audit_attempt ENABLE ALWAYS TRIGGER {0}",
            "is missing",
        ),
    ],
)
def test_a_trigger_that_does_not_guard_any_more_is_found(audited, statement, problem):
    with connections["audit"].cursor() as cursor:
        cursor.execute(statement.format(append_only.TRIGGER))
    found = verify().findings
    with connections["audit"].cursor() as cursor:
        cursor.execute(f"DROP TRIGGER IF EXISTS {append_only.TRIGGER} ON audit_attempt")
    assert found[0].problem == f"The trigger {append_only.TRIGGER} {problem}."


# -- Yesterday's database, and what was kept outside --------------------------------------------------------------


def test_yesterdays_database_is_whole_but_for_a_seal_or_an_anchor(audited):
    write_seal(head())
    with back_to_yesterday():
        make_attempt(Kind.ACCEPTED)
        anchor = head()
    assert verify().is_whole
    found = verify([Point(anchor.sequence, anchor.mac[:16], "the anchor 11")])
    assert (found.is_whole, found.is_chain_whole, found.findings) == (False, True, [])
    assert [(finding.where, finding.problem) for finding in found.unfit_anchors] == [
        ("entry 11", "the anchor 11 names it, but it is not there: the chain ends with entry 9.")
    ]
    with back_to_yesterday():
        make_attempt(Kind.ACCEPTED)
        seal = write_seal(head())
    expected = f"{seal.name} names it, but it is not there: the chain ends with entry 9."
    assert [finding.problem for finding in verify().findings] == [expected]
    make_attempt(Kind.ACCEPTED)  # the chain grows over it
    assert [finding.problem for finding in verify().findings] == [f"{seal.name} names another entry with this number."]


def restored():
    """Note what `restore` notes."""
    body = {"change": "restored", "what": "databases", "seals": seals.last_numbers()}
    record_fact(Kind.SETTING_CHANGED, body, actor=Actor(user_id="ops"), wait_s=5)


def test_after_a_restored_backup_seals_of_what_it_replaced_are_no_surprise(audited):
    write_seal(head())
    with back_to_yesterday():
        for _ in range(2):
            make_attempt()
            write_seal(head())
        anchor = head()
    restored()
    found = verify()
    assert (found.findings, found.seals, found.superseded) == ([], 3, 2)
    assert "(2 of the seals are of a history that a restored backup replaced)" in run("audit_verify")[1]
    make_attempt()
    make_attempt()
    assert (verify().findings, verify().superseded) == ([], 2)
    assert run("audit_seal")[0] == 0
    assert (verify().findings, verify().superseded) == ([], 2)
    # An anchor was given for a reason, and later seals are of what came after.
    [unfit] = verify([Point(anchor.sequence, anchor.mac[:16], "the anchor")]).unfit_anchors
    assert unfit.problem.endswith("Entry 10 notes a restored backup: anchors from before that cannot match.")
    with back_to_yesterday():
        make_attempt()
        write_seal(head())
    assert not verify().is_whole


def test_a_restore_that_nobody_signed_excuses_nothing(audited):
    with back_to_yesterday():
        make_attempt()
        write_seal(head())
    record_fact(
        Kind.SETTING_CHANGED, {"change": "x", "seals": seals.last_numbers()}, actor=Actor(user_id="e"), wait_s=5
    )
    with tampering() as cursor:
        cursor.execute("""UPDATE audit_auditentry SET body = REPLACE(body, '"x"', '"restored"') WHERE sequence = 10""")
    found = verify()
    assert [finding.where for finding in found.findings][:2] == ["entry 10", "entry 10"]
    assert found.superseded == 0


def test_an_anchor_of_another_entry_is_found(audited):
    [finding] = verify([Point(4, "0123456789abcdef", "the anchor x")]).unfit_anchors
    assert (finding.where, finding.problem) == ("entry 4", "the anchor x names another entry with this number.")
