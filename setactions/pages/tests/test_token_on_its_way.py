"""The token on its way from the form over the review page to the call: sealed, for ten minutes, and never shown."""

import pytest

from setactions.pages.tests.test_new_action import fill_in, hidden_fields, press, proceed
from tmsdash import seals
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.pages

PLANTED = "planted-secret-token-0123456789"


@pytest.fixture
def operator(olivia):
    return signed_in(olivia)


def test_a_token_is_kept_for_ten_minutes_and_then_asked_for_again(operator, tms, monkeypatch):
    review = fill_in(operator)
    monkeypatch.setattr(seals, "SEALED_FOR_S", -1)
    asked = proceed(operator, review)
    assert asked.status_code == 400
    assert "ten minutes" in text_of(asked)
    assert 'name="token"' in asked.content.decode()
    assert tms.calls() == []
    sent = proceed(operator, asked, token=TOKEN)
    assert sent.status_code == 302
    assert tms.calls()[0].cids == ("a1", "b2")


def test_a_refusal_does_not_renew_the_ten_minutes(operator, tms, settings):
    review = fill_in(operator)
    [(name, before)] = [(name, one.value) for name, one in operator.cookies.items() if name.startswith("review_token")]
    settings.TMS_PASSIVE = True
    assert proceed(operator, review).status_code == 503
    assert operator.cookies[name].value == before


def test_a_token_typed_later_that_stands_among_the_ids_is_not_shown(operator, tms, monkeypatch):
    review = fill_in(operator, cids=f"a1,{PLANTED}")
    monkeypatch.setattr(seals, "SEALED_FOR_S", -1)
    page = proceed(operator, proceed(operator, review), token=PLANTED)
    assert page.status_code == 400
    assert "is among the customer ids" in text_of(page)
    assert PLANTED not in page.content.decode()
    assert tms.calls() == []


def test_no_page_holds_the_token_in_clear(operator, tms):
    pages = [
        fill_in(operator, token=PLANTED, cids=f"a1\n{PLANTED}\nb2"),
        fill_in(operator, token=PLANTED, cids="a b"),
        fill_in(operator, token=PLANTED + " x"),
        review := fill_in(operator, token=PLANTED),
        press(operator, "edit/", hidden_fields(review)),
        operator.get(proceed(operator, review, token=PLANTED).url),
        proceed(operator, fill_in(operator, token=PLANTED)),
        fill_in(operator, cids="a1\neyJhbGciOi.eyJzdWIi.c2ln", token=PLANTED),
    ]
    for page in pages:
        assert PLANTED not in page.content.decode()
        assert "eyJhbGciOi" not in page.content.decode()
        assert page.status_code in (200, 400, 409)
