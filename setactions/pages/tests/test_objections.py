"""Customers who were asked for already: the review page names them, and sends them again or leaves them out."""

import re
import uuid

import pytest

from audit.models import Attempt, AuditEntry
from jobs.models import Job
from setactions.pages import sealing
from setactions.pages.tests.test_new_action import AT, fill_in, hidden_fields, press, proceed
from setactions.resolving.tests.doubting import LOST_BEFORE
from tmsdash import seals
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of

pytestmark = [pytest.mark.usefixtures("engine_at_rest"), pytest.mark.pages]
BLOCK = "asked for already"


@pytest.fixture
def others(oscar):
    return signed_in(oscar)


def leave_out(client, page, **extra):
    return press(client, "leave-out/", hidden_fields(page) | extra)


def sent_ids(tms):
    return [call.cids for call in tms.calls()]


def test_what_a_colleague_sends_in_between_stops_the_list_and_is_named_with_its_customers(operator, others, tms):
    first, second = fill_in(operator, cids="a,b,c"), fill_in(others, cids="b,c,d")
    assert BLOCK not in text_of(first) + text_of(second)
    attempt = proceed(others, second).url.split("/")[2]
    page = proceed(operator, first)
    assert page.status_code == 409
    text = text_of(page)
    assert "Nothing was sent" in text
    assert "2 customers of this list were asked for already." in text
    assert "2 of these customers were asked for already" in text
    assert "2 customers: PE-Enable of oscar was accepted, at " in text
    assert f"as attempt {attempt}" in text
    listed = re.search('<ul class="ids">(.*?)</ul>', page.content.decode(), re.DOTALL)[1]
    assert re.findall("<li>(.*?)</li>", listed) == ["b", "c"]
    assert sent_ids(tms) == [("b", "c", "d")]


def test_an_attempt_is_linked_for_who_may_open_it_and_otherwise_its_user_is_to_be_asked(operator, others, adam, tms):
    path = proceed(others, fill_in(others)).url
    for client, is_linked in ((operator, False), (others, True), (signed_in(adam), True)):
        page = fill_in(client)
        assert (f'href="{path}"' in page.content.decode()) is is_linked
        assert ("Ask oscar first." in text_of(page)) is not is_linked
        assert path.split("/")[2] in text_of(page)


def test_the_page_of_a_refused_duplicate_leads_to_the_other_attempt_for_who_may_open_it(operator, others, adam, tms):
    review = fill_in(operator)
    path = proceed(others, fill_in(others)).url
    assert proceed(operator, review).status_code == 409
    refused = Attempt.objects.get(outcome="refused")
    for client, is_linked in ((operator, False), (signed_in(adam), True)):
        page = client.get(f"/attempts/{refused.attempt_id}/")
        assert (f'<a href="{path}">' in page.content.decode()) is is_linked
        assert f"as attempt {path.split('/')[2]}" in text_of(page)


def test_those_who_were_asked_for_are_left_out_and_the_rest_is_reviewed_once_more(operator, others, tms):
    proceed(others, fill_in(others, cids="b,d"))
    page = fill_in(operator, cids="a,b,c,d,e")
    rest = leave_out(operator, page)
    assert rest.status_code == 200
    assert "2 customers who were asked for already are left out." in text_of(rest)
    assert "send_again" not in rest.content.decode()
    assert proceed(operator, rest).status_code == 302  # its token is still sealed
    assert sent_ids(tms) == [("b", "d"), ("a", "c", "e")]
    again = proceed(operator, page)
    assert again.status_code == 409
    assert "All 5 customers were asked for already" in text_of(again)


def test_leaving_out_says_how_many_are_out_by_now_and_counts_on(operator, others, tms):
    proceed(others, fill_in(others, cids="b"))
    rest = leave_out(operator, fill_in(operator, cids="a,b,c,d"))
    proceed(others, fill_in(others, cids="c"))
    fewer = leave_out(operator, rest)
    assert "2 customers who were asked for already are left out." in text_of(fewer)
    assert proceed(operator, fewer).status_code == 302
    assert sent_ids(tms)[-1] == ("a", "d")


