"""`reconcile` with a token: attempts in doubt are closed where TMS's own states prove what happened, and only there."""

import pytest

from audit.choices import Kind, Outcome
from audit.selectors import outcome_body
from audit.tests.making import make_attempt, refuse
from jobs.models import Job
from setactions.devtools.simulator.fleet import Fleet
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    LOST_BEFORE,
    between_readings,
    in_words,
    now,
    reads,
    run,
    send,
    send_and_die,
    tms_does,
)
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import kinds_of, text_of

pytestmark = pytest.mark.usefixtures("databases", "tms", "impatient", "short_calls")


def assert_left_to_a_person(attempt, *others):
    report = run()
    assert (report.closed, report.recorded, report.need_token) == (0, 0, [])
    assert attempt.attempt_id in report.need_person
    assert set(report.need_person) <= {attempt.attempt_id, *(other.attempt_id for other in others)}
    assert (now(attempt).is_open, now(attempt).job_owed) == (True, False)
    assert not Job.objects.filter(job_id=attempt.attempt_id).exists()


# -- What is proven -----------------------------------------------------------------------------------------------


def test_what_tms_applied_without_our_knowing_gets_its_job_and_says_what_that_rests_on(fetch, olivia):
    attempt = send(fetch, "b2", "a1", token=LOST_AFTER, action="pe-enable")
    assert in_words(run()) == {"closed": 1, "recorded": 1}
    assert kinds_of(attempt.attempt_id) == ["INTENT", "UNKNOWN", "APPLIED", "RECORDED"]
    job = Job.objects.get()
    assert (job.job_id, job.user_id, job.evidence, job.http_status) == (attempt.attempt_id, "olivia", "read_back", None)
    assert list(job.customers.values_list("cid", flat=True)) == ["b2", "a1"]
    assert job.request_payload == {"action": "pe-enable", "cids": ["b2", "a1"]}
    assert [kept["counts"] for kept in job.response_summary["readings"]] == [{"2": 2}]
    assert "success" not in job.response_summary  # it is no answer of TMS
    answer = fetch(key=attempt.attempt_id, cids=["b2", "a1"], action="pe-enable")
    assert (answer.status_code, answer.json()["outcome"], answer.json()["evidence"]) == (200, "accepted", "read_back")
    assert answer.json()["job_id"] == str(attempt.attempt_id)
    for path in (f"/attempts/{attempt.attempt_id}/", f"/jobs/{attempt.attempt_id}/"):
        assert "confirmed by reading back" in text_of(signed_in(olivia).get(path))


def test_what_tms_shows_nothing_of_in_two_readings_was_not_applied_and_may_be_sent_again(fetch, tms, olivia):
    attempt = send(fetch, token=LOST_BEFORE)
    assert in_words(run()) == {"closed": 1}
    assert kinds_of(attempt.attempt_id) == ["INTENT", "UNKNOWN", "NOT_APPLIED"]
    assert len(outcome_body(attempt)["readings"]) == len(reads(tms)) == 2
    assert not Job.objects.exists()
    answer = fetch(key=attempt.attempt_id)
    assert (answer.status_code, answer.json()["outcome"], answer.json()["evidence"]) == (
        200,
        "not_applied",
        "read_back",
    )
    assert answer.json()["job_id"] is None
    page = text_of(signed_in(olivia).get(f"/attempts/{attempt.attempt_id}/"))
    assert "Not applied, confirmed by reading back" in page
    assert "Edit this list and send it again" in page
    assert fetch().json()["outcome"] == "accepted"  # no duplicate of something open


@pytest.mark.parametrize(
    ("point", "outcome"),
    [
        ("service: answered, nothing written", Outcome.APPLIED),
        ("service: intent in the audit", Outcome.NOT_APPLIED),
        ("service: transaction open, nothing sent", Outcome.NOT_APPLIED),
    ],
)
def test_an_attempt_whose_server_died_is_judged_alike(fetch, point, outcome):
    attempt = send_and_die(fetch, point)
    assert run().closed == 1
    assert now(attempt).outcome == outcome
    assert Job.objects.count() == (outcome == Outcome.APPLIED)


