"""POST /proxy_fetch, row by row of what scripts rely on."""

import logging

import pytest

from audit.models import Attempt
from jobs.models import Job
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import kinds_of, text_of

pytestmark = pytest.mark.pages


def assert_refused(answer, code, field, tms):
    """Nothing sent, no job, recorded as REFUSED under the id that the answer names, with the sentence for the field."""
    body = answer.json()
    assert answer.status_code == code
    assert (body["status"], body["outcome"], body["job_id"]) == ("error", "refused", None)
    assert body["errors"][field]
    assert kinds_of(body["attempt_id"]) == ["REFUSED"]
    assert tms.calls() == []
    assert not Job.objects.exists()


def test_an_accepted_action_has_one_job_with_its_customers_in_order(fetch, tms):
    answer = fetch(cids=["b2", "a1", "b2", 7], action="pe-enable")
    body = answer.json()
    assert answer.status_code == 200
    job = Job.objects.get()
    assert body == {
        "status": "success",
        "outcome": "accepted",
        "attempt_id": str(job.job_id),
        "job_id": str(job.job_id),
        "message": "Sending action to migration services",
        "data": {"message": "Sending action to migration services", "success": True},
        "httpStatus": 200,
        "repeated": 1,
        "warnings": ["3 ids look unusual for a customer id (3 hexadecimal, but not of 32 characters): b2, a1, 7."],
    }
    assert list(job.customers.order_by("position").values_list("cid", flat=True)) == ["b2", "a1", "7"]
    assert (job.user_id, job.action_code, job.action_name, job.status) == ("olivia", 2, "PE-Enable", "success")
    assert (job.cluster_url, job.http_status, job.customer_count) == (tms.url, 200, 3)
    assert job.request_payload == {"action": "pe-enable", "cids": ["b2", "a1", "7"]}
    assert job.response_summary == body["data"]
    assert kinds_of(job.job_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    [call] = tms.calls()
    assert (call.action, call.cids, call.applied) == ("pe-enable", ("b2", "a1", "7"), True)


def test_what_tms_says_ends_as_a_sentence_before_ours(fetch, tms):
    message = fetch(token="fault:unauthorized").json()["message"]
    assert message.startswith("Invalid access token. ")


@pytest.mark.parametrize(
    ("fault", "outcome", "code", "tms_status"),
    [
        ("created", "accepted", 200, 201),
        ("echo-token-accepted", "accepted", 200, 200),
        ("extra-accepted", "accepted", 200, 200),
        ("not-ready", "rejected", 200, 200),
        ("unknown-ids:2", "rejected", 200, 200),
        ("echo-token", "rejected", 200, 200),
        ("unauthorized", "rejected", 502, 401),
        ("http:400", "rejected", 400, 400),
        ("http:403", "rejected", 403, 403),
        ("http:404", "rejected", 404, 404),
        ("http:429:5", "rejected", 429, 429),
        ("http:499", "rejected", 499, 499),
        ("http:408", "unknown", 502, 408),
        ("http:202", "unknown", 502, 202),
        ("http:204", "unknown", 502, 204),
        ("http-json:202", "unknown", 502, 202),
        ("http:500", "unknown", 502, 500),
        ("http-applied:500", "unknown", 502, 500),
        ("http:502", "unknown", 502, 502),
        ("http:503", "unknown", 502, 503),
        ("http:504", "unknown", 502, 504),
        ("http:301", "unknown", 502, 301),
        ("redirect", "unknown", 502, 302),
        ("redirect:307", "unknown", 502, 307),
        ("redirect:308", "unknown", 502, 308),
        ("timeout", "unknown", 504, None),
        ("timeout-applied", "unknown", 504, None),
        ("header-drip", "unknown", 504, None),
        ("body-drip", "unknown", 504, None),
        ("reset-before", "unknown", 502, None),
        ("reset-after", "unknown", 502, None),
        ("close-before", "unknown", 502, None),
        ("close-after", "unknown", 502, None),
        ("half-body", "unknown", 502, 200),
        ("broken-json", "unknown", 502, 200),
        ("html", "unknown", 502, 200),
        ("empty-list", "unknown", 502, 200),
        ("null", "unknown", 502, 200),
        ("empty-object", "unknown", 502, 200),
        ("success-string", "unknown", 502, 200),
        ("success-string-true", "unknown", 502, 200),
        ("nan", "unknown", 502, 200),
        ("no-body", "unknown", 502, 200),
        ("deep-json", "unknown", 502, 200),
        ("huge", "unknown", 502, 200),
        ("gzip-bomb", "unknown", 502, 200),
    ],
)
def test_every_answer_of_tms_has_its_outcome_its_code_and_its_traces(
    fetch, tms, settings, fault, outcome, code, tms_status
):
    settings.TMS_DEADLINE_S = 1 if code == 504 else 30
    answer = fetch(token=f"fault:{fault}")
    body = answer.json()
    assert (body["outcome"], answer.status_code, body["httpStatus"]) == (outcome, code, tms_status)
    assert len(tms.calls()) == 1
    attempt = Attempt.objects.get(attempt_id=body["attempt_id"])
    if outcome == "accepted":
        assert body["job_id"] == str(Job.objects.get().job_id)
        assert kinds_of(attempt.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
        assert not attempt.is_open
    else:
        assert body["status"] == "error"
        assert body["job_id"] is None
        assert not Job.objects.exists()
        assert kinds_of(attempt.attempt_id) == ["INTENT", outcome.upper()]
        assert attempt.is_open == (outcome == "unknown")
    if outcome == "unknown":
        assert "Do not send" in body["message"]
        assert "Check now" in body["message"]


def test_what_cannot_be_reached_was_not_sent(fetch, tms, settings):
    settings.TMS_CLUSTERS = {"gone": "http://127.0.0.1:2"}
    answer = fetch(url="http://127.0.0.1:2/tms/v1/set/action")
    body = answer.json()
    assert (answer.status_code, body["outcome"], body["httpStatus"]) == (502, "not_sent", None)
    assert kinds_of(body["attempt_id"]) == ["INTENT", "NOT_SENT"]


def test_why_nothing_was_sent_is_the_same_in_json_on_the_page_and_in_the_log(fetch, settings, operator, caplog):
    settings.TMS_CLUSTERS = {"gone": "http://127.0.0.1:2"}
    caplog.set_level(logging.WARNING)
    why = "The connection to 127.0.0.1:2 was refused, so nothing was sent"
    body = fetch(url="http://127.0.0.1:2/tms/v1/set/action").json()
    assert body["message"].startswith(why)
    assert "Once the cause is gone, you may send it again." in body["message"]
    assert why in text_of(operator.get(f"/attempts/{body['attempt_id']}/"))
    [line] = [line for line in caplog.messages if "REQUEST_ERROR" in line]
    assert why in line
    assert "Technical reason: Connection refused." in line
    read = fetch(url="http://127.0.0.1:2/tms/v1/get/action?cid=a", isPost=False)
    assert (read.status_code, read.json()["outcome"]) == (502, "not_sent")
    assert read.json()["message"].startswith(why)


def test_unusual_ids_are_sent_and_warned_about(fetch, tms):
    answer = fetch(cids=["0123456789abcdef" * 2, "0123456789ABCDEF" * 2, "739e12"])
    assert answer.status_code == 200
    unusual, case = answer.json()["warnings"]
    assert "739e12" in unusual
    assert "upper and lower case" in case


def test_503_is_a_rejection_only_where_the_setting_says_so(fetch, settings):
    settings.TMS_503_NOT_APPLIED = True
    answer = fetch(token="fault:http:503")
    assert (answer.status_code, answer.json()["outcome"]) == (
        502,
        "rejected",
    )  # our own 503 means that nothing was sent


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": 7}, "url"),
        ({"url": None}, "url"),
        ({"token": ""}, "token"),
        ({"token": "two words"}, "token"),
        ({"token": "t" * 8193}, "token"),
        ({"token": "tökén"}, "token"),
        ({"token": None}, "token"),
        ({"token": ["t"]}, "token"),
        ({"isPost": "true"}, "isPost"),
        ({"isPost": None}, "isPost"),
        ({"sendAgain": "yes"}, "sendAgain"),
        ({"postData": None}, "postData"),
        ({"postData": {"action": 2, "cids": ["a"]}}, "postData"),
        ({"postData": {"action": "PE-Disable", "cids": ["a"]}}, "action"),
        ({"postData": {"action": " PE-Enable", "cids": ["a"]}}, "action"),
        ({"postData": {"action": "PE-Enable", "cids": []}}, "cids"),
        ({"postData": {"action": "PE-Enable", "cids": "a"}}, "cids"),
        ({"postData": {"action": "PE-Enable"}}, "cids"),
    ],
)
def test_invalid_input_is_refused_with_its_field(fetch, tms, change, field):
    assert_refused(fetch(**change), 400, field, tms)


