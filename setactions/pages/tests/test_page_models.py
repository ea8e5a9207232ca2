"""What the review page and an attempt's page say and offer, as plain values: no database, no request."""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.choices import Action, Outcome
from audit.models import Attempt
from setactions.overlap import Overlap
from setactions.pages.attempt_view import AttemptPage
from setactions.pages.review import ReviewPage, ends_of
from setactions.pages.sealing import Purpose, Review, as_shown, load_reading
from setactions.payload import Submission
from setactions.refusal import Unverified
from setactions.resolving.readback import Judgement, Reading, Verdict
from setactions.results import Result
from setactions.tms.clusters import cluster_named
from setactions.word import Named
from tmsdash import clocks

CLUSTERS = {"evian3": "http://127.0.0.1:1", "brooke": "http://127.0.0.1:2"}
UNKNOWN_IDS = "those CIDs ['b2'] do not exist"
READING = Reading({0: 2}, clocks.now(), clocks.now())


class User:
    """A user with some permissions, in no group."""

    is_active = is_authenticated = True

    def __init__(self, name="olivia", *permissions, is_auditor=False):
        self.name, self.permissions, self.is_auditor = name, permissions, is_auditor

    def get_username(self):
        return self.name

    def has_perm(self, permission):
        return permission in self.permissions

    @property
    def groups(self):
        return self

    def filter(self, **_):
        return self

    def exists(self):
        return self.is_auditor


OPERATOR = User("olivia", "jobs.set_action")
DECIDER = User("adam", "audit.decide_attempt", "jobs.set_action")
VIEWER = User("audrey", "audit.view_attempt", "jobs.view_job", is_auditor=True)


@pytest.fixture(autouse=True)
def clusters(settings):
    settings.TMS_CLUSTERS = CLUSTERS
    settings.TMS_PRODUCTION_CLUSTERS = ["brooke"]
    settings.TMS_MAX_CIDS_PER_CALL = 5
    settings.TMS_BATCH_CHUNK = 2
    settings.TMS_CONFIRM_ABOVE = 4


# -- The two ends of a list ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 19, 20])
def test_a_list_of_up_to_twenty_ids_is_shown_whole(count):
    cids = [str(number) for number in range(count)]
    assert ends_of(cids) == (cids, (), 0, 0)


@pytest.mark.parametrize("count", [21, 22, 27_682])
def test_of_a_longer_list_both_ends_are_shown_with_their_numbers(count):
    ends = ends_of([str(number) for number in range(1, count + 1)])
    assert (ends.first[0], ends.first[-1]) == ("1", "10")
    assert (ends.last[0], ends.last[-1]) == (str(ends.last_start), str(count))
    assert (ends.last_start, ends.hidden_count) == (count - 9, count - 20)


# -- The review page ----------------------------------------------------------------------------------------------


def review_page(*, count=2, cluster="evian3", action_sent="PE-Enable", user=OPERATOR, **values):
    cids = tuple(f"c{number}" for number in range(count))
    submission = Submission(cluster_named(cluster), Action.PE_ENABLE, action_sent, cids)
    return ReviewPage(user=user, review=Review.of(submission), has_token=True, **values)


def test_what_comes_back_from_the_page_is_what_it_showed_and_for_its_user_only():
    page = review_page()
    named = Named(7, frozenset(), "a" * 64)
    page = replace(page, review=replace(page.review, named=named))
    assert as_shown(replace(page.review, named=Named()), page.shown, "olivia") == page.review
    for review, user_id in ((page.review, "oscar"), (Review.of(page.review.submission), "olivia")):
        with pytest.raises(Unverified):
            as_shown(review, page.shown, user_id)


@pytest.mark.parametrize(("count", "is_batch", "chunks"), [(5, False, 3), (6, True, 3), (7, True, 4)])
def test_a_list_that_is_too_long_for_one_call_is_a_batch_of_whole_chunks(count, is_batch, chunks):
    page = review_page(count=count)
    assert (page.review.is_batch, page.chunk_count, page.customer_count) == (is_batch, chunks, count)


@pytest.mark.parametrize(
    ("count", "cluster", "must_type"),
    [(3, "evian3", False), (4, "evian3", True), (5, "evian3", True), (1, "brooke", True)],
)
def test_the_count_is_typed_from_the_set_number_on_and_on_production_clusters(count, cluster, must_type):
    assert review_page(count=count, cluster=cluster).must_type_count is must_type


