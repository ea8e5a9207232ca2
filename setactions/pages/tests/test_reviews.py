"""A review is used once, in the way that its page offered, for the cluster that it showed, and not for ever."""

import uuid

import pytest
from django.core import signing

from audit.models import Attempt
from jobs.models import Batch
from setactions.devtools.simulator import Simulator
from setactions.pages.tests.batch_pages import started, upload
from setactions.pages.tests.test_new_action import fill_in, hidden_fields
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import text_of

WAYS = ["/send/", "/batches/start/"]
LISTS = {"/send/": ["a1", "b2"], "/batches/start/": ["a1", "b2", "c3", "d4", "e5"]}
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


def altered(fields, **changes):
    """The same review as it would be signed with other contents."""
    state = signing.loads(fields["review"], salt=SALT)
    kept = {name: value for name, value in (state | changes).items() if value is not None}
    return fields | {"review": signing.dumps(kept, salt=SALT, compress=True)}


def made(fields, seconds_ago):
    """The same review, made that much earlier."""
    return altered(fields, at=signing.loads(fields["review"], salt=SALT)["at"] - seconds_ago)


def assert_shown_again(answer, fields, sentence, status=400):
    """Nothing was sent, and the same list is there for another review, under an id of its own."""
    page = text_of(answer)
    assert (answer.status_code, sentence in page, "Yes, Proceed" in page) == (status, True, True), page
    before, after = (signing.loads(each["review"], salt=SALT) for each in (fields, hidden_fields(answer)))
    assert after["cids"] == before["cids"]
    assert after["attempt"] != before["attempt"]
    assert not Attempt.objects.exists()
    assert not Batch.objects.exists()


def assert_sent(client, way, fields):
    answer = client.post(way, fields)
    assert answer.status_code == 302, text_of(answer)
    return answer.url


@by_way
def test_a_review_is_not_sent_in_the_other_way_than_its_page_offered(operator, tms, way):
    fields = review_for(operator, way)
    answer = operator.post(WAYS[way == "/send/"], fields)
    assert_shown_again(answer, fields, "a review is sent only as its page offered", 409)
    assert tms.calls() == []
    assert_sent(operator, way, hidden_fields(answer) | {"token": TOKEN})


@by_way
def test_one_review_posted_to_both_addresses_is_sent_once(operator, tms, engine_at_rest, way):
    fields = review_for(operator, way)
    assert_sent(operator, way, fields)
    assert operator.post(WAYS[way == "/send/"], fields).status_code == 409
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
    del fields["sealed"]
    assert assert_sent(operator, way, fields) == address
    assert len(tms.calls()) == calls


@by_way
def test_an_id_that_stands_for_something_else_is_not_used(operator, fetch, tms, way):
    fields, key = review_for(operator, way), uuid.uuid4()
    fetch(key=key, cids=["x9"])
    answer = operator.post(way, altered(fields, attempt=str(key)))
    assert (answer.status_code, len(tms.calls())) == (409, 1)
    assert "was used for something else" in text_of(answer)


def test_the_id_of_a_batch_is_not_used_for_a_single_call(operator, tms, engine_at_rest):
    batch = started(operator.post("/batches/start/", review_for(operator, "/batches/start/")))
    engine_at_rest()
    calls = len(tms.calls())
    answer = operator.post("/send/", altered(hidden_fields(fill_in(operator)), attempt=str(batch.batch_id)))
    assert (answer.status_code, len(tms.calls())) == (409, calls)


@by_way
def test_a_cluster_that_is_pointed_elsewhere_after_the_review_gets_nothing(operator, tms, other_tms, settings, way):
    fields = review_for(operator, way)
    settings.TMS_CLUSTERS = settings.TMS_CLUSTERS | {"evian3": other_tms.url}
    answer = operator.post(way, fields)
    assert answer.status_code == 400
    assert "The cluster evian3 has another address than when you reviewed this list" in text_of(answer)
    assert "\n".join(LISTS[way]) in answer.content.decode()
    assert (tms.calls(), other_tms.calls()) == ([], [])
    assert 'value="evian3" selected' not in operator.post("/edit/", fields).content.decode()


