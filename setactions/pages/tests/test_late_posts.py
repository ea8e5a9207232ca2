"""Forms that arrive too late: nothing typed is lost, nothing is done, and nobody else gets what was typed."""

import re
import time
from html import unescape

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from audit.accounts.second_factors import factors
from audit.actors import Actor
from audit.choices import Kind
from audit.models import AuditEntry
from audit.tests.making import make_attempt
from jobs.models import AppRun, LiveList
from tmsdash.models import KeptForm, Session
from tmsdash.tests.fixtures import PASSWORD, TOKEN, signed_in
from tmsdash.tests.tools import done_within, stored_bytes, text_of

pytestmark = [pytest.mark.usefixtures("databases", "tms"), pytest.mark.pages]
HERE = {"HTTP_ORIGIN": "http://testserver"}
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvbGl2aWEifQ.c2lnbmF0dXJl"
TYPED = {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "cids": "zebra\r\nyak <b>"}
LISTED = {"cluster": "evian3", "token": TOKEN, "cids": "zebra\nyak"}
LONG = "\n".join(f"customer-{number:06d}" for number in range(27_682))


def action_of(client, page, form):
    """Where the form of a page is posted to, which begins like that."""
    return unescape(re.search(rf'action="({form}[^"]*)"', client.get(page).content.decode())[1])


def end_session():
    Session.objects.all().delete()


def late(client, page="/", form="/review/", data=TYPED, **extra):
    """Fill in a form, and send it when the session is over."""
    address = action_of(client, page, form)
    end_session()
    return client.post(address, data, **HERE | extra)


def sign_in(client, page, user="olivia", password=PASSWORD):
    """Fill in the form to sign in that a page shows."""
    content = page.content.decode()
    address = unescape(re.search(r'action="(/login/[^"]*)"', content)[1])
    hidden = dict(re.findall(r'<input type="hidden" name="(next|kept|late)" value="([^"]*)"', content))
    fields = {name: unescape(text) for name, text in hidden.items()}
    return client.post(address, fields | {"username": user, "password": password}, **HERE)


def fields_of(page):
    content = page.content.decode()
    chosen = re.findall(r'<option value="([^"]+)" selected', content)
    return chosen, unescape(re.search(r'<textarea name="cids".*?>\n?(.*?)</textarea>', content, re.DOTALL)[1])


@pytest.fixture
def client(olivia):
    return signed_in(olivia)


def test_the_form_comes_back_filled_in_after_signing_in_and_nothing_was_sent(client, tms):
    page = late(client)
    assert (page.status_code, "Your session has ended. Nothing was sent." in text_of(page)) == (401, True)
    for hidden in ("zebra", TOKEN):  # from whoever passes by, too
        assert hidden not in page.content.decode()
    assert not KeptForm.objects.exists()
    back = client.get(sign_in(client, page).url)
    assert "Nothing was sent. Check it and go on." in text_of(back)
    assert fields_of(back) == (["evian3", "PE-Enable"], "zebra\r\nyak <b>")
    assert TOKEN not in back.content.decode()
    assert TOKEN.encode() not in stored_bytes()
    assert b"zebra" not in stored_bytes()  # but sealed
    assert not AuditEntry.objects.filter(kind=Kind.INTENT).exists()
    assert tms.calls() == []


def test_a_long_list_and_a_file_come_back_from_a_session_that_was_ended_elsewhere(client):
    page = late(client, data=TYPED | {"cids": LONG})
    assert fields_of(client.get(sign_in(client, page).url))[1] == LONG
    csv = SimpleUploadedFile("fleet.csv", b"\xef\xbb\xbf" + LONG.encode())
    back = client.get(sign_in(client, late(client, data=TYPED | {"cids": "", "csv_file": csv})).url)
    assert fields_of(back)[1] == LONG
    assert "fleet.csv" in text_of(back)


def test_a_list_of_the_longest_ids_that_may_be_posted_comes_back(client):
    ids = "\n".join(f"{number * 7919:0128x}"[::-1] for number in range(30_000))
    assert fields_of(client.get(sign_in(client, late(client, data=TYPED | {"cids": ids})).url))[1].count("\n") == 29_999


