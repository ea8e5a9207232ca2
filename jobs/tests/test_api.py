"""Reads of jobs for scripts, to the letter of what they rely on."""

import uuid

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from jobs.tests.making import ANSWER, CLUSTER, make_job
from tmsdash.tests.fixtures import signed_in

pytestmark = pytest.mark.usefixtures("databases")

NO_SUCH_JOB = "There is no such job, or it belongs to somebody else."


def get(user, path, **query):
    return signed_in(user).get(f"/api/jobs/{path}", query)


def as_json(job):
    return {
        "job_id": str(job.job_id),
        "user_id": job.user_id,
        "batch_id": str(job.batch_id) if job.batch_id else None,
        "action_code": 2,
        "action_name": "PE-Enable",
        "cluster_url": CLUSTER,
        "created_at": job.created_at.isoformat(),
        "status": "success",
        "http_status": 200,
        "customer_count": 2,
    }


# -- mine ---------------------------------------------------------------------------------------------------------


def test_mine_lists_ones_own_jobs_newest_first(olivia):
    first, _, third = make_job(), make_job(user_id="oscar"), make_job(batch_id=uuid.uuid4())
    answer = get(olivia, "mine")
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "user_id": "olivia",
        "job_count": 2,
        "jobs": [as_json(third), as_json(first)],
    }


def test_mine_is_empty_at_first(olivia):
    assert get(olivia, "mine").json() == {"success": True, "user_id": "olivia", "job_count": 0, "jobs": []}


@pytest.mark.parametrize("name", ["audrey", "adam"])
def test_mine_means_mine_for_auditors_too(request, name):
    make_job()
    assert get(request.getfixturevalue(name), "mine").json()["job_count"] == 0


def test_the_limit_cuts_the_oldest_off(olivia):
    newest = [str(make_job().job_id) for _ in range(52)][::-1]
    for query, count in (({}, 50), ({"limit": 1}, 1), ({"limit": 51}, 51), ({"limit": 500}, 52)):
        body = get(olivia, "mine", **query).json()
        assert [job["job_id"] for job in body["jobs"]] == newest[:count]
        assert body["job_count"] == count


@pytest.mark.parametrize("limit", ["0", "501", "-1", "", "ten", "1.5", "99999999999", " 5", "٥", "5\n"])
def test_another_limit_is_refused(olivia, limit):
    answer = get(olivia, "mine", limit=limit)
    message = "limit must be a whole number from 1 to 500."
    assert answer.status_code == 400
    assert answer.json() == {
        "status": "error",
        "outcome": "refused",
        "attempt_id": None,
        "message": message,
        "errors": {"limit": [message]},
        "job_id": None,
        "request_id": answer["X-Request-ID"],
    }


# -- One job ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["olivia", "audrey", "adam"])
def test_a_job_with_what_was_sent_and_answered(request, name):
    job = make_job()
    answer = get(request.getfixturevalue(name), job.job_id)
    assert answer.status_code == 200
    assert answer.json() == as_json(job) | {
        "request_payload": {"action": "PE-Enable", "cids": ["b2", "a1"]},
        "response_summary": ANSWER,
    }


@pytest.mark.parametrize("name", ["olivia", "audrey", "adam"])
def test_the_customers_of_a_job_in_order(request, name):
    cids = [f"{number:032x}" for number in range(3000, 0, -1)]
    job = make_job(cids=cids)
    make_job(cids=("other",))
    answer = get(request.getfixturevalue(name), f"{job.job_id}/customers")
    assert answer.json() == {
        "success": True,
        "job_id": str(job.job_id),
        "customer_count": 3000,
        "customers": cids,
    }


@pytest.mark.parametrize("path", ["{}", "{}/customers"])
def test_a_job_of_somebody_else_is_as_if_it_were_not_there(oscar, path):
    job = make_job()
    answers = [get(oscar, path.format(job_id)) for job_id in (job.job_id, uuid.uuid4())]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() | {"request_id": ""} == answers[1].json() | {"request_id": ""}
    assert answers[0].json()["message"] == NO_SUCH_JOB
    assert answers[0].json()["errors"] == {"job_id": [NO_SUCH_JOB]}


def test_an_operator_with_the_permission_sees_every_job(oscar):
    job = make_job()
    oscar.user_permissions.add(Permission.objects.get(codename="view_job"))
    assert get(oscar, job.job_id).status_code == 200


@pytest.mark.parametrize("path", ["mine", "{}", "{}/customers"])
def test_reads_are_for_users_read_only_and_never_cached(olivia, path):
    path = path.format(make_job().job_id)
    assert Client().get(f"/api/jobs/{path}").status_code == 401
    assert Client().get(f"/api/jobs/{path}").json()["message"].startswith("Sign in first.")
    for method in ("post", "put", "patch", "delete"):
        assert getattr(signed_in(olivia), method)(f"/api/jobs/{path}").status_code == 405
    assert "no-cache" in get(olivia, path)["Cache-Control"]


@pytest.mark.parametrize("path", ["1", "not-a-uuid", "mine/", "", "00000000-0000-4000-8000-00000000000g"])
def test_what_is_no_job_is_a_404_in_json(olivia, path):
    answer = get(olivia, path)
    assert (answer.status_code, answer.json()["outcome"]) == (404, "refused")
