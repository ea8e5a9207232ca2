"""Runners that are gone, and chunks in doubt: what is found out about them, and by whom."""

import uuid
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from audit.actors import Actor
from audit.choices import Source
from audit.models import Attempt
from jobs import leases
from jobs.batches import ledger
from jobs.models import Batch, BatchChunk, Job
from setactions.batches.recovery import catch_up
from setactions.batches.runner import Runner
from setactions.liveness import RunnerMark, has_living_runner, is_dead
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import threads, until

State = BatchChunk.State
pytestmark = pytest.mark.usefixtures("databases")
ELSEWHERE = "another-host:1.2:0123"


def test_a_mark_shows_a_runner_alive_until_it_is_taken_down():
    mark = RunnerMark()
    mark.put_up()
    assert not is_dead(mark.name)
    mark.take_down()
    assert is_dead(mark.name)


@pytest.mark.parametrize("name", ["", "odd", ELSEWHERE])
def test_of_others_nobody_here_knows_that_they_are_dead(name):
    assert not is_dead(name)


def test_a_server_that_cannot_mark_a_batch_as_running_says_so_and_sends_nothing(
    operator, make_batch, tms, settings, tmp_path, caplog
):
    batch = make_batch()
    ledger.stop(batch, "")
    (tmp_path / "runners").touch()  # no folder
    settings.VAR_DIR = tmp_path
    page = operator.post(f"/batches/{batch.batch_id}/resume/", {"token": TOKEN})
    assert (page.status_code, tms.calls()) == (503, [])
    assert "This server cannot run a batch now, because it cannot use its own folder." in page.text
    assert f"not run. {tmp_path / 'runners'}: " in caplog.text


def carried_elsewhere(batch, lease_s):
    """Let a runner on another host hold the batch, with its first chunk claimed."""
    assert ledger.lease(batch, ELSEWHERE, lease_s)
    return ledger.claim(batch, ELSEWHERE, 2)


def over(batch):
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now() - timedelta(seconds=1))
    return Batch.objects.get(pk=batch.pk)


def test_a_runner_that_extended_its_lease_just_before_it_was_taken_for_dead_goes_on(make_batch):
    carried_elsewhere(batch := make_batch(), -1)
    over = Batch.objects.get()
    assert leases.heartbeat(batch, ELSEWHERE, 60)  # as after a freeze
    catch_up(over)
    assert (Batch.objects.get().runner, Batch.objects.get().state) == (ELSEWHERE, Batch.State.RUNNING)


def test_the_lease_of_another_host_is_waited_for(make_batch, run, tms):
    batch = make_batch(count=4)
    carried_elsewhere(batch, 60)
    batch.refresh_from_db()
    assert has_living_runner(batch)
    assert catch_up(batch) == 0
    assert not Runner(batch, Actor(user_id="olivia", source=Source.BATCH), Token(TOKEN), workers=1).lease()
    assert batch.chunks.get(number=0).state == State.CALLING
    batch = over(batch)
    assert not has_living_runner(batch)
    assert catch_up(batch) == 1  # nothing had been sent
    assert run(batch).state == Batch.State.DONE
    assert [list(call.cids) for call in tms.calls()] == [["c0", "c1"], ["c2", "c3"]]


def test_a_runner_that_lost_its_batch_claims_and_beats_no_more(make_batch):
    batch = make_batch(count=4)
    carried_elsewhere(batch, 60)
    assert ledger.lease(over(batch), "me", 60)
    assert not leases.heartbeat(batch, ELSEWHERE, 60)
    assert ledger.claim(batch, ELSEWHERE, 2) is ledger.Idle.FOR_GOOD
    ledger.release(batch, ELSEWHERE, "late")
    assert Batch.objects.get(pk=batch.pk).runner == "me"


def test_the_batch_of_a_runner_that_is_known_to_be_dead_is_taken_at_once(make_batch, run, tms):
    batch, mark = make_batch(count=4), RunnerMark()
    mark.put_up()
    assert ledger.lease(batch, mark.name, 3600)
    ledger.claim(batch, mark.name, 2)
    mark.take_down()
    assert run(batch).state == Batch.State.DONE
    assert [list(call.cids) for call in tms.calls()] == [["c0", "c1"], ["c2", "c3"]]


def test_a_runner_gives_signs_of_life_while_a_call_runs(make_batch, run, tms, settings):
    settings.TMS_BATCH_LEASE_S = 1
    tms.script("fault:slow:3600")
    batch = make_batch(count=2)
    with threads() as submit:
        running = submit(run, batch)
        tms.wait_for(lambda calls: len(calls) == 1)
        first = Batch.objects.get(pk=batch.pk).runner_until
        until(lambda: Batch.objects.get(pk=batch.pk).runner_until > first + timedelta(seconds=1))
        tms.release()
        assert running.result(timeout=60).state == Batch.State.DONE


@pytest.fixture
def in_doubt(make_batch, run, tms, settings):
    """A batch whose first chunk has no known outcome, though TMS applied it."""
    settings.TMS_OPEN_AFTER_S = 0
    tms.script("fault:reset-after")
    batch = run(make_batch(count=4))
    assert batch.chunks.get(number=0).state == State.UNKNOWN
    return batch


def reconcile(*arguments):
    try:
        call_command("reconcile", *arguments)
    except SystemExit as ended:
        return ended.code
    return 0


def test_reconcile_takes_its_batch_along(in_doubt, monkeypatch):
    monkeypatch.setenv("TMS_TOKEN", TOKEN)
    assert reconcile() == 0
    chunk = in_doubt.chunks.get(number=0)
    assert (chunk.state, Job.objects.filter(batch_id=in_doubt.batch_id).count()) == (State.ACCEPTED, 2)


def test_what_is_decided_on_a_page_is_so_on_the_page_of_its_batch(in_doubt, olivia):
    client = signed_in(olivia)
    attempt = Attempt.objects.get(attempt_id=in_doubt.chunks.get(number=0).attempt_id)
    client.post(f"/attempts/{attempt.attempt_id}/check/", {"token": TOKEN})
    page = client.get(f"/batches/{in_doubt.batch_id}/").content.decode()
    assert "Done: TMS accepted every customer" in page
    assert in_doubt.chunks.get(number=0).state == State.ACCEPTED


def test_a_batch_that_was_restored_says_so_and_goes_on_only_if_somebody_wants_it(make_batch):
    waiting, done = make_batch(count=4), make_batch(count=2, batch_id=uuid.uuid4())
    Batch.objects.filter(pk=done.pk).update(state=Batch.State.DONE)
    carried_elsewhere(waiting, 60)
    assert ledger.stop_all("restored") == 1
    waiting.refresh_from_db()
    assert (waiting.state, waiting.reason, waiting.runner) == (Batch.State.STOPPED, "restored", "")
    assert Batch.objects.get(pk=done.pk).state == Batch.State.DONE
