"""Before a compared list is sent, its user is told of attempts that touched its customers since the comparison."""

import json

import pytest

from audit.models import Attempt, AuditEntry
from jobs.models import Batch
from setactions.live import reading
from setactions.pages.tests.batch_pages import started, upload
from setactions.pages.tests.test_comparison import compared, intents
from setactions.pages.tests.test_new_action import fill_in, hidden_fields, press, proceed
from setactions.resolving.tests.doubting import tms_does
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import at_once, table_missing, text_of

pytestmark = pytest.mark.usefixtures("small_chunks")
TOUCHED = "Touched since you compared"
LISTS = {"send/": "a1,b2", "start/": "a1,b2,c3,d4"}
by_way = pytest.mark.parametrize("way", LISTS)


@pytest.fixture(autouse=True)
def fleet(tms):
    """Customers to whom something was done before; of none of it the dashboard knows."""
    tms_does(tms, "PE-Enable", *["a1", "b2", "c3", "d4"])


@pytest.fixture
def others(oscar):
    """oscar sends an action for some customers, and returns the attempt."""
    client = signed_in(oscar)

    def send(cids="b2", action="PE-Finalize", **changes):
        answer = proceed(client, fill_in(client, cids=cids, action=action, **changes), send_again="1")
        assert answer.status_code == 302, text_of(answer)
        return Attempt.objects.get(attempt_id=answer.url.split("/")[2])

    return send


def compared_review(client, way="send/"):
    return hidden_fields(compared(client, upload(client, LISTS[way].split(",")))) | {"send_again": "1"}


def intents_of(user_id):
    entries = AuditEntry.objects.filter(kind="INTENT", user_id=user_id).order_by("sequence")
    return [json.loads(entry.body) for entry in entries]


@by_way
def test_who_touched_the_customers_meanwhile_is_named_once_and_then_the_list_is_sent(
    operator, others, tms, engine_at_rest, way
):
    fields = compared_review(operator, way)
    other, calls = others(), len(tms.calls())
    answer = press(operator, way, fields | {"confirm": "2"})
    page = text_of(answer)
    assert (answer.status_code, len(tms.calls()), Batch.objects.count()) == (409, calls, 0)
    assert "Other attempts touched 1 customer of this list since you compared it; they are named below." in page
    assert f"1 customer: PE-Finalize of oscar was accepted, at {other.created_at:%d %b %H:%M} UTC" in page
    assert (TOUCHED in page, str(other.attempt_id) in page, "Ask oscar first." in page) == (True, True, True)
    assert not intents_of("olivia")

    sent = press(operator, way, hidden_fields(answer) | {"send_again": "1"})
    assert sent.status_code == 302, text_of(sent)
    engine_at_rest()
    assert {intent["compared"]["later_attempts"] for intent in intents_of("olivia")} == {1}


def test_somebody_who_may_see_the_other_attempt_is_led_to_it(operator, tms):
    fields = compared_review(operator)
    address = proceed(operator, fill_in(operator, cids="a1", action="T-Enable")).url
    page = press(operator, "send/", fields).content.decode()
    assert f'href="{address}"' in page


@pytest.mark.parametrize("fault", ["reset-after", "http:500"])
def test_attempts_without_a_known_outcome_count(operator, others, fault):
    fields = compared_review(operator)
    others(token=f"fault:{fault}")
    assert "PE-Finalize of oscar has no known outcome" in text_of(press(operator, "send/", fields))


def test_nothing_is_said_of_what_changed_nobody_on_the_list(operator, others, tms):
    fields = compared_review(operator)
    others(cids="c3")
    others(token="fault:unauthorized")
    assert press(operator, "send/", fields).status_code == 302


def test_nothing_is_said_of_what_was_there_before_the_comparison_or_without_one(operator, others):
    others()
    assert press(operator, "send/", compared_review(operator)).status_code == 302
    page = fill_in(operator, cids="c3")
    others(cids="c3")
    assert proceed(operator, page).status_code == 302


def test_what_came_after_a_reading_that_was_shared_is_said(operator, oscar, others):
    compared(signed_in(oscar))
    others()
    page = compared(operator, fill_in(operator))
    assert TOUCHED in text_of(page)
    assert proceed(operator, page, send_again="1").status_code == 302
    assert intents_of("olivia")[0]["compared"]["later_attempts"] == 1


def test_comparing_again_shows_what_changed_and_there_is_nothing_left_to_say(operator, others, monkeypatch):
    answer = press(operator, "send/", compared_review(operator))
    assert answer.status_code == 302
    fields = compared_review(operator)
    others()
    page = press(operator, "send/", fields)
    assert page.status_code == 409
    monkeypatch.setattr(reading, "FRESH_S", -60)
    again = compared(operator, page)
    assert "1 further on: would go back" in text_of(again)
    assert TOUCHED not in text_of(again)
    assert press(operator, "send/", hidden_fields(again) | {"send_again": "1"}).status_code == 302
    assert "later_attempts" not in intents()[-1]["compared"]


def test_who_comes_after_that_was_said_is_said_as_well(operator, others):
    fields = compared_review(operator)
    for count in (1, 2):
        others(cids="a1" if count == 1 else "b2")
        answer = press(operator, "send/", fields)
        assert (answer.status_code, TOUCHED in text_of(answer)) == (409, True)
        fields = hidden_fields(answer) | {"send_again": "1"}
    assert press(operator, "send/", fields).status_code == 302
    assert intents_of("olivia")[0]["compared"]["later_attempts"] == 2


def test_without_those_there_the_others_are_still_looked_after(operator, others, tms):
    tms_does(tms, "T-Enable", "c3")
    page = compared(operator, fill_in(operator, cids="a1,b2,c3", action="T-Enable"))
    rest = press(operator, "leave-out-there/", hidden_fields(page))
    others()
    assert TOUCHED in text_of(press(operator, "send/", hidden_fields(rest)))


def test_a_list_that_is_sent_twice_at_once_is_sent_once_and_its_own_attempt_is_not_named(operator, olivia, tms):
    fields = compared_review(operator)
    posts = len([call for call in tms.calls() if call.method == "POST"])
    clients = [signed_in(olivia) for _ in range(8)]
    answers = at_once(8, lambda number: press(clients[number], "send/", fields | {"token": TOKEN}))
    assert {answer.status_code for answer in answers} == {302}
    assert len({answer.url for answer in answers}) == 1
    assert len([call for call in tms.calls() if call.method == "POST"]) == posts + 1


def test_a_batch_that_is_started_twice_does_not_name_its_own_chunks(operator, tms, engine_at_rest, monkeypatch):
    fields = compared_review(operator, "start/")
    batch = started(press(operator, "start/", fields))
    engine_at_rest()
    from setactions.pages import batch_controls

    monkeypatch.setattr(batch_controls, "was_sent", lambda *_, **__: False)  # both looked before either had begun
    assert started(press(operator, "start/", fields)) == batch


def test_without_the_audit_nothing_is_sent(operator, tms):
    fields, calls = compared_review(operator), len(tms.calls())
    with table_missing("audit", "audit_attempt"):
        answer = press(operator, "send/", fields)
    assert (answer.status_code, len(tms.calls())) == (503, calls)
    assert "A database cannot be read now" in text_of(answer)
    assert press(operator, "send/", hidden_fields(answer) | {"token": TOKEN, "send_again": "1"}).status_code == 302