@pytest.mark.parametrize(("token", "outcome"), [(LOST_AFTER, Outcome.APPLIED), (LOST_BEFORE, Outcome.NOT_APPLIED)])
def test_after_an_earlier_step_of_the_usual_sequence_both_can_be_proven(fetch, token, outcome):
    assert send(fetch, action="Trans-Begin").outcome == Outcome.ACCEPTED
    assert send(fetch, action="PE-Enable").outcome == Outcome.ACCEPTED
    attempt = send(fetch, action="T-Enable", token=token)
    assert run().closed == 1
    assert now(attempt).outcome == outcome
    assert Job.objects.count() == 2 + (outcome == Outcome.APPLIED)


@pytest.mark.parametrize(("token", "outcome"), [(LOST_AFTER, Outcome.APPLIED), (LOST_BEFORE, Outcome.NOT_APPLIED)])
@pytest.mark.parametrize("harmless", ["rejected", "never sent", "refused", "on another cluster", "of other customers"])
def test_attempts_that_cannot_have_touched_the_customers_do_not_count(fetch, tms, token, outcome, harmless):
    attempt = send(fetch, token=token)
    if harmless == "rejected":
        assert send(fetch, token="fault:not-ready").outcome == Outcome.REJECTED
    elif harmless == "never sent":
        make_attempt(Kind.NOT_SENT, cluster_url=tms.url)
    elif harmless == "refused":
        refuse(cluster_url=tms.url)
    elif harmless == "on another cluster":
        make_attempt(Kind.ACCEPTED, Kind.RECORDED, cluster_url="http://127.0.0.1:2")
    else:
        assert send(fetch, "a", "b", "a12").outcome == Outcome.ACCEPTED
    assert run().closed == 1
    assert now(attempt).outcome == outcome


@pytest.mark.parametrize("token", [LOST_AFTER, LOST_BEFORE])
def test_no_list_at_all_proves_nothing_once_tms_accepted_something(fetch, monkeypatch, token):
    assert send(fetch, "z9").outcome == Outcome.ACCEPTED
    attempt = send(fetch, token=token)
    monkeypatch.setattr(Fleet, "actions", lambda *_: {})  # as of a TMS that was just started again
    assert run().need_person == [attempt.attempt_id]
    assert now(attempt).outcome == Outcome.UNKNOWN


def test_customers_without_the_action_that_tms_accepted_before_prove_nothing(fetch, tms, monkeypatch):
    assert send(fetch, action="Trans-Begin").outcome == Outcome.ACCEPTED
    attempt, original = send(fetch, action="PE-Enable", token=LOST_BEFORE), Fleet.actions
    tms_does(tms, "Trans-Begin", "other")
    monkeypatch.setattr(
        Fleet, "actions", lambda *args: {cid: state for cid, state in original(*args).items() if cid != "a1"}
    )
    assert run().need_person == [attempt.attempt_id]


@pytest.mark.parametrize(("token", "outcome"), [(LOST_AFTER, Outcome.APPLIED), (LOST_BEFORE, Outcome.NOT_APPLIED)])
@pytest.mark.parametrize("cid", ["a1", "a&b=c", "a+b", "%41", "ünï", "ALL"])
def test_a_single_customer_is_judged_by_its_own_state_whatever_its_id(fetch, tms, token, outcome, cid):
    tms_does(tms, "Trans-Begin", "a", "A", "b", "other")
    attempt = send(fetch, cid, token=token, allowUnusual=True)
    run()
    assert now(attempt).outcome == outcome
    assert reads(tms)[0] == (cid,)


# -- What is for a person -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [(LOST_BEFORE, TOKEN), (TOKEN, LOST_BEFORE), (LOST_AFTER, TOKEN)])
def test_a_list_that_was_sent_twice_shows_the_action_and_proves_nothing(fetch, tokens):
    attempts = [send(fetch, token=token) for token in tokens]
    [attempt] = [attempt for attempt in attempts if attempt.is_open]
    assert_left_to_a_person(attempt)
    assert Job.objects.count() == 1


def test_of_two_lost_lists_neither_is_proven(fetch):
    first, second = send(fetch, token=LOST_BEFORE), send(fetch, token=LOST_AFTER)
    assert_left_to_a_person(first, second)
    assert_left_to_a_person(second, first)