def overlap(*cids, **owners):
    """Customers who were asked for already, each time by one attempt of each of some users, of `customers` each."""
    attempts = {
        Attempt(
            pk=number, attempt_id=uuid.UUID(int=number), user_id=user_id, action_code=2, created_at=timezone.now()
        ): frozenset(owned)
        for number, (user_id, owned) in enumerate(owners.items(), start=1)
    }
    return Overlap(cids=cids, attempts=attempts, batches={})


def test_the_rest_is_who_was_not_asked_for():
    page = review_page(count=5, overlap=overlap("c1", "c3", oscar=["c1", "c3"]))
    assert (page.rest_count, page.first_cids_asked_for, page.more_cids_asked_for) == (3, ("c1", "c3"), 0)
    assert (review_page().rest_count, review_page().entries) == (2, [])


def test_a_colleagues_attempt_is_opened_only_by_who_may_view_it():
    pages = [
        review_page(overlap=overlap("c1", oscar=["c1"]), user=user)
        for user in (OPERATOR, User("oscar"), VIEWER, DECIDER)
    ]
    assert [may_view for page in pages for _, may_view in page.entries] == [False, True, True, True]


def test_of_many_entries_the_first_are_shown_and_the_others_counted():
    page = review_page(overlap=overlap("c1", **{f"user{number}": ["c1"] for number in range(13)}))
    assert (len(page.entries), page.more_entries) == (10, 3)


# -- An attempt's page --------------------------------------------------------------------------------------------


def attempt_page(outcome=Outcome.ACCEPTED, *, user=OPERATOR, message="", opening=None, result=None, **values):
    """Olivia's attempt of an hour ago for a1 and b2, as `user` sees it."""
    attempt = Attempt(
        attempt_id=uuid.UUID(int=1),
        user_id="olivia",
        action_name="PE-Enable",
        action_code=2,
        cluster_url=values.pop("cluster_url", CLUSTERS["evian3"]),
        customer_count=2,
        created_at=timezone.now() - values.pop("age", timedelta(hours=1)),
        outcome=outcome,
        is_open=outcome in (Outcome.PENDING, Outcome.UNKNOWN),
    )
    known = {"attempt_id": attempt.attempt_id, "outcome": outcome, "message": message or outcome.label}
    return AttemptPage(
        user=user,
        attempt=attempt,
        result=Result(**({"explanation": ""} | known | (result or {}))),
        opening={"cids": ["a1", "b2"], "action_sent": "PE-Enable"} | (opening or {}),
        **values,
    )


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.REJECTED, True),
        (Outcome.NOT_SENT, True),
        (Outcome.NOT_APPLIED, True),
        (Outcome.DECIDED_NOT_APPLIED, True),
        (Outcome.ACCEPTED, False),
        (Outcome.UNKNOWN, False),
        (Outcome.PENDING, False),
        (Outcome.REFUSED, False),
    ],
)
def test_only_what_certainly_was_not_applied_is_offered_for_sending_again(outcome, expected):
    page = attempt_page(outcome)
    assert page.may_send_again is expected
    assert bool(page.submission_again) is expected


@pytest.mark.parametrize("user", [DECIDER, VIEWER, User("olivia"), User("olivia", "jobs.set_action", is_auditor=True)])
def test_nobody_sends_again_but_its_user_while_they_may_send(user):
    page = attempt_page(Outcome.REJECTED, user=user)
    assert (page.may_send_again, page.submission_again) == (False, None)


def test_what_is_sent_again_is_the_list_as_it_was_sent():
    again = attempt_page(Outcome.NOT_SENT, opening={"action_sent": "pe-enable"}).submission_again
    assert (again.cids, again.action_sent) == (("a1", "b2"), "pe-enable")


@pytest.mark.parametrize("changes", [{"cluster_url": "https://gone.example"}, {"opening": {"archived": True}}])
def test_without_its_cluster_or_its_events_a_list_is_not_offered_again(changes):
    page = attempt_page(Outcome.NOT_SENT, **changes)
    assert page.may_send_again
    assert page.submission_again is None


