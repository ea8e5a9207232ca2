"""Where a review is between its pages: its list in the database, its token in a cookie of its own address."""

import secrets
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from jobs import reviews
from jobs.models import Batch, Job, StoredReview
from setactions.pages import review_places
from setactions.pages.tests.test_new_action import AT, fill_in, hidden_fields, press, proceed, without_token
from tmsdash.tests.fixtures import PASSWORD, TOKEN, signed_in
from tmsdash.tests.tools import stored_bytes, table_missing, text_of

pytestmark = pytest.mark.pages

BROWSERS_KEEP = 4096  # characters of a cookie's name and value
PLANTED = "planted-secret-token-0123456789"
FORM = {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "cids": "a1, b2"}


@pytest.fixture
def operator(tms, olivia):
    return signed_in(olivia)


def token_cookie(answer):
    [cookie] = [cookie for name, cookie in answer.cookies.items() if name.startswith("review_token")]
    return cookie


@pytest.mark.parametrize("is_https", [True, False])
def test_the_form_leads_to_the_address_of_its_review_with_the_token_in_a_cookie_of_it(operator, settings, is_https):
    settings.HTTPS_ONLY = is_https
    answer = operator.post("/review/", FORM | {"token": PLANTED})
    [kept] = StoredReview.objects.all()
    assert (answer.status_code, answer.url) == (303, f"/review/{kept.review_id}/")
    cookie = token_cookie(answer)
    flags = [cookie[name] for name in ("path", "max-age", "samesite", "httponly", "secure")]
    assert flags == [answer.url, 600, "Strict", True, is_https or ""]
    assert PLANTED not in str(answer.cookies)
    assert PLANTED not in operator.get(answer.url).content.decode()
    assert PLANTED.encode() not in stored_bytes()


def test_the_cookie_is_gone_once_the_token_was_used_and_when_somebody_cancels(operator):
    for leave in (proceed, lambda client, page: client.post(hidden_fields(page)[AT] + "edit/")):
        answer = leave(operator, fill_in(operator, cids="a1" if leave is proceed else "b2"))
        assert (token_cookie(answer).value, token_cookie(answer)["max-age"]) == ("", 0)


def test_a_review_is_its_users_alone_and_one_that_was_dropped_says_so(operator, oscar):
    address = hidden_fields(fill_in(operator))[AT]
    assert signed_in(oscar).get(address).status_code == 404
    assert "a1" in text_of(operator.get(address))
    StoredReview.objects.all().delete()
    gone = operator.get(address)
    assert (gone.status_code, "not kept any more" in text_of(gone)) == (404, True)


def test_a_review_that_was_sent_leads_on_even_when_it_is_kept_no_more(operator, small_chunks, engine_at_rest):
    for cids, place in (("a1", "attempts"), ("a2,b3,c4,d5,e6", "batches")):
        page = fill_in(operator, cids=cids)
        address = hidden_fields(page)[AT]
        sent = press(operator, "send/" if place == "attempts" else "start/", hidden_fields(page))
        assert sent.url.startswith(f"/{place}/")
        for _ in range(2):
            assert operator.get(address).url == sent.url
            assert operator.post(f"{address}send/").status_code in (302, 303)
            StoredReview.objects.all().delete()
        engine_at_rest()


def test_old_reviews_and_those_that_are_too_many_of_a_user_are_dropped(operator, oscar, settings, monkeypatch):
    monkeypatch.setattr(reviews, "REVIEWS_OF_A_USER", 2)
    others = hidden_fields(fill_in(signed_in(oscar)))[AT]
    first, *later = (hidden_fields(fill_in(operator, cids=f"c{number}"))[AT] for number in range(3))
    assert addresses() == {others, *later}
    StoredReview.objects.update(created_at=timezone.now() - timedelta(seconds=settings.TMS_REVIEW_MAX_S + 1))
    assert addresses() == {others, *later}
    last = hidden_fields(fill_in(operator))[AT]
    assert addresses() == {last}


def addresses():
    return {f"/review/{review_id}/" for review_id in StoredReview.objects.values_list("review_id", flat=True)}


def test_the_review_of_a_fleet_is_a_small_page_without_its_list(operator, settings):
    settings.TMS_MAX_CIDS_PER_CALL = 30_000
    cids = [f"{number:032x}" for number in range(27_682)]
    page = fill_in(operator, cids="\n".join(cids))
    assert len(page.content) < 100_000
    assert cids[500] not in page.content.decode()
    assert "sealed" not in hidden_fields(page)
    assert proceed(operator, page, confirm="27682").status_code == 302
    assert Job.objects.get().customers.count() == len(cids)


def test_a_refusal_is_said_by_the_page_at_its_own_address_until_the_next_step(operator, settings):
    settings.TMS_CONFIRM_ABOVE = 2
    page = fill_in(operator)
    answer = operator.post(hidden_fields(page)[AT] + "send/", {"confirm": "3"})
    assert (answer.status_code, answer.url) == (303, hidden_fields(page)[AT])
    for _ in range(2):  # a reload asks nothing, and says the same
        refused = operator.get(answer.url)
        assert refused.status_code == 400
        assert "3 is not the number of customers" in text_of(refused)
        assert 'aria-invalid="true" aria-describedby="problem"' in refused.content.decode()
    assert proceed(operator, page, confirm="2").status_code == 302


