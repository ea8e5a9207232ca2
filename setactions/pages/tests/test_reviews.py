"""A review is used once, in the way that its page offered, for the cluster that it showed, and not for ever."""

import uuid

import pytest
from django.core import signing

from audit.models import Attempt
from jobs.models import Batch, StoredReview
from jobs.reviews import keep_review
from setactions.devtools.simulator import Simulator
from setactions.pages.tests.batch_pages import started, upload
from setactions.pages.tests.test_new_action import AT, fill_in, hidden_fields, press, without_token
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import text_of

WAYS = ["send/", "start/"]
LISTS = {"send/": ["a1", "b2"], "start/": ["a1", "b2", "c3", "d4", "e5"]}
SALT = "setactions.review"
by_way = pytest.mark.parametrize("way", WAYS)

pytestmark = [pytest.mark.usefixtures("small_chunks"), pytest.mark.pages]


@pytest.fixture
def other_tms():
    with Simulator() as simulator:
        yield simulator


def review_for(client, way):
    """The hidden fields of a review page that offers this way."""
    return hidden_fields(upload(client, LISTS[way]))


def stored(fields):
    """What was kept of the review of a page."""
    return signing.loads(StoredReview.objects.get(review_id=fields[AT].split("/")[2]).signed, salt=SALT)


def altered(fields, **changes):
    """The same review as it would be kept with other contents."""
    state = stored(fields)
    kept = {name: value for name, value in (state | changes).items() if value is not None}
    keep_review(uuid.UUID(kept["attempt"]), kept["user"], signing.dumps(kept, salt=SALT, compress=True))
    return fields | {AT: f"/review/{kept['attempt']}/"}


def made(fields, seconds_ago):
    """The same review, made that much earlier."""
    return altered(fields, at=stored(fields)["at"] - seconds_ago)


def assert_shown_again(answer, fields, sentence, status=400):
    """Nothing was sent, and the same list is there for another review, under an id of its own."""
    page = text_of(answer)
    assert (answer.status_code, sentence in page, "Yes, Proceed" in page) == (status, True, True), page
    before, after = stored(fields), stored(hidden_fields(answer))
    assert after["cids"] == before["cids"]
    assert after["attempt"] != before["attempt"]
    assert not Attempt.objects.exists()
    assert not Batch.objects.exists()


def assert_sent(client, way, fields):
    answer = press(client, way, fields)
    assert answer.status_code == 302, text_of(answer)
    return answer.url


@by_way
def test_a_review_is_not_sent_in_the_other_way_than_its_page_offered(operator, tms, way):
    fields = review_for(operator, way)
    answer = press(operator, WAYS[way == "send/"], fields)
    assert_shown_again(answer, fields, "a review is sent only as its page offered", 409)
    assert tms.calls() == []
    assert_sent(operator, way, hidden_fields(answer) | {"token": TOKEN})


@by_way
def test_one_review_posted_to_both_addresses_is_sent_once(operator, tms, engine_at_rest, way):
    fields = review_for(operator, way)
    assert_sent(operator, way, fields)
    assert press(operator, WAYS[way == "send/"], fields).status_code == 409
    engine_at_rest()
    assert sorted(cid for call in tms.calls() for cid in call.cids) == LISTS[way]


@by_way
def test_a_review_that_was_sent_leads_to_what_it_became_even_when_it_has_ended(
    operator, tms, engine_at_rest, settings, way
):
    fields = review_for(operator, way)
    address = assert_sent(operator, way, fields)
    engine_at_rest()
    calls = len(tms.calls())
    settings.TMS_REVIEW_MAX_S = -1
    without_token(operator)
    assert assert_sent(operator, way, fields) == address
    assert len(tms.calls()) == calls


@by_way
def test_an_id_that_stands_for_something_else_is_not_used(operator, fetch, tms, way):
    fields, key = review_for(operator, way), uuid.uuid4()
    fetch(key=key, cids=["x9"])
    answer = press(operator, way, altered(fields, attempt=str(key)))
    assert (answer.status_code, len(tms.calls())) == (409, 1)
    assert "was used for something else" in text_of(answer)


def test_the_id_of_a_batch_is_not_used_for_a_single_call(operator, tms, engine_at_rest):
    batch = started(press(operator, "start/", review_for(operator, "start/")))
    engine_at_rest()
    calls = len(tms.calls())
    answer = press(operator, "send/", altered(hidden_fields(fill_in(operator)), attempt=str(batch.batch_id)))
    assert (answer.status_code, len(tms.calls())) == (409, calls)