@pytest.mark.parametrize("token", [LOST_AFTER, LOST_BEFORE])
@pytest.mark.parametrize("is_earlier", [True, False], ids=["earlier", "later"])
def test_one_id_that_another_accepted_attempt_asked_for_too_spoils_the_list(fetch, token, is_earlier):
    if is_earlier:
        send(fetch, "c3", "b2")
    attempt = send(fetch, "a1", "b2", token=token)
    if not is_earlier:
        send(fetch, "b2", "c3")
    assert_left_to_a_person(attempt)


@pytest.mark.parametrize("moved_on", [("a1",), ("a1", "b2")], ids=["one", "all"])
@pytest.mark.parametrize("token", [LOST_AFTER, LOST_BEFORE])
def test_customers_that_moved_on_to_a_later_action_prove_nothing(fetch, tms, token, moved_on):
    attempt = send(fetch, token=token)
    tms_does(tms, "T-Enable", *moved_on)
    assert_left_to_a_person(attempt)


def test_customers_of_which_only_some_show_the_action_prove_nothing(fetch, tms):
    attempt = send(fetch, token=LOST_BEFORE)
    tms_does(tms, "PE-Enable", "a1")
    assert_left_to_a_person(attempt)


def test_a_lower_code_that_a_later_attempt_may_have_left_does_not_prove_that_nothing_was_applied(fetch):
    attempt = send(fetch, action="T-Enable", token=LOST_AFTER)
    assert send(fetch, action="PE-Enable").outcome == Outcome.ACCEPTED
    assert_left_to_a_person(attempt)


def test_a_lower_code_beside_another_open_attempt_does_not_either(fetch):
    other = send(fetch, "b2", "c3", action="PE-Finalize", token=LOST_BEFORE)
    attempt = send(fetch, action="T-Enable", token=LOST_BEFORE)
    assert_left_to_a_person(attempt, other)


def test_what_comes_between_the_readings_counts(fetch, tms, monkeypatch):
    attempt = send(fetch, action="T-Enable", token=LOST_BEFORE)
    between_readings(monkeypatch, lambda: send(fetch, "b2", action="PE-Enable"))
    assert_left_to_a_person(attempt)


def test_a_cluster_that_is_not_configured_any_more_needs_a_person_and_no_token(fetch, tms, settings):
    attempt = send(fetch, token=LOST_AFTER)
    settings.TMS_CLUSTERS = {"brooke": "http://127.0.0.1:2"}
    for token in (None, TOKEN):
        assert in_words(run(token)) == {"need_person": [attempt.attempt_id]}
    assert reads(tms) == []


@pytest.mark.parametrize("code", ["2", True, -1, None, 2.0, [2]], ids=repr)
def test_a_code_that_is_none_proves_nothing_for_its_customer(fetch, monkeypatch, code):
    attempt, original = send(fetch, token=LOST_BEFORE), Fleet.actions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fleet, "actions", lambda self, cids: original(self, cids) | {"b2": {"action_code": code}})
        assert_left_to_a_person(attempt)
    stranger = {"stranger": {"action_code": code}}
    monkeypatch.setattr(Fleet, "actions", lambda self, cids: original(self, cids) | stranger)
    assert run().closed == 1  # what is wrong with others is their affair
    assert now(attempt).outcome == Outcome.NOT_APPLIED


def test_a_customer_that_is_listed_under_another_spelling_proves_nothing(fetch, tms):
    attempt = send(fetch, "a1", "ß2", token=LOST_BEFORE)
    tms_does(tms, "Trans-Begin", "A1")
    assert_left_to_a_person(attempt)


@pytest.mark.parametrize("shown", [["c3"], []], ids=["some", "none"])
def test_a_tms_that_forgot_what_it_accepted_proves_nothing(fetch, tms, shown):
    """As one that is starting: its list of actions is not whole."""
    send(fetch, "a1", "c3", action="Trans-Begin")
    attempt = send(fetch, token=LOST_BEFORE)
    tms.reset()
    if shown:
        tms_does(tms, "Trans-Begin", *shown)
    assert_left_to_a_person(attempt)