def test_a_notice_that_was_made_up_or_is_of_another_review_says_nothing(operator, settings):
    settings.TMS_CONFIRM_ABOVE = 2
    page, other = fill_in(operator), fill_in(operator, cids="c3, d4")
    press(operator, "send/", hidden_fields(other))
    [signed] = [cookie.value for name, cookie in operator.cookies.items() if name.startswith("review_notice")]
    name = f"review_notice_{hidden_fields(page)[AT].split('/')[2].replace('-', '')}"
    for value in (signed, signed[:-1], "Send it at once."):
        operator.cookies[name] = value
        assert "Nothing has been sent yet." in text_of(operator.get(hidden_fields(page)[AT]))


def test_after_signing_in_again_the_review_is_there_and_says_that_nothing_was_sent(operator, olivia, tms):
    page = fill_in(operator)
    step = hidden_fields(page)[AT] + "send/"
    operator.session.flush()
    signed_out = operator.post(step, {"shown": hidden_fields(page)["shown"]})
    assert signed_out.url == f"/login/?next={step}"
    assert tms.calls() == []
    back = operator.post(signed_out.url, {"username": "olivia", "password": PASSWORD}, follow=True)
    assert back.request["PATH_INFO"] == hidden_fields(page)[AT]
    assert "Nothing has been sent yet." in text_of(back)
    assert proceed(operator, back).status_code == 302
    assert tms.calls()[0].cids == ("a1", "b2")


def test_a_button_with_an_old_security_token_leads_back_to_the_review(olivia, tms):
    client = signed_in(olivia, enforce_csrf_checks=True, HTTP_ORIGIN="http://testserver")
    address = hidden_fields(fill_in(signed_in(olivia)))[AT]
    back = client.post(f"{address}send/", {"token": TOKEN}, follow=True)
    assert (back.request["PATH_INFO"], tms.calls()) == (address, [])
    assert "Nothing has been sent yet." in text_of(back)
    assert "its button did nothing" in text_of(back)


def test_a_list_in_which_its_token_stands_is_not_kept(operator, tms):
    page = fill_in(operator, cids=f"a1,{PLANTED}")
    without_token(operator)
    refused = proceed(operator, page, token=PLANTED)
    assert (refused.status_code, "is among the customer ids" in text_of(refused)) == (400, True)
    assert not StoredReview.objects.exists()
    assert PLANTED not in refused.content.decode()


@pytest.mark.parametrize("step", ["start/", "compare/", "leave-out/"])
def test_nor_is_one_of_a_batch_or_of_what_else_its_page_offers(operator, tms, small_chunks, step):
    page = fill_in(operator, cids=f"a1,b2,c3,d4,{PLANTED}")
    without_token(operator)
    refused = press(operator, step, hidden_fields(page) | {"token": PLANTED})
    assert (refused.status_code, "is among the customer ids" in text_of(refused)) == (400, True)
    assert not StoredReview.objects.exists()
    assert PLANTED not in refused.content.decode()
    assert not Batch.objects.exists()
    assert tms.calls() == []


def test_a_list_in_which_its_token_stands_and_that_cannot_be_dropped_is_not_shown(operator, tms, monkeypatch):
    def fail(*_):
        raise OperationalError("disk is full")

    page = fill_in(operator, cids=f"a1,{PLANTED}")
    without_token(operator)
    monkeypatch.setattr(review_places, "forget_review", fail)
    refused = proceed(operator, page, token=PLANTED)
    assert (refused.status_code, "The jobs database cannot be written" in text_of(refused)) == (503, True)
    assert PLANTED not in refused.content.decode()


def test_a_token_as_long_as_most_are_is_in_a_cookie_that_browsers_keep(operator):
    cookie = token_cookie(operator.post("/review/", FORM | {"token": secrets.token_urlsafe(3600)[:3600]}))
    assert len(cookie.key) + len(cookie.value) <= BROWSERS_KEEP
    page = operator.get(cookie["path"])
    assert "Nothing has been sent yet." in text_of(page)
    assert proceed(operator, page).status_code == 302


def test_one_that_is_too_long_for_a_cookie_is_asked_for_where_it_is_used(operator, settings):
    settings.TMS_CONFIRM_ABOVE = 2
    token = secrets.token_urlsafe(8192)[:8192]
    answer = operator.post("/review/", FORM | {"token": token})
    assert [name for name in answer.cookies if name.startswith("review_token")] == []
    page = operator.get(answer.url)
    assert "Your token is longer than what a browser keeps between two pages." in text_of(page)
    assert 'href="#token"' in page.content.decode()
    again = proceed(operator, page, token=token, confirm="3")
    assert "3 is not the number of customers" in text_of(again)
    assert "Your token is longer" in text_of(again)
    assert proceed(operator, again, token=token, confirm="2").status_code == 302
    assert Job.objects.count() == 1


def test_without_its_database_a_review_says_so_and_sends_nothing(operator, tms):
    page = fill_in(operator)
    with table_missing("jobs", "jobs_storedreview"):
        for answer in (operator.get(hidden_fields(page)[AT]), operator.post(hidden_fields(page)[AT] + "send/")):
            assert (answer.status_code, "The jobs database cannot be read now" in text_of(answer)) == (503, True)
        form = operator.post("/review/", FORM)
        assert (form.status_code, "a1, b2" in form.content.decode()) == (503, True)
    assert tms.calls() == []
