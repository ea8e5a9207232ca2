"""What several processes find is what one finds, in the same order and words."""

import os
import signal

import pytest
from django.core.management import CommandError, call_command

from audit.actors import Actor
from audit.proof import projection, stretches, verification
from audit.proof.closed_periods import archive
from audit.proof.seals import write_seal
from audit.proof.tests.test_verify import FAKE, SWAPPED, restored
from audit.proof.verification import verify, verify_since
from audit.proof.walk import Point
from audit.tests.making import tampering
from audit.tests.sealing import back_to_yesterday, head
from tmsdash import cores
from tmsdash.cores import Workers
from tmsdash.tests.tools import in_thread

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir", "small_tasks")


def end_self(task):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def small_tasks(monkeypatch):
    """Chains are short here, so stretches and parts are, too."""
    monkeypatch.setattr(stretches, "LENGTH", 3)
    monkeypatch.setattr(stretches, "MIN_ENTRIES", 0)
    monkeypatch.setattr(projection, "MIN_ATTEMPTS", 2)
    for module in (cores, stretches, projection):
        monkeypatch.setattr(module, "cores", lambda: 2)


@pytest.fixture(scope="module")
def pool():
    """Two workers for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch, Workers() as workers:
        patch.setattr(cores, "cores", lambda: 2)
        yield workers


class Shared:
    """Workers that outlive their block, and note what was asked of them."""

    def __init__(self, workers):
        self._workers, self.tasks, self.doubted = workers, 0, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def answers(self, work, tasks):
        for task, answer in self._workers.answers(work, tasks):
            self.tasks += 1
            self.doubted += answer is None or bool(getattr(answer, "doubted", None))
            yield task, answer


@pytest.fixture
def shared(pool, monkeypatch):
    workers = Shared(pool)
    monkeypatch.setattr(verification, "Workers", lambda: workers)
    return workers


def alone(monkeypatch, look):
    with monkeypatch.context() as patch:
        for module in (stretches, projection):
            patch.setattr(module, "cores", lambda: 1)
        return look()


@pytest.mark.parametrize(
    ("statements", "is_doubted"),
    [
        ((), False),
        (["UPDATE audit_auditentry SET user_id = 'eve' WHERE sequence = 1"], True),
        (["UPDATE audit_auditentry SET previous_mac = mac WHERE sequence = 4"], True),  # the first of a stretch
        (["UPDATE audit_auditentry SET previous_mac = '', mac = '' WHERE sequence = 3"], True),
        (["UPDATE audit_auditentry SET key_id = 'x' WHERE sequence IN (3, 9)"], True),
        (["UPDATE audit_auditentry SET body = 'no json' WHERE sequence = 4"], True),
        (["DELETE FROM audit_auditentry WHERE sequence = 7"], False),  # between two stretches
        (["DELETE FROM audit_auditentry WHERE sequence IN (3, 4)"], True),
        (["DELETE FROM audit_auditentry WHERE sequence > 6"], True),
        (["DELETE FROM audit_auditentry"], True),
        (["UPDATE audit_auditentry SET sequence = sequence + 1000000000000"], True),
        (SWAPPED, True),
        ([FAKE.format(10)], True),
        ([FAKE.format(-1)], True),
        (["DELETE FROM audit_chainhead"], False),
        (["UPDATE audit_attempt SET outcome = 'rejected' WHERE user_id = 'olivia'"], True),
        (["UPDATE audit_attemptcustomer SET cid = 'x' WHERE cid = 'a1'"], True),
    ],
)
def test_what_is_found_does_not_depend_on_the_number_of_processes(audited, shared, monkeypatch, statements, is_doubted):
    write_seal(head())
    with tampering() as cursor:
        for statement in statements:
            cursor.execute(statement)
    points = [Point(2, "0" * 16, "the anchor x"), Point(8, "1" * 16, "the anchor y"), Point(99, "", "the anchor z")]
    one = alone(monkeypatch, lambda: (verify(points), verify_since(None)))
    assert shared.tasks == 0
    assert (verify(points), verify_since(None)) == one
    assert shared.tasks > 0
    assert bool(shared.doubted) is is_doubted  # so both ways are taken


@pytest.mark.parametrize(("command", "undone"), [("audit_verify", "nothing is proven"), ("audit_seal", "was sealed")])
def test_a_worker_that_is_killed_ends_the_command_with_a_next_step(audited, monkeypatch, command, undone):
    monkeypatch.setattr(stretches, "prove", end_self)
    with pytest.raises(CommandError, match=rf"{undone}\. A process .* Run the command again\."):
        call_command(command)


def test_what_several_processes_look_at_is_counted_on_the_way(audited, shared):
    steps = []
    assert verify(on_step=steps.append).is_whole
    assert sum(steps) == 9 + 4


def test_a_restored_backup_is_known_to_all_stretches_behind_it(audited, shared, monkeypatch):
    with back_to_yesterday():
        restored()
        write_seal(head())
    restored()
    for _ in range(9):
        restored()
    one = alone(monkeypatch, verify)
    assert (one.findings, one.superseded) == ([], 1)
    assert verify() == one


@pytest.mark.sqlite  # on PostgreSQL an archive waits for whoever reads
def test_entries_that_are_archived_meanwhile_are_read_as_they_were_at_the_beginning(old, shared, monkeypatch, tmp_path):
    tasks = stretches._tasks

    def behind_an_archive(*arguments):
        in_thread(archive, 2, tmp_path, Actor(user_id="ops"))
        yield from tasks(*arguments)

    monkeypatch.setattr(stretches, "_tasks", behind_an_archive)
    found = verify()
    assert (found.findings, found.entries, found.archives) == ([], 7, 0)
    assert shared.doubted