def test_whoever_mistypes_the_password_still_has_the_form(client):
    page = late(client)
    for _ in range(4):
        page = sign_in(client, page, password="wrong")
        assert page.status_code == 200
    throttled = sign_in(client, page, password="wrong")
    assert (throttled.status_code, "Wait 15 minutes" in text_of(throttled)) == (429, True)
    again = sign_in(client, sign_in(client, throttled), password="wrong")
    assert 'name="kept"' in again.content.decode()


def test_it_comes_back_after_the_second_step_as_well_and_after_single_sign_on_in_another_tab(client, olivia, settings):
    settings.OIDC_ISSUER_URL = "http://127.0.0.1:1"
    secret = "A" * 32
    counter = int(time.time()) // 30
    codes = factors.add(olivia, secret, format_hotp_value(hotp_value(secret, counter)), Actor(user_id="olivia"))
    page = late(client)
    assert "I have signed in in another tab" in text_of(page)
    asked = sign_in(client, page).content.decode()
    hidden = dict(re.findall(r'<input type="hidden" name="(next|kept|first)" value="([^"]*)"', asked))
    address = unescape(re.search(r'action="(/login/[^"]*)"', asked)[1])
    fields = {name: unescape(text) for name, text in hidden.items()}
    assert fields_of(client.get(client.post(address, fields | {"code": codes[0]}, **HERE).url))[1] == TYPED["cids"]
    elsewhere = signed_in(olivia)  # as by the provider, in the same browser
    assert fields_of(elsewhere.get(sign_in(elsewhere, page, "", "").url))[1] == TYPED["cids"]


def test_somebody_else_who_signs_in_gets_nothing_of_it(client, olivia, oscar):
    page = late(client)
    answer = sign_in(client, page, user="oscar")
    assert answer.url == "/"
    assert "zebra" not in client.get(answer.url).content.decode()
    assert not KeptForm.objects.exists()
    client.force_login(olivia)
    kept = sign_in(client, late(client)).url
    assert signed_in(oscar).get(kept).url == "/"  # what is kept for olivia cannot be asked for either


def test_no_foreign_page_plants_a_list_and_no_user_plants_one_for_another(client, oscar, tms):
    address = action_of(client, "/", "/review/")
    end_session()
    for origin in ({"HTTP_ORIGIN": "https://evil.example"}, {"HTTP_ORIGIN": "null"}, {}):
        answer = client.post(address, TYPED, **origin)
        assert (answer.status_code, "kept" in answer.url) == (302, False)
    assert client.post("/review/?author=1", TYPED, **HERE).url.startswith("/login/?next=/review/&late=")
    planted = late(signed_in(oscar))
    assert sign_in(client, planted, user="olivia").url == "/"


@pytest.mark.parametrize("author", ["", "?author=1:forged"])
def test_only_a_page_of_ours_makes_the_server_read_a_long_body_of_a_stranger(author):
    assert Client().post(f"/review/{author}", TYPED | {"cids": LONG}, **HERE).status_code == 413


@pytest.mark.parametrize("typed", [TOKEN, f'"Bearer {TOKEN}"', f'{{"access_token":"{TOKEN}"}}'])
def test_tokens_among_the_ids_are_not_kept(client, typed):
    page = late(client, data=TYPED | {"token": typed, "cids": f"zebra\n{TOKEN}\n{JWT}\nyak", "note": "OPS-12"})
    back = client.get(sign_in(client, page).url)
    assert fields_of(back)[1] == "zebra\n[token removed]\n[token removed]\nyak"
    assert "Text that looked like a token was removed." in text_of(back)
    assert 'name="note" value="OPS-12"' in back.content.decode()


def test_a_list_pasted_in_place_of_the_token_takes_no_longer_than_other_forms(client):
    cids = [f"{number:032x}" for number in range(27_682)]  # to look for each in all that was typed takes an hour
    with done_within(20):
        page = late(client, data=TYPED | {"token": ",".join(cids), "cids": "\n".join(cids)})
        assert fields_of(client.get(sign_in(client, page).url))[1] == "\n".join(cids)


