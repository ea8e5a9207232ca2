"""The work queue of attempts in doubt, its count in the navigation, and where those land who may not send."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from audit.choices import Kind, Source
from audit.models import Attempt
from audit.tests.making import make_attempt
from jobs.models import BatchChunk
from jobs.tests.making import CLUSTER, make_batch, make_job
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import table_missing, text_of

pytestmark = [pytest.mark.usefixtures("databases"), pytest.mark.pages]


@pytest.fixture(autouse=True)
def clusters(settings):
    settings.TMS_CLUSTERS = {"evian3": CLUSTER}


def ago(minutes, attempt):
    Attempt.objects.filter(pk=attempt.pk).update(created_at=timezone.now() - timedelta(minutes=minutes))
    return attempt


def listed(user):
    """The ids of the attempts in the queue, in its order."""
    return re.findall(r'<a href="/attempts/([0-9a-f-]{36})/"', signed_in(user).get("/in-doubt/").content.decode())


def counted(user, path="/jobs/"):
    """What the navigation says."""
    match = re.search(r'<a href="/in-doubt/"[^>]*>In doubt \(([^)]+)\)', signed_in(user).get(path).content.decode())
    return match[1] if match else ""


def test_the_queue_has_own_attempts_the_oldest_first_and_all_for_who_may_decide(olivia, oscar, adam):
    first = ago(90, make_attempt(Kind.UNKNOWN))
    died = ago(60, make_attempt())
    others = ago(30, make_attempt(Kind.UNKNOWN, user_id="oscar"))
    ago(0, make_attempt())  # its answer may still come
    make_attempt(Kind.REJECTED)
    make_attempt(Kind.ACCEPTED)
    assert listed(olivia) == [str(first.attempt_id), str(died.attempt_id)]
    assert listed(adam) == [str(attempt.attempt_id) for attempt in (first, died, others)]
    assert (counted(olivia), counted(oscar), counted(adam)) == ("2", "1", "3")
    assert "In doubt lists all of them" in text_of(signed_in(olivia).get("/"))


def test_each_line_says_what_is_needed_next(olivia, adam, settings):
    ago(90, make_attempt(Kind.UNKNOWN, cids=("a1",)))
    ago(80, make_attempt(Kind.UNKNOWN, cluster_url="https://gone.example"))
    make_attempt(Kind.UNKNOWN)
    page = text_of(signed_in(olivia).get("/in-doubt/"))
    assert "Check with your token for evian3. If that proves nothing, ask somebody who may decide." in page
    assert "Ask somebody who may decide. Its cluster is not configured any more" in page
    assert re.search(r"Wait until \d\d:\d\d:\d\d UTC: TMS may still be working on it.", page)
    page = text_of(signed_in(adam).get("/in-doubt/"))
    assert "Check with your token for evian3. If that proves nothing, decide." in page
    assert "Decide. Its cluster is not configured any more" in page
    job = make_job(job_id=Attempt.objects.order_by("pk").first().attempt_id, cids=("a1",))
    assert job
    assert "Nothing: TMS accepted it and its job is recorded." in text_of(signed_in(olivia).get("/in-doubt/"))


def test_an_unknown_chunk_leads_to_its_batch(olivia):
    batch = make_batch(cids=["c0", "c1"], size=1)
    chunk = batch.chunks.get(number=1)
    facts = {"cids": tuple(chunk.cids), "source": Source.BATCH, "batch_id": str(batch.batch_id)}
    ago(90, make_attempt(Kind.UNKNOWN, attempt_id=chunk.derived_attempt_id, **facts))
    state, attempt_id = BatchChunk.State.UNKNOWN, chunk.derived_attempt_id
    BatchChunk.objects.filter(pk=chunk.pk).update(state=state, attempt_id=attempt_id)
    answer = signed_in(olivia).get("/in-doubt/")
    assert "chunk 2 of fleet.csv" in text_of(answer)
    assert f'<a href="/batches/{batch.batch_id}/">fleet.csv</a>' in answer.content.decode()


def test_long_queues_are_counted_up_to_99_and_have_pages(olivia, monkeypatch):
    monkeypatch.setattr("setactions.resolving.queue.MOST_COUNTED", 2)
    monkeypatch.setattr("setactions.pages.in_doubt.ATTEMPTS_PER_PAGE", 2)
    attempts = [ago(90, make_attempt(Kind.UNKNOWN)) for _ in range(3)]
    assert counted(olivia) == "2+"
    client = signed_in(olivia)
    [onward] = re.findall(r'rel="next" href="([^"]+)"', client.get("/in-doubt/").content.decode())
    last = client.get(onward).content.decode()
    assert re.findall(r'<a href="/attempts/([0-9a-f-]{36})/"', last) == [str(attempts[2].attempt_id)]
    assert 'rel="prev" href="/in-doubt/"' in last


def test_the_count_is_not_shown_at_none_nor_to_who_can_do_nothing(olivia, oscar, audrey):
    make_attempt(Kind.UNKNOWN)
    assert counted(oscar) == counted(audrey) == ""
    refused = signed_in(audrey).get("/in-doubt/")
    assert refused.status_code == 403
    assert "can neither check nor decide" in text_of(refused)
    assert "Nothing of yours is in doubt" in text_of(signed_in(oscar).get("/in-doubt/"))


def test_pages_do_without_the_count_if_the_audit_does_not_answer(olivia):
    make_attempt(Kind.UNKNOWN)
    with table_missing("audit", "audit_attempt"):
        assert counted(olivia, "/batches/") == ""


def test_who_may_not_send_lands_where_there_is_something_to_see_or_is_told_whom_to_ask(audrey, adam, olivia):
    assert signed_in(audrey).get("/")["Location"] == "/admin/jobs/job/"
    reader = User.objects.create_user("rita")
    reader.user_permissions.add(Permission.objects.get(codename="view_attempt"))
    assert signed_in(reader).get("/")["Location"] == "/activity/"
    nobody = signed_in(User.objects.create_user("nora")).get("/")
    assert nobody.status_code == 200
    assert "Ask an administrator" in text_of(nobody)
    assert "adam" not in text_of(nobody)
    assert signed_in(adam).get("/").status_code == signed_in(olivia).get("/").status_code == 200