def test_all_that_is_wrong_is_named_at_once(fetch, tms):
    answer = fetch(token="", sendAgain=1, cids=[None])
    assert set(answer.json()["errors"]) == {"token", "sendAgain", "cids"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"isPost": true, "isPost": true}',
        b'{"isPost": NaN}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_body_that_is_no_plain_json_object_is_refused(olivia, tms, content):
    answer = signed_in(olivia).post("/proxy_fetch", content, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["outcome"] == "refused"
    assert tms.calls() == []


@pytest.mark.parametrize(
    "path", ["/tms/v1/get/action?cid=ALL", "/tms/v1/set/action?x=1", "/tms/v1/set", "/", "/tms/v1/set/action/"]
)
def test_a_path_that_does_not_fit_is_refused(fetch, tms, path):
    assert_refused(fetch(url=tms.url + path), 400, "url", tms)


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_a_body_that_is_sent_as_a_form_is_refused(olivia, tms, content_type):
    client = signed_in(olivia, enforce_csrf_checks=True)
    client.get("/")
    headers = {"X-CSRFToken": client.cookies["csrftoken"].value}
    answer = client.post("/proxy_fetch", b"--x--", content_type=content_type, headers=headers)
    assert (answer.status_code, answer.json()["outcome"]) == (400, "refused")


def test_repeated_slashes_in_the_url_are_collapsed(fetch, tms):
    assert fetch(url=f"{tms.url}//tms///v1/set/action").status_code == 200
    assert tms.calls()[0].path == "/tms/v1/set/action"


def test_a_target_outside_the_list_is_refused(fetch, tms):
    assert_refused(fetch(url="https://elsewhere.example/tms/v1/set/action"), 403, "url", tms)


def test_only_permitted_users_may(fetch, tms, audrey, adam, django_user_model):
    nobody = django_user_model.objects.create_user("nobody")
    assert_refused(fetch(client=signed_in(nobody)), 403, "user", tms)
    assert_refused(fetch(client=signed_in(audrey)), 403, "user", tms)
    adam.groups.add(audrey.groups.get())
    assert_refused(fetch(client=signed_in(adam)), 403, "user", tms)  # an auditor never, not even as a superuser
    assert Attempt.objects.filter(outcome="refused").count() == 3  # each under an id of its own
    adam.groups.clear()
    assert fetch(client=signed_in(adam)).status_code == 200


def test_without_sign_in_or_csrf_token_nothing_is_sent(fetch, tms, olivia, client):
    assert fetch(client=client).status_code == 401
    strict = signed_in(olivia, enforce_csrf_checks=True)
    answer = fetch(client=strict)
    assert (answer.status_code, answer.json()["outcome"]) == (403, "refused")
    olivia.is_active = False
    olivia.save()
    assert fetch(client=strict).status_code == 401
    assert tms.calls() == []


def test_other_methods_are_answered_in_json(olivia):
    answer = signed_in(olivia).get("/proxy_fetch")
    assert (answer.status_code, answer.json()["outcome"]) == (405, "refused")


def test_too_many_ids_are_refused_with_a_pointer_to_batches(fetch, tms, settings):
    settings.TMS_MAX_CIDS_PER_CALL = 3
    answer = fetch(cids=["a", "b", "c", "d"])
    assert_refused(answer, 413, "cids", tms)
    assert "batches" in answer.json()["message"]
    assert fetch(cids=["a", "b", "c", "c"]).status_code == 200  # what is counted is what is sent


def test_a_body_above_the_limit_is_refused_as_json(fetch, tms, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    answer = fetch(cids=["x" * 100] * 20)
    assert (answer.status_code, answer.json()["outcome"]) == (413, "refused")
    assert tms.calls() == []


def test_passive_mode_sends_nothing(fetch, tms, settings):
    settings.TMS_PASSIVE = True
    assert_refused(fetch(), 503, "request", tms)


@pytest.mark.parametrize("key", ["1", "not-a-uuid", "{00000000-0000-0000-0000-000000000001}", "0" * 32])
def test_a_key_that_is_no_uuid_is_refused(fetch, tms, key):
    assert_refused(fetch(key=key), 400, "Idempotency-Key", tms)
