"""Which attempts came after a moment, and may have changed customers of a list."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.choices import Kind, Outcome, Source
from audit.models import Attempt
from audit.overlap import attempts_since, places_at
from audit.tests.making import make_attempt
from tmsdash.tests.tools import counted_queries

pytestmark = pytest.mark.usefixtures("databases")

CLUSTER = "https://evian3.example"


@pytest.fixture
def make():
    def make(*kinds, cids=("a", "b"), **changes):
        return make_attempt(*kinds, cids=cids, cluster_url=CLUSTER, **changes)

    return make


@pytest.fixture
def since():
    """A function that returns the ids of attempts since the moment when this is asked for."""
    moment = timezone.now()

    def later(*cids, places=None):
        shared = attempts_since(moment, places or later.places, CLUSTER, cids or ("a", "x"))
        return {attempt.attempt_id: set(common) for attempt, common in shared.items()}

    later.moment = moment
    later.places = places_at(moment)
    return later


@pytest.mark.parametrize("kinds", [(), (Kind.ACCEPTED,), (Kind.ACCEPTED, Kind.RECORDED), (Kind.UNKNOWN,)])
def test_what_was_accepted_is_open_or_unknown_counts_at_any_action(make, since, kinds):
    attempt = make(*kinds)
    assert since() == {attempt.attempt_id: {"a"}}
    assert since("x", "y") == {}


@pytest.mark.parametrize("kind", [Kind.REJECTED, Kind.NOT_SENT])
def test_what_changed_nobody_does_not_count(make, since, kind):
    make(kind)
    assert since() == {}


def test_another_cluster_and_what_was_imported_do_not_count(make, since):
    make_attempt(Kind.ACCEPTED, cids=("a",), cluster_url="https://brooke.example")
    Attempt.objects.filter(pk=make(Kind.ACCEPTED).pk).update(source=Source.LEGACY)
    assert since() == {}


def test_what_had_ended_before_does_not_count_and_what_was_running_does(make):
    make(Kind.ACCEPTED)
    running, late = make(), make()
    moment = timezone.now()
    places = places_at(moment)
    Attempt.objects.filter(pk=late.pk).update(outcome=Outcome.ACCEPTED, decided_at=timezone.now())
    assert [*attempts_since(moment, places, CLUSTER, ("a",))] == [late, running]


def test_a_clock_that_was_set_back_hides_nothing(make, since):
    attempt = make(Kind.ACCEPTED)
    earlier = since.moment - timedelta(hours=1)
    Attempt.objects.filter(pk=attempt.pk).update(created_at=earlier, decided_at=earlier)
    assert since() == {attempt.attempt_id: {"a"}}


def test_however_long_the_list_a_handful_of_statements_answers(make, since):
    for _ in range(3):
        make(Kind.ACCEPTED)
    cids = [f"c{number}" for number in range(27_682)] + ["b"]
    with counted_queries() as queries:
        assert len(since(*cids)) == 3
    assert len(queries) <= 4