@by_way
def test_a_cluster_that_is_pointed_elsewhere_after_the_review_gets_nothing(operator, tms, other_tms, settings, way):
    fields = review_for(operator, way)
    settings.TMS_CLUSTERS = settings.TMS_CLUSTERS | {"evian3": other_tms.url}
    answer = press(operator, way, fields)
    assert answer.status_code == 400
    assert "The cluster evian3 has another address than when you reviewed this list" in text_of(answer)
    assert "\n".join(LISTS[way]) in answer.content.decode()
    assert (tms.calls(), other_tms.calls()) == ([], [])
    assert 'value="evian3" selected' not in press(operator, "edit/", fields).content.decode()


@by_way
def test_clusters_that_change_their_names_with_each_other_get_nothing(operator, tms, other_tms, settings, way):
    settings.TMS_CLUSTERS = {"evian3": tms.url, "brooke": other_tms.url}
    fields = review_for(operator, way)
    settings.TMS_CLUSTERS = {"evian3": other_tms.url, "brooke": tms.url}
    assert press(operator, way, fields).status_code == 400
    assert (tms.calls(), other_tms.calls()) == ([], [])


@by_way
def test_without_its_cluster_a_list_comes_back_on_the_form(operator, tms, settings, way):
    fields = review_for(operator, way)
    settings.TMS_CLUSTERS = {"brooke": "http://127.0.0.1:2"}
    for answer in (press(operator, way, fields), press(operator, "edit/", fields)):
        assert "\n".join(LISTS[way]) in answer.content.decode()
    assert tms.calls() == []


@by_way
def test_a_review_can_be_sent_for_a_day_and_then_comes_back_for_another_one(operator, tms, way):
    fields = review_for(operator, way)
    ended = made(fields, 86_405)
    answer = press(operator, way, ended)
    assert_shown_again(answer, fields, "This review was made too long ago to be sent")
    assert "\n".join(LISTS[way]) in press(operator, "edit/", ended).content.decode()
    assert_sent(operator, way, hidden_fields(answer) | {"token": TOKEN})
    assert_sent(operator, way, made(review_for(operator, way), 86_395) | {"send_again": "1"})


def test_another_review_still_says_how_many_were_left_out(operator, tms):
    fields = made(altered(review_for(operator, "send/"), left_out=2), 86_405)
    page = text_of(press(operator, "send/", fields))
    assert "2 customers who were asked for already are left out." in page


@by_way
def test_a_refusal_makes_a_review_no_younger(operator, tms, settings, way):
    settings.TMS_REVIEW_MAX_S = 120
    fields = made(review_for(operator, way), 100)
    without_token(operator)
    back = hidden_fields(press(operator, way, fields))
    assert "too long ago" not in text_of(press(operator, way, back))
    assert_shown_again(press(operator, way, made(back, 25) | {"token": TOKEN}), back, "made too long ago")


@by_way
def test_a_review_of_a_clock_that_went_back_is_refused(operator, tms, way):
    fields = review_for(operator, way)
    assert_shown_again(press(operator, way, made(fields, -65)), fields, "this review was made in the future")
    assert_sent(operator, way, made(fields, 10) | {"token": TOKEN})  # 55 s ahead: another host of the site may be


@by_way
def test_a_review_of_the_version_before_comes_back_for_another_one(operator, tms, way):
    fields = altered(review_for(operator, way), origin=None, at=None, batch=None)
    assert_shown_again(press(operator, way, fields), fields, "This review was made too long ago to be sent")
    assert "\n".join(LISTS[way]) in press(operator, "edit/", fields).content.decode()


@by_way
def test_damaged_ids_that_were_not_asked_about_yet_come_back_on_the_form(operator, tms, way):
    fields = altered(review_for(operator, way), cids=["#N/A", *LISTS[way]])
    for answer in (press(operator, way, fields), press(operator, "leave-out/", fields)):
        assert answer.status_code == 400
        assert "Ids of this list look damaged" in text_of(answer)
        assert "\n".join(["#N/A", *LISTS[way]]) in answer.content.decode()
    assert tms.calls() == []
    allowed = altered(fields, allow_unusual=True)
    assert_sent(operator, way, allowed)


def test_a_list_that_became_too_long_for_one_call_comes_back_as_a_batch(operator, tms, settings):
    fields = review_for(operator, "send/")
    settings.TMS_MAX_CIDS_PER_CALL = 1
    answer = press(operator, "send/", fields)
    assert_shown_again(answer, fields, "This runs as a batch", 413)
    assert_sent(operator, "start/", hidden_fields(answer) | {"token": TOKEN})