def test_a_rejected_list_is_cut_in_two_by_the_ids_that_tms_names():
    page = attempt_page(Outcome.REJECTED, message=UNKNOWN_IDS)
    assert (page.repair.unknown, page.repair.known) == (("b2",), ("a1",))
    assert attempt_page(Outcome.UNKNOWN, message=UNKNOWN_IDS).repair is None
    assert attempt_page(Outcome.REJECTED).repair is None


@pytest.mark.parametrize(
    ("user", "outcome", "cluster_url", "expected"),
    [
        (OPERATOR, Outcome.UNKNOWN, CLUSTERS["evian3"], True),
        (DECIDER, Outcome.UNKNOWN, CLUSTERS["evian3"], True),
        (User("oscar", "jobs.set_action"), Outcome.UNKNOWN, CLUSTERS["evian3"], False),
        (VIEWER, Outcome.UNKNOWN, CLUSTERS["evian3"], False),
        (OPERATOR, Outcome.UNKNOWN, "https://gone.example", False),
        (OPERATOR, Outcome.ACCEPTED, CLUSTERS["evian3"], False),
    ],
)
def test_an_unknown_outcome_can_be_checked_where_its_cluster_is_and_by_who_may(user, outcome, cluster_url, expected):
    assert attempt_page(outcome, user=user, cluster_url=cluster_url).may_check is expected


def test_a_decision_needs_a_reading_that_failed_or_a_cluster_that_is_gone():
    assert not attempt_page(Outcome.UNKNOWN, user=DECIDER).may_decide
    assert attempt_page(Outcome.UNKNOWN, user=DECIDER, failed_reading=READING).may_decide
    assert attempt_page(Outcome.UNKNOWN, user=DECIDER, cluster_url="https://gone.example").may_decide
    assert not attempt_page(Outcome.UNKNOWN, user=OPERATOR, failed_reading=READING).may_decide
    assert not attempt_page(Outcome.ACCEPTED, user=DECIDER, failed_reading=READING).may_decide


def test_a_job_is_awaited_from_its_acceptance_until_it_is_recorded():
    job = {"job_id": uuid.UUID(int=1)}
    assert attempt_page(result=job).awaits_job
    assert not attempt_page(result=job | {"job_recorded": True}).awaits_job
    assert not attempt_page(Outcome.REJECTED).awaits_job


def test_only_a_known_outcome_closes_an_attempt():
    assert attempt_page().is_closed
    assert not attempt_page(Outcome.UNKNOWN).is_closed
    assert not attempt_page(Outcome.PENDING, age=timedelta()).is_closed


def test_a_message_is_shown_unless_it_only_repeats_the_outcome_and_nothing_in_it_can_hide_text():
    assert attempt_page().message == ""
    assert attempt_page(message="a\u202eb").message == "a\\u202eb"


def test_a_message_is_said_to_be_of_tms_only_if_it_is():
    assert attempt_page(message="not Ready", result={"data": {"message": "not Ready"}}).message_is_of_tms
    assert not attempt_page(message="ours", result={"data": {"message": "theirs"}}).message_is_of_tms
    assert not attempt_page(message="ours", result={"data": ["ours"]}).message_is_of_tms


@pytest.mark.parametrize(("opening", "sent_as"), [({}, ""), ({"action_sent": "pe"}, "pe"), ({"action_sent": ""}, "")])
def test_the_spelling_on_the_wire_is_named_where_it_differs(opening, sent_as):
    assert attempt_page(opening=opening).sent_as == sent_as


def test_a_job_is_linked_only_for_who_may_view_it():
    assert [attempt_page(user=user).may_view_job for user in (OPERATOR, VIEWER, DECIDER)] == [True, True, False]


@pytest.mark.parametrize(("verdict", "expected"), [(Verdict.UNCLEAR, True), (Verdict.READ_AGAIN, False)])
def test_a_check_leaves_only_an_unclear_attempt_to_a_person(verdict, expected):
    page = attempt_page(Outcome.UNKNOWN, judgement=Judgement(verdict, "", (READING,)))
    assert page.proves_nothing is expected


def test_a_reading_travels_signed_for_its_one_purpose():
    page = attempt_page(Outcome.UNKNOWN, first_reading=READING)
    attempt_id = page.attempt.attempt_id
    assert load_reading(page.signed_first_reading, "olivia", attempt_id, Purpose.SECOND) == READING
    with pytest.raises(Unverified):
        load_reading(page.signed_first_reading, "olivia", attempt_id, Purpose.DECISION)
    assert page.signed_failed_reading == ""
