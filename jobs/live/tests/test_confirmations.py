"""What readings show of a job's customers, and what that confirms."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.choices import Action
from jobs.live.codes import NO_ACTION, UNREADABLE
from jobs.live.confirmations import (
    Basis,
    confirmations_of,
    customers_shown,
    keep_confirmations,
    rest_of,
    states_of_job,
    states_of_jobs,
    united,
)
from jobs.live.states import keep_one, keep_whole
from jobs.models import JobConfirmation, LiveReading
from jobs.tests.making import CLUSTER, make_job
from tmsdash.tests.tools import counted_queries

pytestmark = pytest.mark.usefixtures("databases")


def reading(asked="ALL", *, ago_s=0, source=LiveReading.Source.TMS, cluster_url=CLUSTER):
    at = timezone.now() - timedelta(seconds=ago_s)
    return LiveReading(cluster_url=cluster_url, asked=asked, user_id="oscar", began_at=at, ended_at=at, source=source)


def whole(codes, **changes):
    """TMS shows these codes, in a reading of all."""
    shown = reading(**changes)
    keep_whole(shown, codes)
    return shown


def counts(job):
    return {part.words: part.count for part in states_of_job(job).parts}


def kept(*jobs):
    keep_confirmations(states_of_jobs(jobs), jobs)
    return [
        (row.confirmed, row.customer_count)
        for row in map(confirmations_of([job.job_id for job in jobs]).get, [job.job_id for job in jobs])
        if row
    ]


@pytest.fixture
def job():
    return make_job(cids=("a1", "b2", "c3", "d4", "e5", "f6", "g7"), action=Action.T_ENABLE)


CODES = {"a1": 3, "b2": 3, "c3": 2, "d4": 2, "e5": 5, "g7": UNREADABLE, "z9": 3}


def test_every_customer_of_a_job_is_counted_once_by_what_tms_showed(job):
    whole(CODES)
    shown = states_of_job(job)
    assert shown.in_words == (
        "Confirmed 2 of 7 · 2 still at PE-Enable · 1 not known to TMS · 1 not readable · 1 further on (PE-Direct)"
    )
    assert (shown.confirmed, shown.customer_count, shown.rest_count) == (2, job.customer_count, 3)
    assert [part.state for part in shown.parts] == ["3", "2", "0", "-1", "5"]
    assert (shown.oldest, shown.newest) == (LiveReading.objects.get(),) * 2


def test_customers_who_were_never_read_are_said_to_be_so(job):
    assert counts(job) == {"not read yet": 7}
    assert states_of_job(job).oldest is None
    keep_one(reading("a1"), 3)
    assert counts(job) == {"confirmed": 1, "not read yet": 6}
    assert states_of_job(job).parts[-1].state == "unread"


def test_another_clusters_reading_shows_nothing_of_a_job(job):
    whole(CODES, cluster_url="https://brooke.example")
    assert counts(job) == {"not read yet": 7}


def test_what_was_read_before_a_job_was_accepted_confirms_nothing_of_it(job):
    whole(CODES, ago_s=60)
    assert counts(job)["at T-Enable before this was accepted"] == 2
    shown = states_of_job(job)
    assert (shown.confirmed, shown.rest_count, shown.is_read, shown.is_partly_old) == (0, 0, False, True)
    assert kept(job) == []
    keep_one(reading("a1"), 3)
    assert counts(job) == {
        "confirmed": 1,
        "at T-Enable before this was accepted": 1,
        "at PE-Enable before this was accepted": 2,
        "not known to TMS before this was accepted": 1,
        "not readable before this was accepted": 1,
        "at PE-Direct before this was accepted": 1,
    }


def test_an_answer_that_somebody_gave_confirms_nothing(job):
    whole(CODES, source=LiveReading.Source.GIVEN)
    shown = states_of_job(job)
    assert (shown.confirmed, shown.rest_count) == (0, 0)
    assert {part.basis for part in shown.parts} == {Basis.GIVEN}
    assert counts(job)["at T-Enable, by an answer that was given"] == 2
    assert kept(job) == []


def test_the_rest_are_those_known_to_be_behind_in_the_order_of_the_job(job):
    whole(CODES)
    assert rest_of(job) == ["c3", "d4", "f6"]
    shown = {cid: (part.code, part.basis) for cid, part in customers_shown(job)}
    assert [*shown] == ["a1", "b2", "c3", "d4", "e5", "f6", "g7"]
    assert (shown["a1"], shown["f6"]) == ((3, Basis.SINCE), (NO_ACTION, Basis.SINCE))


def test_an_action_that_is_not_known_counts_as_further_on_and_is_never_sent_again(job):
    whole(dict.fromkeys(("a1", "b2", "c3", "d4", "e5", "f6", "g7"), 9))
    assert counts(job) == {"further on (action code 9)": 7}
    assert rest_of(job) == []


def test_who_is_at_the_end_of_the_other_way_is_further_on():
    job = make_job(cids=("a1", "b2", "c3"), action=Action.PE_DIRECT)
    whole({"a1": 5, "b2": 4, "c3": 3})
    assert counts(job) == {"confirmed": 1, "still at T-Enable": 1, "further on (PE-Finalize)": 1}
    assert rest_of(job) == ["c3"]


def test_the_most_that_was_ever_confirmed_is_kept(job):
    first = whole({"a1": 3, "b2": 3})
    assert kept(job) == [(2, 7)]
    assert JobConfirmation.objects.get().read_at == first.began_at
    whole({"a1": 4, "b2": 3})
    assert kept(job) == [(2, 7)]
    assert JobConfirmation.objects.get().read_at == first.began_at
    newest = whole(dict.fromkeys(("a1", "b2", "c3", "d4", "e5", "f6", "g7"), 3))
    assert kept(job) == [(7, 7)]
    row = JobConfirmation.objects.get()
    assert (row.is_whole, row.read_at) == (True, newest.began_at)


def test_a_row_that_was_lost_is_written_again_by_the_next_reading(job):
    whole({"a1": 3})
    assert kept(job) == [(1, 7)]
    JobConfirmation.objects.all().delete()
    assert kept(job) == [(1, 7)]


def test_jobs_of_a_batch_are_counted_together_for_each_cluster_and_action():
    batch_id = uuid.uuid4()
    jobs = [make_job(cids=(f"a{n}", f"b{n}"), batch_id=batch_id) for n in range(3)]
    jobs.append(make_job(cids=("a0", "z"), action=Action.T_ENABLE, batch_id=batch_id))
    whole({"a0": 2, "b0": 2, "a1": 2, "a2": 1})
    shown = united(states_of_jobs(jobs).values())
    assert [states.in_words for states in shown] == [
        "Confirmed 3 of 6 · 1 still at Trans-Begin · 2 not known to TMS",
        "Confirmed 0 of 2 · 1 still at PE-Enable · 1 not known to TMS",
    ]
    assert kept(*jobs) == [(2, 2), (1, 2)]


def test_counting_takes_two_queries_however_many_jobs_there_are():
    jobs = [make_job(cids=(f"a{n}",)) for n in range(20)]
    whole({"a1": 2})
    with counted_queries() as queries:
        states_of_jobs(jobs)
    assert len(queries) == 2


def test_not_listed_is_a_state_of_its_own(job):
    whole({"z9": 3})
    assert [part.code for part in states_of_job(job).parts] == [NO_ACTION]
