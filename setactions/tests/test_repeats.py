"""What comes twice: the same key, another's key, the same list."""

import uuid

import pytest
from django.utils import timezone

from audit import services as audit
from audit.actors import Actor
from audit.choices import Kind, Source
from jobs.models import Job
from setactions import service
from setactions.inputs.ids import from_json
from setactions.payload import make_submission
from setactions.tms.clusters import cluster_named
from tmsdash.tests.fixtures import TOKEN, signed_in

API = Actor(user_id="olivia", ip_address="127.0.0.1", source=Source.API)


def test_the_same_key_and_payload_gets_the_recorded_outcome(fetch, tms):
    key = uuid.uuid4()
    first = fetch(key=key)
    again = fetch(key=str(key).upper(), token="another-token")
    assert again.status_code == 200
    assert again.json() == first.json() | {"replayed": True}
    assert len(tms.calls()) == 1
    assert Job.objects.count() == 1


@pytest.mark.parametrize("fault", ["not-ready", "http:404", "http:500", "timeout", "unauthorized"])
def test_a_replay_has_the_code_of_the_recorded_outcome(fetch, tms, settings, fault):
    settings.TMS_DEADLINE_S = 1
    key = uuid.uuid4()
    first = fetch(key=key, token=f"fault:{fault}")
    again = fetch(key=key)
    assert again.status_code == first.status_code
    assert again.json() == first.json() | {"replayed": True}
    assert len(tms.calls()) == 1


def test_the_same_key_with_another_payload_is_refused(fetch, tms):
    key = uuid.uuid4()
    fetch(key=key)
    for change in ({"cids": ["a1"]}, {"cids": ["b2", "a1"]}, {"action": "T-Enable"}, {"action": "pe-enable"}):
        answer = fetch(key=key, **change)
        assert (answer.status_code, answer.json()["outcome"]) == (409, "refused")
    assert len(tms.calls()) == 1


def test_another_users_key_is_refused_without_a_word_about_it(fetch, tms, oscar):
    key = uuid.uuid4()
    fetch(key=key)
    answer = fetch(key=key, client=signed_in(oscar))
    assert answer.status_code == 409
    assert "olivia" not in answer.content.decode()
    assert answer.json()["attempt_id"] != str(key)
    assert len(tms.calls()) == 1


def test_a_refusal_does_not_use_up_the_key(fetch, tms, settings):
    key = uuid.uuid4()
    settings.TMS_PASSIVE = True
    assert fetch(key=key).status_code == 503
    settings.TMS_PASSIVE = False
    assert fetch(key=key).json()["job_id"] == str(key)


@pytest.fixture
def interrupted(tms, olivia):
    """The key of an attempt whose server died during the call: an INTENT and nothing else."""
    key = uuid.uuid4()
    submission = make_submission(cluster_named("evian3"), "PE-Enable", from_json(["a1", "b2"]))
    intent = service.intent_of(API, submission, send_again=False, batch=None)
    audit.open_attempt(key, API, intent, accepted_since=timezone.now(), wait_s=1)
    return key


def test_the_same_key_while_it_runs_is_pending(fetch, tms, interrupted):
    answer = fetch(key=interrupted)
    assert (answer.status_code, answer.json()["outcome"]) == (409, "pending")
    assert tms.calls() == []


def test_its_list_under_another_key_is_refused_as_being_sent(fetch, tms, interrupted):
    answer = fetch()
    assert (answer.status_code, answer.json()["duplicate_of"]) == (409, str(interrupted))
    assert "is being sent" in answer.json()["message"]


def test_an_intent_without_an_outcome_is_unknown_once_it_is_old(fetch, tms, settings, interrupted):
    settings.TMS_OPEN_AFTER_S = -1
    answer = fetch(key=interrupted)
    assert (answer.status_code, answer.json()["outcome"]) == (502, "unknown")
    assert tms.calls() == []


def test_what_was_read_back_is_told_with_its_evidence(fetch, tms, interrupted):
    audit.record_events(interrupted, [(Kind.NOT_APPLIED, {})], wait_s=1)
    body = fetch(key=interrupted).json()
    assert (body["status"], body["outcome"], body["evidence"]) == ("error", "not_applied", "read_back")
    assert body["job_id"] is None


def test_what_was_read_back_as_applied_is_accepted(fetch, tms, interrupted):
    audit.record_events(interrupted, [(Kind.APPLIED, {})], wait_s=1)
    assert fetch(key=interrupted).status_code == 202
    audit.record_events(interrupted, [(Kind.RECORDED, {})], wait_s=1)
    answer = fetch(key=interrupted)
    assert answer.status_code == 200
    assert answer.json()["evidence"] == "read_back"
    assert (answer.json()["outcome"], answer.json()["job_id"]) == ("accepted", str(interrupted))


def test_an_accepted_action_without_its_job_yet_is_202_with_the_id_to_come(fetch, tms, interrupted):
    audit.record_events(interrupted, [(Kind.ACCEPTED, {"http_status": 200})], wait_s=1)
    answer = fetch(key=interrupted)
    assert answer.status_code == 202
    assert (answer.json()["outcome"], answer.json()["job_id"]) == ("accepted", str(interrupted))


def test_the_same_list_again_is_refused_unless_meant(fetch, tms):
    first = fetch(cids=["a", "b"]).json()["attempt_id"]
    answer = fetch(cids=["b", "a"], action="pe-enable")
    assert answer.status_code == 409
    assert answer.json()["duplicate_of"] == first
    assert "was accepted" in answer.json()["message"]
    assert fetch(cids=["c"]).status_code == 200
    assert fetch(cids=["a", "b"], action="T-Enable").status_code == 200
    assert fetch(cids=["b", "a"], sendAgain=True).status_code == 200
    assert len(tms.calls()) == Job.objects.count() == 4


def test_a_list_with_an_unknown_outcome_is_not_sent_again_by_accident(fetch, tms, settings):
    settings.TMS_DUPLICATE_WINDOW_S = 0
    first = fetch(token="fault:http:500").json()["attempt_id"]
    answer = fetch()
    assert (answer.status_code, answer.json()["duplicate_of"]) == (409, first)
    assert "has no known outcome" in answer.json()["message"]


def test_a_rejected_list_may_be_sent_again_at_once(fetch, tms):
    fetch(token="fault:not-ready")
    assert fetch(token=TOKEN).status_code == 200
