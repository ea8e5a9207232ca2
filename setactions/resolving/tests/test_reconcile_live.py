"""`reconcile` twice at once, and beside Set Actions that are running: each accepted action has exactly one Job."""

import threading

import pytest
from django.db import OperationalError

from audit import services
from audit.choices import ACCEPTED_OUTCOMES, Kind, Outcome
from audit.models import Attempt, AuditEntry
from audit.tests.making import record
from jobs.models import Job
from setactions.recording import Recorder
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    LOST_BEFORE,
    between_readings,
    in_words,
    now,
    run,
    send,
    send_and_die,
    tms_does,
)
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import WAIT_S, at_once, in_thread, kinds_of, threads

pytestmark = pytest.mark.usefixtures("databases", "tms", "impatient")
TMS_SAYS = {"message": "Sending action to migration services", "success": True}


@pytest.fixture
def under_way(fetch, tms, olivia):
    """A Set Action of a1 and b2 that TMS is working on; calling this lets TMS carry it out, and returns the answer."""
    with threads() as submit:
        answer = submit(fetch, client=signed_in(olivia), token="fault:slow:3600")
        tms.wait_for(lambda calls: len(calls) == 1)

        def finish():
            tms.release()
            return answer.result(WAIT_S)

        yield finish
        tms.release()


def after(monkeypatch, step, action):
    """Do something after a step of recording, once."""
    original, actions = getattr(Recorder, step), [action]

    def step_then_act(recorder, *args):
        result = original(recorder, *args)
        if actions:
            actions.pop()()
        return result

    monkeypatch.setattr(Recorder, step, step_then_act)


def assert_each_accepted_one_has_its_job():
    accepted = Attempt.objects.filter(outcome__in=ACCEPTED_OUTCOMES)
    assert sorted(Job.objects.values_list("job_id", flat=True)) == sorted(one.attempt_id for one in accepted)
    assert not accepted.filter(is_open=True).exists()
    for job in Job.objects.all():
        assert job.customers.count() == job.customer_count


def test_several_runs_at_once_make_each_job_and_each_event_once(fetch, tms):
    for number in range(6):
        send_and_die(fetch, "service: answer in the audit", f"a{number}", "b")
        send(fetch, f"c{number}", token=LOST_AFTER)
        send(fetch, f"d{number}", token=LOST_BEFORE)
    reports = at_once(4, lambda number: run(full=bool(number % 2)))
    assert not any(report.not_recorded for report in reports)
    run()
    assert Job.objects.count() == 12
    assert_each_accepted_one_has_its_job()
    assert not Attempt.objects.filter(is_open=True).exists()
    for kind, count in ((Kind.APPLIED, 6), (Kind.NOT_APPLIED, 6), (Kind.RECORDED, 12)):
        assert AuditEntry.objects.filter(kind=kind).count() == count


def test_beside_running_set_actions_nothing_is_lost_doubled_or_disturbed(fetch, tms, olivia):
    faults = ["", "fault:slow:0.05", "fault:not-ready", "fault:created", LOST_AFTER, LOST_BEFORE]
    clients, done = [signed_in(olivia) for _ in range(6)], threading.Event()
    reports = []

    def work(number):
        if number == 6:
            while not done.is_set():
                reports.append(run(full=len(reports) % 5 == 0))
            return []
        try:
            cids = ([f"c{number}-{turn}", f"d{number}"] for turn in range(8))
            return [
                fetch(client=clients[number], token=faults[(number + turn) % 6] or TOKEN, cids=pair, sendAgain=True)
                for turn, pair in enumerate(cids)
            ]
        finally:
            finished.append(number)
            if len(finished) == 6:
                done.set()

    finished: list[int] = []
    answers = [answer.json() for worker in at_once(7, work) for answer in worker]
    run()
    told = [answer["outcome"] for answer in answers]
    assert (len(told), told.count("accepted"), told.count("rejected"), told.count("unknown")) == (48, 24, 8, 16)
    assert {answer["attempt_id"] for answer in answers if answer["outcome"] == "accepted"} <= {
        str(job_id) for job_id in Job.objects.values_list("job_id", flat=True)
    }
    assert all(answer["data"] == TMS_SAYS for answer in answers if answer["outcome"] == "accepted")
    assert_each_accepted_one_has_its_job()
    applied = {call.cids for call in tms.calls() if call.applied}
    assert {tuple(job.customers.values_list("cid", flat=True)) for job in Job.objects.all()} <= applied
    assert reports
    assert not any(report.not_recorded for report in reports)


