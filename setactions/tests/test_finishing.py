"""What could not be recorded within the answer's few seconds is finished in the background, without anybody's doing."""

import sqlite3
import threading
import time
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, connections

from audit.choices import Outcome
from audit.models import Attempt
from jobs import groups
from jobs import services as jobs
from jobs.models import Job
from setactions import recording
from setactions.pages.tests.test_new_action import hidden_fields, press
from setactions.recording import Recorder
from setactions.resolving.tests.doubting import run
from setactions.tms import client as tms_client
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import in_thread, kinds_of, text_of

FINISH_LATER = Recorder.finish_later  # the tests' fixture `unfinished` takes its place
WAIT_S = 60

pytestmark = pytest.mark.usefixtures("databases", "tms", "quick")


class Background:
    """The background's threads, with a turn that each of their tries waits for in the place of a pause."""

    def __init__(self):
        self._turns = threading.Semaphore(0)
        self._pauses = threading.Semaphore(0)

    def sleep(self, seconds):
        """Stand in for the pause before each try in the background; the foreground's pauses are as they were."""
        if threading.current_thread().name != "finish-recording":
            time.sleep(seconds)
            return
        self._pauses.release()
        assert self._turns.acquire(timeout=WAIT_S)

    def await_pause(self):
        """Wait until it is about to try."""
        assert self._pauses.acquire(timeout=WAIT_S)
        self._pauses.release()

    def try_in_vain(self, times=1):
        """Let it try so often, and wait until it is about to try again."""
        for _ in range(times):
            assert self._pauses.acquire(timeout=WAIT_S)
            self._turns.release()
        self.await_pause()

    def try_and_end(self, times=1):
        """Let it try so often, and wait until it is done."""
        self._turns.release(times)
        for thread in self.threads():
            thread.join(WAIT_S)
        assert self.threads() == []

    @staticmethod
    def threads():
        return [thread for thread in threading.enumerate() if thread.name == "finish-recording"]


@pytest.fixture
def background(monkeypatch, unfinished):
    """The background as it is in production, but for its pauses."""
    background = Background()
    monkeypatch.setattr(Recorder, "finish_later", FINISH_LATER)
    monkeypatch.setattr(recording, "time", SimpleNamespace(sleep=background.sleep, monotonic=time.monotonic))
    yield background
    background.try_and_end(times=1000)


@pytest.fixture
def lock_after_reply(monkeypatch):
    """Another process locks a database as soon as TMS has answered; calling the result's `close` ends that."""
    others = []

    def arm(alias):
        original = tms_client.set_action
        path = connections[alias].settings_dict["NAME"]
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        others.append(other)

        def call_then_lock(*args):
            reply = original(*args)
            if not other.in_transaction:
                other.execute("BEGIN IMMEDIATE")
            return reply

        monkeypatch.setattr(tms_client, "set_action", call_then_lock)
        return other

    yield arm
    for other in others:
        other.close()


def send_by_form(client, token=TOKEN):
    """Send PE-Enable for two customers as people do; returns the address of the attempt's page."""
    data = {"cluster": "evian3", "action": "PE-Enable", "token": token, "cids": "b2, a1"}
    return press(client, "send/", hidden_fields(client.post("/review/", data, follow=True))).url


@pytest.mark.sqlite
def test_an_accepted_action_is_answered_even_if_there_is_no_thread_to_finish_it(
    olivia, tms, monkeypatch, lock_after_reply, caplog
):
    client, start = signed_in(olivia), threading.Thread.start

    def refuse(thread):
        if thread.name == "finish-recording":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(Recorder, "finish_later", FINISH_LATER)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    lock_after_reply("jobs")
    assert "its job is still being recorded" in text_of(client.get(send_by_form(client)))
    assert "can't start new thread; `reconcile` will finish this" in caplog.text


