"""The guard against sending twice, by customer: what shares any with what is open or newly accepted is refused."""

import uuid
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from audit.choices import Action, Kind, Source
from audit.models import Attempt
from audit.overlap import attempts_sharing
from audit.tests.making import make_attempt
from jobs.batches.creation import create_batch
from jobs.batches.lists import NewBatch, NewChunk
from jobs.models import Batch, BatchChunk, Job
from setactions.overlap import Overlap, window_start
from setactions.word import Named
from tmsdash.tests.tools import at_once

pytestmark = pytest.mark.usefixtures("databases")


def make_batch(
    tms, cids, *, state=Batch.State.PAUSED, chunk_state=BatchChunk.State.WAITING, action=Action.PE_ENABLE, size=9
):
    chunks = [
        NewChunk(
            cluster_url=tms.url, action_code=action.value, action_sent=action.label, cids=cids[start : start + size]
        )
        for start in range(0, len(cids), size)
    ]
    batch, _ = create_batch("oscar", NewBatch(batch_id=uuid.uuid4(), chunks=chunks))
    Batch.objects.filter(pk=batch.pk).update(state=state, reason="as this test says")
    BatchChunk.objects.update(state=chunk_state)
    return batch


def test_one_shared_customer_is_enough_and_the_answer_says_which(fetch, tms):
    first = fetch(cids=["a", "b", "c"]).json()["attempt_id"]
    second = fetch(cids=["d"]).json()["attempt_id"]
    answer = fetch(cids=["x", "c", "d", "a", "y"])
    assert (answer.status_code, answer.json()["outcome"]) == (409, "refused")
    assert answer.json()["duplicate_of"] == second
    overlap = {"count": 3, "cids": ["c", "d", "a"], "attempts": [second, first], "batches": []}
    assert answer.json()["overlap"] == overlap
    assert "PE-Enable of olivia was accepted" in answer.json()["message"]
    assert len(tms.calls()) == Job.objects.count() == 2
    assert fetch(cids=["x", "y"]).status_code == 200
    assert fetch(cids=["x", "c", "d", "a", "y"], sendAgain=True).status_code == 200


def test_of_many_shared_customers_the_first_hundred_are_listed(fetch, tms):
    cids = [f"{number:032x}" for number in range(250)]
    fetch(cids=cids)
    overlap = fetch(cids=["first", *cids]).json()["overlap"]
    assert (overlap["count"], overlap["cids"]) == (250, cids[:100])


def test_of_many_that_share_a_customer_at_once_one_is_sent(fetch, tms):
    answers = at_once(12, lambda number: fetch(cids=["shared", f"own{number}"]).status_code)
    assert sorted(answers) == [200] + [409] * 11
    assert len(tms.calls()) == Job.objects.count() == 1


@pytest.mark.parametrize(
    ("batch", "status"),
    [
        ({}, 409),
        ({"chunk_state": BatchChunk.State.ACCEPTED}, 409),
        ({"chunk_state": BatchChunk.State.REJECTED}, 200),
        ({"state": Batch.State.STOPPED, "ended_s_ago": 590}, 200),
        ({"state": Batch.State.STOPPED, "ended_s_ago": 590, "chunk_state": BatchChunk.State.ACCEPTED}, 409),
        ({"state": Batch.State.STOPPED, "ended_s_ago": 610, "chunk_state": BatchChunk.State.ACCEPTED}, 200),
        ({"state": Batch.State.DONE, "ended_s_ago": 590, "chunk_state": BatchChunk.State.ACCEPTED}, 409),
        ({"state": Batch.State.DONE, "ended_s_ago": 610, "chunk_state": BatchChunk.State.ACCEPTED}, 200),
        ({"state": Batch.State.DONE, "ended_s_ago": 590, "chunk_state": BatchChunk.State.REJECTED}, 200),
        ({"action": Action.T_ENABLE}, 200),
    ],
)
def test_customers_of_a_batch_that_is_open_or_newly_done_are_guarded(fetch, tms, batch, status):
    ended_at = timezone.now() - timedelta(seconds=batch.pop("ended_s_ago", 0))
    batch_id = str(make_batch(tms, ["a", "b"], **batch).batch_id)
    Batch.objects.filter(state__in=[Batch.State.DONE, Batch.State.STOPPED]).update(ended_at=ended_at)
    answer = fetch(cids=["b", "c"])
    assert answer.status_code == status
    if status == 409:
        assert answer.json()["overlap"] == {"count": 1, "cids": ["b"], "attempts": [], "batches": [batch_id]}
        assert answer.json()["duplicate_of"] == batch_id
        assert f"1 customer: batch {batch_id} of oscar" in answer.json()["message"]
        assert fetch(cids=["b", "c"], sendAgain=True).status_code == 200


