"""Live state of a job for scripts: GET /api/jobs/<id>/actions, and manage.py verify_job."""

import json
import os
import re
import uuid
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from audit.choices import Action
from jobs.live.confirmations import states_of_job
from jobs.models import JobConfirmation, LiveReading
from jobs.tests.making import make_job
from setactions.resolving.tests.doubting import reads, tms_does
from setactions.tms.clusters import cluster_named
from tmsdash.tests.fixtures import TOKEN, signed_in

pytestmark = pytest.mark.usefixtures("databases")


@pytest.fixture
def job(tms):
    """T-Enable for three customers on evian3, one of whom is there, one behind, and one unknown to TMS."""
    tms_does(tms, "T-Enable", "a1")
    tms_does(tms, "PE-Enable", "b2")
    return job_of("a1", "b2", "c3")


def job_of(*cids, **changes):
    return make_job(cids=cids, action=Action.T_ENABLE, cluster_url=cluster_named("evian3").origin, **changes)


def get(user, job, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return signed_in(user).get(f"/api/jobs/{job.job_id}/actions", headers=headers)


def customer(cid, code, name, *, confirmed=False):
    return {"customer_id": cid, "action_code": code, "action_name": name, "confirmed": confirmed}


def test_with_a_token_a_script_reads_what_tms_shows_of_each_customer(olivia, job):
    body = get(olivia, job, TOKEN).json()
    assert body.pop("read_at")
    assert body == {
        "success": True,
        "job_id": str(job.job_id),
        "source": "tms",
        "confirmed": 1,
        "customer_count": 3,
        "counts": {"3": 1, "2": 1, "0": 1},
        "customers": [
            customer("a1", 3, "T-Enable", confirmed=True),
            customer("b2", 2, "PE-Enable"),
            customer("c3", 0, "not known to TMS"),
        ],
    }
    assert JobConfirmation.objects.get().confirmed == 1


def test_without_a_token_it_gets_what_was_read_last_and_tms_is_not_asked(olivia, audrey, job, tms):
    unread = get(olivia, job).json()
    assert (unread["read_at"], unread["source"], unread["counts"]) == (None, None, {"unread": 3})
    assert unread["customers"][0] == customer("a1", None, None)
    read = get(olivia, job, TOKEN).json()
    assert get(audrey, job).json() == read
    assert len(reads(tms)) == 1


@pytest.mark.parametrize(
    ("token", "status"),
    [("fault:unauthorized", 502), ("fault:http:500", 502), ("fault:slow:3", 504), ("two words", 400)],
)
def test_what_could_not_be_read_is_an_error_in_json(olivia, job, settings, token, status):
    settings.TMS_DEADLINE_S = 0.5
    answer = get(olivia, job, token)
    assert (answer.status_code, answer.json()["status"]) == (status, "error")
    assert token not in answer.content.decode()
    assert get(olivia, job).json()["counts"] == {"unread": 3}


def test_who_is_not_listed_alone_is_looked_for_in_a_reading_that_began_after_the_job(olivia, job, tms):
    get(olivia, job, TOKEN)  # the whole cluster, a moment before the next job
    later = job_of("z9")
    assert get(olivia, later, TOKEN).json()["counts"] == {"0": 1}
    assert "not known to TMS before" not in states_of_job(later).in_words
    assert reads(tms) == [("ALL",), ("z9",), ("ALL",)]


def test_auditors_may_look_but_not_read(audrey, job, tms):
    assert get(audrey, job, TOKEN).status_code == 403
    assert reads(tms) == []


def test_reads_that_come_too_often_are_refused(olivia, job, settings):
    settings.TMS_READS_PER_MINUTE = 0
    assert get(olivia, job, TOKEN).status_code == 503


# -- manage.py verify_job -----------------------------------------------------------------------------------------


def verify_job(job_id, *arguments, token=TOKEN):
    """The exit code, and what was printed."""
    output = StringIO()
    with pytest.MonkeyPatch.context() as patch:
        if token:
            patch.setenv("TMS_TOKEN", token)
        try:
            call_command("verify_job", str(job_id), *arguments, stdout=output)
        except SystemExit as ended:
            return ended.code, output.getvalue()
        except CommandError as error:
            return error.returncode, str(error)
        finally:
            os.environ.pop("TMS_TOKEN", None)
    return 0, output.getvalue()


def test_the_command_says_how_many_are_confirmed_and_ends_with_2_if_not_all_are(job):
    code, text = verify_job(job.job_id)
    assert code == 2
    shown = f"T-Enable on {job.cluster_url}: Confirmed 1 of 3 · 1 still at PE-Enable · 1 not known to TMS"
    assert re.fullmatch(re.escape(shown) + r" \(20\S+ \S+ UTC, read from TMS for \S+\)\.\n", text)
    assert JobConfirmation.objects.get().confirmed == 1


def test_the_command_ends_with_0_if_all_are_confirmed_and_prints_json(job):
    confirmed = job_of("a1")
    code, text = verify_job(confirmed.job_id, "--json")
    assert code == 0
    began_at = LiveReading.objects.latest("id").began_at.isoformat()
    assert json.loads(text) == {
        "job_id": str(confirmed.job_id),
        "confirmed": 1,
        "customer_count": 1,
        "parts": [
            {
                "cluster_url": job.cluster_url,
                "action_code": 3,
                "shown_code": 3,
                "words": "confirmed",
                "customers": 1,
                "read_at": began_at,
                "source": "tms",
            }
        ],
        "exit_code": 0,
    }


@pytest.mark.parametrize("token", ["fault:http:500", "fault:unauthorized", "fault:empty-object"])
def test_the_command_ends_with_3_if_tms_could_not_be_read(job, token):
    code, text = verify_job(job.job_id, token=token)
    assert code == 3
    assert text.startswith("evian3")


def test_the_command_ends_with_1_without_a_token_or_such_a_job(job):
    assert verify_job(job.job_id, token=None)[0] == 1
    code, text = verify_job(uuid.uuid4())
    assert (code, text.startswith("There is no such job or batch.")) == (1, True)


def test_the_command_takes_the_id_of_a_batch_and_reads_its_cluster_once(make_batch, run, tms):
    batch = run(make_batch(count=4))
    code, text = verify_job(batch.batch_id)
    assert (code, "Confirmed 4 of 4 (20" in text) == (0, True)
    assert reads(tms) == [("ALL",)]
    assert [(row.confirmed, row.customer_count) for row in JobConfirmation.objects.all()] == [(2, 2)] * 2