@pytest.mark.parametrize("kept_for", ["", "nowhere", "?x=1", "//evil.example/", "https://evil.example/"])
def test_what_is_handed_over_for_no_page_of_ours_is_refused(client, kept_for):
    keep = action_of(client, "/", "/review/").replace("/review/", "/keep/")
    for sender in (client, Client()):
        assert sender.post(keep, TYPED | {"kept_for": kept_for}, **HERE).status_code == 400
    assert not KeptForm.objects.exists()


def test_the_reason_for_a_decision_comes_back_with_the_choice(adam):
    attempt = make_attempt(Kind.UNKNOWN)
    address = f"/attempts/{attempt.attempt_id}/"
    client, reason = signed_in(adam), "Tina saw it: https://tickets.example/browse/MIGRATION-2024-000123456789"
    data = {"ruling": "applied", "reason": reason}
    page = late(client, address, f"{address}decide/", data)
    back = client.get(sign_in(client, page, user="adam").url).content.decode()
    assert f">{reason}</textarea>" in back
    assert re.search(r'value="applied" required checked', back)
    assert "Nothing was decided." in back
    assert not AuditEntry.objects.filter(kind=Kind.DECIDED).exists()


def test_lists_to_look_at_and_customers_whose_apps_are_read_come_back(client):
    back = client.get(sign_in(client, late(client, "/apps/", "/apps/start/", LISTED)).url)
    assert (fields_of(back), AppRun.objects.count()) == ((["evian3"], LISTED["cids"]), 0)
    back = client.get(sign_in(client, late(client, "/status/evian3/?state=2", "/status/evian3/list/", TYPED)).url)
    assert (fields_of(back)[1], LiveList.objects.count()) == (TYPED["cids"], 0)
    answer = {"answer": '{"a1": {"action_code": 2}}', "may_be_fewer": "on"}
    back = client.get(sign_in(client, late(client, "/status/evian3/", "/status/evian3/answer/", answer)).url)
    assert answer["answer"] in unescape(back.content.decode())
    assert re.search('name="may_be_fewer" [^>]*checked', back.content.decode())


def test_after_a_button_that_came_too_late_the_page_says_that_it_did_nothing(client):
    attempt = make_attempt(Kind.UNKNOWN, user_id="olivia")
    end_session()
    answer = client.post(f"/attempts/{attempt.attempt_id}/check/", {"token": TOKEN}, **HERE)
    page = client.get(answer.url)
    assert "The button that was pressed did nothing." in text_of(page)
    back = client.get(sign_in(client, page).url, follow=True)
    assert back.request["PATH_INFO"] == f"/attempts/{attempt.attempt_id}/"
    assert "so it did nothing" in text_of(back)
    assert "so it did nothing" not in text_of(client.get(back.request["PATH_INFO"]))
    foreign = Client().get("/login/?next=/jobs/&late=forged")
    assert "did nothing" not in text_of(foreign)


# -- A CSRF token of another sign-in ---------------------------------------------------------------------------------


@pytest.fixture
def browser(client):
    """A client of olivia's whose CSRF tokens are checked, and whose pages have old ones."""
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    strict.address = action_of(strict, "/", "/review/")
    return strict


def test_a_form_with_the_token_of_an_earlier_sign_in_comes_back_filled_in(browser, tms):
    answer = browser.post(browser.address, TYPED | {"csrfmiddlewaretoken": "x" * 64}, **HERE)
    back = browser.get(answer.url)
    assert fields_of(back)[1] == TYPED["cids"]
    assert "Nothing was sent. Check it and go on." in text_of(back)
    assert TOKEN.encode() not in stored_bytes()


def test_a_foreign_page_still_gets_a_403_and_keeps_nothing(browser):
    for origin in ({"HTTP_ORIGIN": "https://evil.example"}, {}):
        assert browser.post(browser.address, TYPED, **origin).status_code == 403
    assert not KeptForm.objects.exists()