@pytest.mark.sqlite  # which holds anything in any column
@pytest.mark.parametrize("spoilt", ["x", "5", "[[]]"])
def test_a_chunk_that_somebody_spoilt_in_the_database_stops_nobody(fetch, tms, spoilt):
    make_batch(tms, ["a", "b"], size=1)
    with connections["jobs"].cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        cursor.execute("UPDATE jobs_batchchunk SET cids = %s WHERE number = 0", [spoilt])
        cursor.execute("PRAGMA ignore_check_constraints = OFF")
    assert fetch(cids=["a"]).status_code == 200  # its runner would not send it either
    assert fetch(cids=["b"]).status_code == 409


def test_what_is_said_counts_the_customers_of_each_user_and_state(fetch, tms):
    made = {
        "olivia": make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=["a", "b"], cluster_url=tms.url),
        "oscar": make_attempt(Kind.UNKNOWN, cids=["c"], cluster_url=tms.url, user_id="oscar"),
    }
    newest = make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=["b", "d"], cluster_url=tms.url)
    at = f"{timezone.now():%d %b}"
    errors = fetch(cids=["a", "b", "c", "d"]).json()["errors"]["cids"]
    assert errors[0] == "4 customers of this list were asked for already."
    assert errors[1].startswith(f"3 customers: PE-Enable of olivia was accepted, at {at}")
    assert errors[1].endswith(f"as attempt {newest.attempt_id} and 1 before it.")
    assert errors[2].startswith("1 customer: PE-Enable of oscar ")
    assert errors[2].endswith(f"as attempt {made['oscar'].attempt_id}.")


def test_what_a_page_named_is_a_word_for_these_customers_and_for_no_others():
    batches = {Batch(pk=1, batch_id=uuid.UUID(int=7)): frozenset("ab")}
    overlap = Overlap(cids=["b", "a"], attempts={Attempt(pk=5): frozenset("a")}, batches=batches)
    named = Named.parse(str(overlap.named))
    word = named.word(["a", "b"])
    assert word.cids == {"a", "b"}
    for cids in (["a"], ["a", "b", "c"], []):
        assert not named.word(cids)
    in_batch = {"source": Source.BATCH}
    for attempt, cids, is_covered in (
        (Attempt(pk=5), "ab", True),
        (Attempt(pk=5), "abc", False),
        (Attempt(pk=6), "a", False),
        (make_attempt(cids=["a"], batch_id=str(uuid.UUID(int=7)), **in_batch), "a", True),
        (make_attempt(cids=["c"], batch_id=str(uuid.UUID(int=7)), **in_batch), "c", False),
        (make_attempt(cids=["b"], batch_id=str(uuid.UUID(int=8)), **in_batch), "b", False),
    ):
        attempt.pk += 100 if attempt.source else 0  # made after the page
        assert word.covers(attempt, frozenset(cids)) is is_covered
    assert not Named.parse("5 all of them")


def test_for_a_batch_from_the_future_all_that_was_accepted_counts(settings):
    settings.TMS_DUPLICATE_WINDOW_S = 600
    now = timezone.now()
    assert now - timedelta(seconds=610) < window_start() < now
    assert window_start(now - timedelta(days=1)) == now - timedelta(days=1, seconds=600)
    assert window_start(now + timedelta(hours=1)).year == 1970
    old = make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=["a"])
    Attempt.objects.filter(pk=old.pk).update(created_at=now - timedelta(days=9), decided_at=now - timedelta(days=9))
    assert [*attempts_sharing(old.cluster_url, 2, ["a"], window_start(now + timedelta(hours=1)))] == [old]
    assert attempts_sharing(old.cluster_url, 2, ["a"], window_start()) == {}
