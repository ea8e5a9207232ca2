"""App status runs that go through a real Redis, with tasks that are done when the test wants it, and real workers."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import leases
from jobs.app_status import ledger
from jobs.models import AppRun, AppStatus
from setactions.app_status import queued, service
from setactions.app_status.selection import Selection
from setactions.app_status.tests.running import counts, now, reads
from setactions.batches.tests.queue import queueing
from setactions.batches.tests.queue.queueing import RedisServer, Workers, use
from setactions.queue.watch import Watch
from setactions.refusal import Refusal
from setactions.resolving.tests.doubting import environment_of_process
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.broker import QUEUE
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import stored_bytes, text_of, until

pytestmark = [pytest.mark.usefixtures("databases", "engine"), getattr(pytest.mark, "redis-server")]
State = AppRun.State
CUSTOMERS = tuple(f"c{number}" for number in range(12))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    redis = RedisServer(tmp_path_factory.mktemp("redis"), "--save", "", "--appendonly", "no")
    yield redis
    redis.stop()


@pytest.fixture
def engine(settings, monkeypatch, server):
    """Let runs go through the queue, at once; nobody watches them but the test. A turn is one read."""
    settings.TMS_BATCH_ENGINE, settings.CELERY_BROKER_URL = "celery", server.url
    settings.TMS_READS_PER_MINUTE = 1_000_000
    for name in ("POLL_S", "TURN_S"):
        monkeypatch.setattr(queued, name, 0)
    watched = []
    monkeypatch.setattr(queued.relay.watch, "keep", watched.append)
    monkeypatch.setattr(queueing.queued, "carry", queued.carry)  # what the workers of the tests do
    use(server.url)
    server.client.flushall()
    yield watched
    use("memory://")


@pytest.fixture
def workers(server):
    return Workers(server)


@pytest.fixture
def begin(olivia, tms):
    def write(*cids, token=TOKEN):
        selection = Selection(cluster_named("evian3"), cids, "A pasted list")
        return service.start_run(user=olivia, selection=selection, token=Token(token))

    return write


def silent_for_half_a_lease(run):
    AppRun.objects.filter(pk=run.pk).update(runner_until=timezone.now() + timedelta(seconds=1))


def test_workers_read_each_customer_once_and_no_token_is_stored(begin, workers, tms):
    run = begin("a1", "b2", "c3")
    assert TOKEN not in workers.everything()
    assert reads(tms) == []
    workers.do_all()
    assert (now(run).state, now(run).reason, now(run).runner) == (State.DONE, "", "")
    assert reads(tms) == ["a1", "b2", "c3"]
    assert TOKEN.encode() not in stored_bytes()


def test_of_a_task_that_came_twice_one_goes_on(begin, workers, tms):
    run = begin(*CUSTOMERS)
    task = workers.take()
    workers.do(task)
    workers.do(task)  # it waits for whoever has its turn, and ends once they have sent the next one
    assert (len(workers.waiting()), reads(tms)) == (2, ["c0"])
    for _ in range(2):
        workers.do_next()
    assert len(workers.waiting()) == 1
    workers.do_all()
    assert (now(run).state, reads(tms)) == (State.DONE, [*CUSTOMERS])
    workers.do(task)  # late
    assert workers.waiting() == []
    assert reads(tms) == [*CUSTOMERS]


def test_a_task_goes_on_for_one_of_the_same_turn_that_was_silent_for_longer_than_a_turn_lasts(begin, workers, tms):
    run = begin("a1", "b2")
    task = workers.take()
    assert ledger.take_turn(run, now(run).runner, [task["turn"]], 60) == task["turn"] + 1  # by a worker that dies now
    workers.do(task)  # as the queue gives it to somebody else
    assert reads(tms) == []
    [again] = workers.waiting()
    workers.server.client.delete(QUEUE)
    workers.do(again | {"waited_s": 3600})
    workers.do_all()
    assert (now(run).state, reads(tms)) == (State.DONE, ["a1", "b2"])


def test_tasks_that_were_lost_are_sent_again_by_whoever_has_the_token(begin, workers, engine, server, tms):
    run = begin("a1", "b2", "c3")
    [watched] = engine
    old = workers.do_next()
    server.client.flushall()
    assert queued.relay.look_after(watched, is_working=False) is watched  # somebody has just extended its lease
    silent_for_half_a_lease(run)
    follower = queued.relay.look_after(watched, is_working=False)
    assert follower.name == now(run).runner != watched.name
    workers.do(old)  # late
    workers.do_all()
    assert (now(run).state, reads(tms)) == (State.DONE, ["a1", "b2", "c3"])


def test_operators_pause_a_run_go_on_without_a_token_and_stop_it(begin, workers, olivia, tms):
    client, run = signed_in(olivia), begin("a1", "b2", "c3")
    workers.do_next()
    client.post(f"/apps/{run.run_id}/pause/")
    for _ in range(3):
        workers.do_next()
    assert (now(run).state, reads(tms)) == (State.PAUSED, ["a1"])
    client.post(f"/apps/{run.run_id}/resume/")
    workers.do_next()
    assert reads(tms) == ["a1", "b2"]
    client.post(f"/apps/{run.run_id}/stop/")
    workers.do_all()
    assert (now(run).state, now(run).reason, now(run).runner) == (State.STOPPED, "Stopped by olivia.", "")
    assert reads(tms) == ["a1", "b2"]
    client.post(f"/apps/{run.run_id}/resume/", {"token": TOKEN})
    workers.do_all()
    assert (now(run).state, reads(tms)) == (State.DONE, ["a1", "b2", "c3"])


def test_what_one_worker_learned_of_a_failing_customer_the_next_one_knows(begin, workers, tms, monkeypatch):
    monkeypatch.setattr("setactions.app_status.reader.RETRY_S", 0)
    run = begin("a1", "b2", token="fault:http:404")
    workers.do_all()
    assert (now(run).state, counts(run)) == (State.DONE, {"failed": 2})
    assert sorted(reads(tms)) == ["a1"] * 3 + ["b2"] * 3
    assert not AppStatus.objects.exists()


def test_without_a_queue_nothing_is_read_and_the_run_says_why(begin, server):
    server.stop()
    try:
        with pytest.raises(Refusal, match="queue cannot be reached, so nothing is read") as refusal:
            begin("a1")
    finally:
        server.start()
    run = AppRun.objects.get()
    assert (refusal.value.code, run.state, run.runner) == (503, State.STOPPED, "")
    assert "cannot be reached" in run.reason


def test_a_token_that_was_sealed_under_another_key_stops_the_run_with_a_sentence(begin, workers, settings):
    run = begin("a1")
    settings.TOKEN_KEY = "another key that no worker here has had until now"
    workers.do_next()
    assert now(run).state == State.STOPPED
    assert "could not unseal the token" in now(run).reason


def test_a_run_without_a_worker_says_so_on_its_page(begin, olivia):
    run = begin("a1")
    leases.heartbeat(run, run.runner, 50)  # of ninety seconds
    assert "Waits for a worker Start a worker with celery -A tmsdash worker" in text_of(
        signed_in(olivia).get(f"/apps/{run.run_id}/")
    )


def test_a_run_outlives_a_worker_that_is_killed(begin, tms, settings, server, engine, tmp_path):
    """Two real workers, of which the one that reads is killed in the middle of a read."""
    environment = environment_of_process(tms, settings.VAR_DIR)
    environment |= {"TMS_BATCH_ENGINE": "celery", "CELERY_BROKER_URL": server.url, "TMS_READS_PER_MINUTE": "1000"}
    environment |= {"TMS_BATCH_LEASE_S": "6", "PYTHONWARNINGS": "ignore"}
    settings.TMS_BATCH_LEASE_S = 6
    command = [sys.executable, "-m", "celery", "-A", "tmsdash", "worker", "--loglevel", "info", "--concurrency", "1"]
    logs = [tmp_path / f"worker-{number}.log" for number in range(2)]
    processes = []
    try:
        for number, log in enumerate(logs):
            with log.open("w") as output:
                processes.append(
                    subprocess.Popen(
                        [*command, "--hostname", f"worker{number}@%h"],
                        cwd=settings.BASE_DIR,
                        env=environment,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                    )
                )
        for log in logs:
            until(lambda log=log: " ready." in log.read_text(), 20)
        run = begin(*CUSTOMERS[:6], token="fault:slow:0.3")
        Watch.keep(queued.relay.watch, *engine)  # as the server that has begun it
        until(lambda: AppStatus.objects.exists())
        reading = next(number for number, log in enumerate(logs) if "read_apps[" in log.read_text())
        os.killpg(processes[reading].pid, signal.SIGKILL)
        until(lambda: now(run).state not in ledger.UNFINISHED, 60)
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert (now(run).state, now(run).reason) == (State.DONE, "")
    assert sum(counts(run)[code] for code in ("ready", "failure", "unsettled") if code in counts(run)) == 6
    assert {*reads(tms)} == {*CUSTOMERS[:6]}
    assert len(reads(tms)) <= 7  # of which one was cut off
    shown = AppStatus.objects.values_list("customer__cid", "app_name")
    assert len({*shown}) == len(shown)  # nobody was written down twice
