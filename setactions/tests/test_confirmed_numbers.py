"""JSON gives the number of customers where people have to type it: on production clusters and for long lists."""

import uuid

import pytest

from audit.models import Attempt, AuditEntry
from setactions.tests.test_proxy_fetch import assert_refused
from tmsdash.tests.fixtures import signed_in

pytestmark = pytest.mark.pages

asked = pytest.mark.usefixtures("number_asked_for")


@pytest.fixture(params=[("TMS_PRODUCTION_CLUSTERS", ["evian3"]), ("TMS_CONFIRM_ABOVE", 2)], ids=["production", "long"])
def number_asked_for(settings, request):
    """The number has to be given, for one reason or the other."""
    setattr(settings, *request.param)


@asked
def test_without_the_number_nothing_is_sent_and_the_answer_says_how_to_confirm(fetch, tms):
    answer = fetch(cids=["a1", "b2", "a1"])
    assert_refused(answer, 400, "confirm", tms)
    assert list(answer.json()["errors"]) == ["confirm"]
    assert "This would go to 2 customers on " in answer.json()["message"]
    assert 'send it with "confirm": 2.' in answer.json()["message"]


@asked
def test_with_the_number_of_distinct_customers_it_is_sent(fetch, tms):
    answer = fetch(cids=["a1", "b2", "a1"], confirm=2)
    assert (answer.status_code, answer.json()["repeated"], len(tms.calls())) == (200, 1, 1)
    assert '"confirm"' not in AuditEntry.objects.get(kind="INTENT").body


@asked
@pytest.mark.parametrize("number", [0, 1, 3, -2, 10**30])
def test_another_number_sends_nothing(fetch, tms, number):
    answer = fetch(cids=["a1", "b2", "a1"], confirm=number)
    assert_refused(answer, 400, "confirm", tms)
    assert "not the number of customers, which is 2" in answer.json()["message"]


@pytest.mark.parametrize("number", [True, False, "1", 1.0, None, [1], {"count": 1}])
def test_what_is_no_whole_number_is_refused_wherever_it_stands(fetch, tms, number):
    assert_refused(fetch(cids=["a1"], confirm=number), 400, "confirm", tms)


@pytest.mark.parametrize("is_on", [True, False])
def test_a_number_that_nobody_asked_for_is_compared_all_the_same(fetch, tms, settings, is_on):
    settings.TMS_JSON_CONFIRM = is_on
    assert_refused(fetch(confirm=3), 400, "confirm", tms)
    assert fetch(confirm=2).status_code == 200


@asked
def test_a_setting_takes_actions_without_the_number(fetch, tms, settings):
    settings.TMS_JSON_CONFIRM = False
    assert fetch().status_code == 200
    assert len(tms.calls()) == 1


@asked
def test_a_replay_is_the_same_payload_with_and_without_the_number(fetch, tms):
    key = uuid.uuid4()
    first = fetch(key=key, confirm=2)
    for again in (fetch(key=key), fetch(key=key, confirm=2)):
        assert (again.status_code, again.json()["replayed"]) == (200, True)
        assert again.json()["job_id"] == first.json()["job_id"]
    assert fetch(key=key, confirm=1).status_code == 400
    assert len(tms.calls()) == 1


@asked
def test_a_refusal_for_the_number_does_not_use_up_the_key(fetch, tms):
    key = uuid.uuid4()
    assert fetch(key=key).status_code == 400
    assert fetch(key=key, confirm=2).json()["job_id"] == str(key)


@asked
def test_who_may_not_send_is_told_that_and_not_the_number(fetch, tms, audrey):
    answer = fetch(client=signed_in(audrey))
    assert (answer.status_code, list(answer.json()["errors"])) == (403, ["user"])
    assert "confirm" not in answer.json()["message"]


def test_below_the_limit_and_elsewhere_nothing_is_asked_for(fetch, tms, settings):
    settings.TMS_CONFIRM_ABOVE, settings.TMS_PRODUCTION_CLUSTERS = 3, ["brooke"]
    assert fetch(cids=["a1", "b2", "a1"]).status_code == 200
    assert fetch(cids=["a1", "b2", "c3"]).status_code == 400
    assert Attempt.objects.filter(outcome="refused").count() == 1