@pytest.mark.parametrize("step", ["write_answer", "write_recorded"])
def test_a_run_that_is_quicker_than_the_set_action_itself_changes_nothing_of_its_answer(fetch, monkeypatch, step):
    usual = [f"{number:032x}" for number in range(2)]
    expected = fetch(cids=usual[:1]).json()
    reports = []
    after(monkeypatch, step, lambda: reports.append(in_thread(run, None)))
    answer = fetch(cids=usual[1:])
    assert in_words(reports[0]) == ({"closed": 1, "recorded": 1} if step == "write_answer" else {})
    varying = {"attempt_id": answer.json()["attempt_id"], "job_id": answer.json()["job_id"]}
    assert (answer.status_code, answer.json()) == (200, expected | varying)
    assert kinds_of(varying["attempt_id"]) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert Job.objects.get(job_id=varying["job_id"]).response_summary == TMS_SAYS
    assert_each_accepted_one_has_its_job()


def test_an_answer_that_comes_after_it_was_read_back_as_not_applied_gets_its_job(tms, under_way):
    assert in_words(run()) == {"closed": 1}
    attempt = Attempt.objects.get()
    assert attempt.outcome == Outcome.NOT_APPLIED
    answer = under_way()
    assert (answer.status_code, answer.json()["outcome"]) == (200, "accepted")
    assert kinds_of(attempt.attempt_id) == ["INTENT", "NOT_APPLIED", "ACCEPTED", "RECORDED"]
    assert (now(attempt).outcome, Job.objects.get().evidence) == (Outcome.ACCEPTED, "reply")


def test_an_answer_that_comes_after_it_was_read_back_as_applied_makes_no_second_job(tms, under_way):
    tms_does(tms, "PE-Enable", "a1", "b2")
    assert in_words(run()) == {"closed": 1, "recorded": 1}
    answer = under_way()
    assert (answer.status_code, answer.json()["outcome"], answer.json()["data"]) == (200, "accepted", TMS_SAYS)
    assert kinds_of(answer.json()["attempt_id"]) == ["INTENT", "APPLIED", "RECORDED", "ACCEPTED"]
    assert Job.objects.count() == 1
    assert Attempt.objects.get().outcome == Outcome.ACCEPTED
    assert_each_accepted_one_has_its_job()


@pytest.mark.parametrize("was_applied", [True, False])
def test_an_answer_that_comes_between_the_readings_beats_them(monkeypatch, tms, under_way, was_applied):
    """Whatever the second reading shows: here that it was applied, or, overtaken, that it was not."""
    undo = [] if was_applied else [lambda: tms_does(tms, "Trans-Begin", "a1", "b2")]
    between_readings(monkeypatch, lambda: [under_way(), *(action() for action in undo)])
    report = run()
    attempt = Attempt.objects.get()
    assert (report.need_token, report.need_person) == ([], [])
    assert kinds_of(attempt.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert Job.objects.get().evidence == "reply"


def test_a_job_that_appears_between_the_readings_is_the_evidence_though_the_audit_missed_it(monkeypatch, under_way):
    def fail(*args, **kwargs):
        raise OperationalError("the disk is full")

    monkeypatch.setattr(services, "record_events", fail)
    between_readings(monkeypatch, under_way)
    run()
    assert kinds_of(Attempt.objects.get().attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert Job.objects.get().evidence == "reply"


def test_a_rejection_that_comes_between_the_readings_beats_them(fetch, monkeypatch):
    attempt = send_and_die(fetch, "service: intent in the audit")
    between_readings(monkeypatch, lambda: record(attempt, Kind.REJECTED))
    assert in_words(run()) == {}
    assert kinds_of(attempt.attempt_id) == ["INTENT", "REJECTED"]


def test_what_another_run_closes_between_the_readings_is_not_counted_twice(fetch, monkeypatch):
    send(fetch, token=LOST_BEFORE)
    others, reports = [run], []
    between_readings(monkeypatch, lambda: others and reports.append(in_thread(others.pop())))
    assert in_words(run()) == {}
    assert in_words(reports[0]) == {"closed": 1}


@pytest.mark.parametrize("fault", [LOST_AFTER, LOST_BEFORE])
def test_a_set_action_that_is_running_keeps_a_lower_code_from_proving_anything(tms, under_way, fetch, fault):
    attempt = send(fetch, "b2", "c3", action="T-Enable", token=fault)
    report = run()
    assert (now(attempt).outcome == Outcome.APPLIED) == (fault == LOST_AFTER)
    assert (attempt.attempt_id in report.need_person) == (fault == LOST_BEFORE)