@pytest.mark.sqlite
@pytest.mark.parametrize("tries", [0, 3])
def test_a_job_that_a_lock_kept_from_being_written_is_there_after_the_lock(
    olivia, tms, background, lock_after_reply, tries
):
    client, other = signed_in(olivia), lock_after_reply("jobs")
    address = send_by_form(client)
    page = client.get(address)
    for words in ("Accepted", "its job is still being recorded", "The job will have the id"):
        assert words in text_of(page)
    assert 'http-equiv="refresh"' in page.content.decode()
    assert "accepted; its job is being recorded" in text_of(client.get("/jobs/"))
    background.try_in_vain(tries)
    assert not Job.objects.exists()
    other.close()
    background.try_and_end()
    job, attempt = Job.objects.get(), Attempt.objects.get()
    assert list(job.customers.values_list("cid", flat=True)) == ["b2", "a1"]
    assert (job.evidence, job.http_status, job.response_summary["success"]) == ("reply", 200, True)
    assert kinds_of(attempt.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert not attempt.is_open
    assert f'href="/jobs/{job.job_id}/"' in client.get(address).content.decode()
    assert len(tms.calls()) == 1


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("token", "outcome"),
    [
        (TOKEN, "ACCEPTED"),
        ("fault:not-ready", "REJECTED"),
        ("fault:http:404", "REJECTED"),
        ("fault:http:500", "UNKNOWN"),
    ],
)
def test_an_answer_that_the_audit_could_not_take_is_there_after_the_lock(
    fetch, background, lock_after_reply, token, outcome
):
    other = lock_after_reply("audit")
    told = fetch(token=token).json()
    assert told["outcome"] == outcome.lower()
    assert kinds_of(told["attempt_id"]) == ["INTENT"]
    assert Job.objects.count() == (outcome == "ACCEPTED")
    background.try_in_vain()
    assert kinds_of(told["attempt_id"]) == ["INTENT"]
    other.close()
    background.try_and_end()
    recorded = ["RECORDED"] if outcome == "ACCEPTED" else []
    assert kinds_of(told["attempt_id"]) == ["INTENT", outcome, *recorded]
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.is_open) == (told["outcome"], outcome == "UNKNOWN")
    assert attempt.http_status == told["httpStatus"]


@pytest.mark.sqlite
def test_with_both_databases_locked_nothing_is_lost(fetch, tms, background, lock_after_reply):
    jobs_lock, audit_lock = lock_after_reply("jobs"), lock_after_reply("audit")
    answer = fetch()
    assert (answer.status_code, answer.json()["outcome"]) == (202, "accepted")
    background.try_in_vain()
    jobs_lock.close()
    background.try_in_vain()
    assert Job.objects.get().job_id == Attempt.objects.get().attempt_id
    assert kinds_of(answer.json()["attempt_id"]) == ["INTENT"]
    audit_lock.close()
    background.try_and_end()
    assert kinds_of(answer.json()["attempt_id"]) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert Job.objects.count() == len(tms.calls()) == 1


@pytest.fixture
def failing_jobs(monkeypatch):
    """The jobs database takes no job until this is called."""
    original, failing = jobs.insert_unlogged, [True]

    def fail(job):
        if failing:
            raise DatabaseError("no")
        original(job)

    for module in (jobs, groups):
        monkeypatch.setattr(module, "insert_unlogged", fail)
    return failing.clear


def test_when_reconcile_was_quicker_the_background_ends_without_a_second_job(fetch, background, failing_jobs):
    attempt_id = fetch().json()["attempt_id"]
    background.await_pause()
    failing_jobs()
    assert in_thread(run, None).recorded == 1
    background.try_and_end()
    assert kinds_of(attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert Job.objects.count() == 1


@pytest.mark.usefixtures("impatient")
def test_when_it_was_read_back_meanwhile_what_tms_answered_counts(fetch, background, failing_jobs):
    attempt_id = fetch().json()["attempt_id"]
    background.await_pause()
    failing_jobs()
    in_thread(run)
    background.try_and_end()
    assert Attempt.objects.get(attempt_id=attempt_id).outcome == Outcome.ACCEPTED
    assert Job.objects.get().evidence == "reply"


@pytest.mark.parametrize("token", [TOKEN, "fault:not-ready", "fault:http:500", "fault:reset-after"])
def test_what_was_recorded_at_once_leaves_nothing_to_the_background(fetch, background, token):
    fetch(token=token)
    assert background.threads() == []


def test_the_background_gives_up_in_the_end_and_leaves_the_job_owed(fetch, background, failing_jobs, monkeypatch):
    monkeypatch.setattr(recording, "FINISH_PAUSES_S", (1, 1, 1))
    fetch()
    background.try_and_end(times=3)
    assert Attempt.objects.get().job_owed
    failing_jobs()
    assert in_thread(run, None).recorded == 1


def test_its_pauses_grow_and_last_about_an_hour():
    pauses = recording.FINISH_PAUSES_S
    assert list(pauses) == sorted(pauses)
    assert pauses[0] < 1
    assert 3000 < sum(pauses) < 7200