def test_the_form_of_another_user_does_not_come_back_to_whoever_is_signed_in_now(browser, oscar):
    others = signed_in(oscar)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = others.cookies
    answer = strict.post(browser.address, TYPED, **HERE)
    assert (answer.url, KeptForm.objects.count()) == ("/review/", 0)
    assert "so its button did nothing" in text_of(strict.get("/review/", follow=True))


def test_a_page_to_sign_in_that_is_older_than_a_sign_in_in_another_tab_leads_on(browser, olivia):
    end_session()
    page = browser.post(browser.address, TYPED, **HERE)
    assert 'name="kept"' in page.content.decode()  # its CSRF token was missing, too
    still = sign_in(browser, page)
    assert (still.status_code, "Enter your password once more" in text_of(still)) == (403, True)
    browser.cookies = signed_in(olivia).cookies
    assert fields_of(browser.get(sign_in(browser, still).url))[1] == TYPED["cids"]


# -- What the script of a page asks for ------------------------------------------------------------------------------


def test_what_a_page_hands_over_is_never_acted_upon(client, tms):
    attempt = make_attempt(Kind.UNKNOWN)
    decide = f"/attempts/{attempt.attempt_id}/decide/"
    author = action_of(client, "/", "/review/").partition("?")[2]
    data = {"kept_for": decide, "ruling": "applied", "reason": "I saw it, really."}
    answer = client.post(f"/keep/?{author}", data, **HERE)  # somebody has signed in meanwhile
    assert answer.url.startswith(f"{decide}?kept=")
    end_session()
    page = client.post(f"/keep/?{author}", TYPED | {"kept_for": "/review/"}, **HERE)
    assert fields_of(client.get(sign_in(client, page).url))[1] == TYPED["cids"]
    assert not AuditEntry.objects.filter(kind=Kind.DECIDED).exists()
    for place in ("https://evil.example/", "//evil.example"):
        assert client.post(f"/keep/?{author}", {"kept_for": place}, **HERE).status_code == 400


def test_few_forms_are_kept_for_an_account_and_each_for_a_day(client, monkeypatch):
    for number in range(12):
        back = sign_in(client, late(client, data=TYPED | {"cids": f"c{number}"})).url
    assert KeptForm.objects.count() == 10
    assert fields_of(client.get(back))[1] == "c11"
    KeptForm.objects.update(kept_at="2020-01-01T00:00Z")
    assert client.get(back).url == "/"


# -- What was reviewed -----------------------------------------------------------------------------------------------


@pytest.fixture
def review(client):
    """The address of a review, and where its form is posted to."""
    place = client.post("/review/", TYPED | LISTED).url
    return place, action_of(client, place, place)


def test_a_review_comes_back_and_asks_for_the_token_again(client, review, tms):
    place, sending = review
    end_session()
    answer = client.post(sending, {"confirm": "2"}, **HERE)
    back = client.get(sign_in(client, client.get(answer.url)).url, follow=True)
    assert back.request["PATH_INFO"] == place
    for words in ("so it did nothing", "Nothing has been sent yet", "zebra"):
        assert words in text_of(back)
    assert tms.calls() == []


def test_where_an_earlier_click_sent_it_the_page_shows_what_became_of_it(client, review, tms):
    place, sending = review
    sent = client.post(sending, **HERE)
    end_session()
    answer = client.post(sending, **HERE)
    back = client.get(sign_in(client, client.get(answer.url)).url, follow=True)
    assert back.request["PATH_INFO"] == sent.url
    assert "Accepted" in text_of(back)
    assert "Nothing" not in text_of(back).split("Accepted")[0]
    assert len(tms.calls()) == 1


def test_a_review_of_an_earlier_sign_in_leads_back_to_itself(client, review, tms):
    place, sending = review
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    back = strict.get(strict.post(sending, **HERE).url, follow=True)
    assert back.request["PATH_INFO"] == place
    assert "so its button did nothing" in text_of(back)
    assert tms.calls() == []