@by_way
def test_clusters_that_change_their_names_with_each_other_get_nothing(operator, tms, other_tms, settings, way):
    settings.TMS_CLUSTERS = {"evian3": tms.url, "brooke": other_tms.url}
    fields = review_for(operator, way)
    settings.TMS_CLUSTERS = {"evian3": other_tms.url, "brooke": tms.url}
    assert operator.post(way, fields).status_code == 400
    assert (tms.calls(), other_tms.calls()) == ([], [])


@by_way
def test_without_its_cluster_a_list_comes_back_on_the_form(operator, tms, settings, way):
    fields = review_for(operator, way)
    settings.TMS_CLUSTERS = {"brooke": "http://127.0.0.1:2"}
    for answer in (operator.post(way, fields), operator.post("/edit/", fields)):
        assert "\n".join(LISTS[way]) in answer.content.decode()
    assert tms.calls() == []


@by_way
def test_a_review_can_be_sent_for_a_day_and_then_comes_back_for_another_one(operator, tms, way):
    fields = review_for(operator, way)
    ended = made(fields, 86_405)
    answer = operator.post(way, ended)
    assert_shown_again(answer, fields, "This review was made too long ago to be sent")
    assert "\n".join(LISTS[way]) in operator.post("/edit/", ended).content.decode()
    assert_sent(operator, way, hidden_fields(answer) | {"token": TOKEN})
    assert_sent(operator, way, made(review_for(operator, way), 86_395) | {"send_again": "1"})


def test_another_review_still_says_how_many_were_left_out(operator, tms):
    fields = made(altered(review_for(operator, "/send/"), left_out=2), 86_405)
    page = text_of(operator.post("/send/", fields))
    assert "2 customers who were asked for already are left out." in page


@by_way
def test_a_refusal_makes_a_review_no_younger(operator, tms, settings, way):
    settings.TMS_REVIEW_MAX_S = 120
    back = hidden_fields(operator.post(way, made(review_for(operator, way), 100) | {"sealed": ""}))
    assert "too long ago" not in text_of(operator.post(way, back))
    assert_shown_again(operator.post(way, made(back, 25) | {"token": TOKEN}), back, "made too long ago")


@by_way
def test_a_review_of_a_clock_that_went_back_is_refused(operator, tms, way):
    fields = review_for(operator, way)
    assert_shown_again(operator.post(way, made(fields, -65)), fields, "this review was made in the future")
    assert_sent(operator, way, made(fields, -55))  # another host of the site may be ahead


@by_way
def test_a_review_of_the_version_before_comes_back_for_another_one(operator, tms, way):
    fields = altered(review_for(operator, way), origin=None, at=None, batch=None)
    assert_shown_again(operator.post(way, fields), fields, "This review was made too long ago to be sent")
    assert "\n".join(LISTS[way]) in operator.post("/edit/", fields).content.decode()


@by_way
def test_damaged_ids_that_were_not_asked_about_yet_come_back_on_the_form(operator, tms, way):
    fields = altered(review_for(operator, way), cids=["#N/A", *LISTS[way]])
    for answer in (operator.post(way, fields), operator.post("/leave-out/", fields)):
        assert answer.status_code == 400
        assert "Ids of this list look damaged" in text_of(answer)
        assert "\n".join(["#N/A", *LISTS[way]]) in answer.content.decode()
    assert tms.calls() == []
    allowed = altered(fields, allow_unusual=True)
    assert_sent(operator, way, allowed)


def test_a_list_that_became_too_long_for_one_call_comes_back_as_a_batch(operator, tms, settings):
    fields = review_for(operator, "/send/")
    settings.TMS_MAX_CIDS_PER_CALL = 1
    answer = operator.post("/send/", fields)
    assert_shown_again(answer, fields, "This runs as a batch", 413)
    assert_sent(operator, "/batches/start/", hidden_fields(answer) | {"token": TOKEN})