def test_with_nobody_left_there_is_no_button_but_a_sentence(operator, others, tms):
    proceed(others, fill_in(others, cids="a,b,c"))
    page = fill_in(operator, cids="c,a")
    assert "leave-out/" not in page.content.decode()
    assert "Without them nobody is left on this list" in text_of(page)
    answer = leave_out(operator, page)
    assert answer.status_code == 409
    assert "nobody left" in text_of(answer)
    assert len(sent_ids(tms)) == 1


def test_a_tick_sends_them_again_and_the_audit_says_so(operator, others, tms):
    proceed(others, fill_in(others, cids="b"))
    page = fill_in(operator, cids="a,b")
    assert "Send this one again" in text_of(page)
    assert proceed(operator, page, send_again="1").status_code == 302
    assert sent_ids(tms) == [("b",), ("a", "b")]
    assert '"send_again":true' in AuditEntry.objects.filter(kind="INTENT").latest("sequence").body
    assert Job.objects.count() == 2


@pytest.mark.parametrize("was_named", ["b", ""], ids=["some were named", "nobody was named"])
def test_a_tick_covers_nobody_whom_the_page_did_not_name(operator, others, tms, was_named):
    if was_named:
        proceed(others, fill_in(others, cids=was_named))
    page = fill_in(operator, cids="a,b,c")
    proceed(others, fill_in(others, cids="c"))
    again = proceed(operator, page, send_again="1")
    assert again.status_code == 409
    summary = "2 customers of this list were" if was_named else "1 customer of this list was"
    assert f"{summary} asked for already." in text_of(again)
    assert ("a", "b", "c") not in sent_ids(tms)
    assert proceed(operator, again, send_again="1").status_code == 302
    assert sent_ids(tms)[-1] == ("a", "b", "c")


def test_without_its_token_the_rest_asks_for_it(operator, others, tms, monkeypatch):
    proceed(others, fill_in(others, cids="b"))
    page = fill_in(operator, cids="a,b")
    monkeypatch.setattr(seals, "SEALED_FOR_S", -1)
    rest = leave_out(operator, page)
    assert 'name="token"' in rest.content.decode()
    assert proceed(operator, rest, token=TOKEN).status_code == 302


def test_the_seal_of_the_rest_is_no_younger_than_the_one_it_came_from(operator, others, tms, monkeypatch):
    proceed(others, fill_in(others, cids="b"))
    page = hidden_fields(fill_in(operator, cids="a,b"))
    before = opened(operator, page)
    rest = hidden_fields(press(operator, "leave-out/", page))
    assert opened(operator, rest) == before


def opened(client, fields):
    """When a page's token was sealed, and the token."""
    review_id = uuid.UUID(fields[AT].split("/")[2])
    return sealing._open(client.cookies[f"review_token_{review_id.hex}"].value, "olivia", review_id)


def test_what_was_typed_stays_after_a_refusal(operator, others, tms, settings):
    settings.TMS_CONFIRM_ABOVE = 2
    page = fill_in(operator, cids="a,b")
    proceed(others, fill_in(others, cids="b"))
    refused = proceed(operator, page, confirm="2")
    assert (refused.status_code, 'value="2"' in refused.content.decode()) == (409, True)
    wrong = proceed(operator, page, confirm='3"><b>')
    assert (wrong.status_code, "3&quot;&gt;&lt;b&gt;" in wrong.content.decode()) == (400, True)
    assert 'value="2"' not in leave_out(operator, refused, confirm="2").content.decode()


def test_a_list_whose_outcome_is_unknown_is_named_as_such(operator, others, tms, settings):
    settings.TMS_DUPLICATE_WINDOW_S = 0
    proceed(others, fill_in(others, cids="a,b", token=LOST_BEFORE))
    assert "PE-Enable of oscar has no known outcome" in text_of(fill_in(operator, cids="b,c"))


def test_of_many_the_first_are_shown_and_the_others_counted(operator, others, tms):
    cids = [f"c{number}" for number in range(25)]
    proceed(others, fill_in(others, cids="\n".join(cids)))
    page = text_of(fill_in(operator, cids="\n".join(["x0", *cids])))
    assert "25 of these customers were asked for already" in page
    assert "c4 and 20 more" in page


def test_another_users_review_leaves_nothing_out(operator, others, tms):
    answer = leave_out(others, fill_in(operator))
    assert answer.status_code == 404
    assert "a1" not in text_of(answer)
