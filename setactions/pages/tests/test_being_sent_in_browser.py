"""From the review to the answer in a real browser, while TMS takes its time."""

import re

import pytest
from playwright.sync_api import expect

from tmsdash.tests.browser import fill_in, new_cids

pytestmark = pytest.mark.chromium
SLOW = "fault:slow:3600"  # until the simulator is released


def send_slowly(page, site, cids):
    """Send a list whose answer does not come before the simulator is released; returns the attempt's address."""
    site.tms.script(SLOW)
    fill_in(page, cids)
    page.get_by_role("button", name="Yes, Proceed").click()
    expect(page.get_by_role("heading", name="Being sent")).to_be_visible()
    assert site.lists_sent(cids, 1) == [cids]
    return page.url


def test_the_answer_appears_in_place_and_is_announced_and_takes_the_focus_from_nobody(open_page, site):
    page, cids = open_page(), new_cids(2)
    send_slowly(page, site, cids)
    expect(page).to_have_title(re.compile("^Being sent – PE-Enable for"))
    expect(page.get_by_text(re.compile(r"Waiting for TMS for [3-9] seconds"))).to_be_visible()
    page.evaluate("window.isSamePage = true")
    copy = page.get_by_role("button", name="Copy").last
    copy.focus()
    site.tms.release()
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    expect(page).to_have_title(re.compile("^Accepted – PE-Enable for"))
    expect(page.get_by_role("status").filter(has_text="Accepted.")).to_have_count(1)
    expect(copy).to_be_focused()
    assert page.evaluate("window.isSamePage")


def test_double_click_back_and_reload_send_once_and_ask_nothing(open_page, site):
    page, cids = open_page(), new_cids(2)
    site.tms.script(SLOW)
    fill_in(page, cids)
    review = page.url
    page.get_by_role("button", name="Yes, Proceed").dblclick()
    expect(page.get_by_role("heading", name="Being sent")).to_be_visible()
    assert site.lists_sent(cids, 1) == [cids]
    attempt = page.url
    page.reload()
    expect(page).to_have_url(attempt)
    page.go_back()
    expect(page).to_have_url(attempt)  # the review leads on to what it became
    page.goto(review)
    expect(page).to_have_url(attempt)
    site.tms.release()
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    assert site.lists_sent(cids) == [cids]


def test_a_call_goes_on_when_its_browser_is_closed(open_page, site):
    name = site.new_user("operator")
    page, cids = open_page(name), new_cids(2)
    attempt = send_slowly(page, site, cids)
    page.context.close()
    site.tms.release()
    another = open_page(name)
    another.goto(attempt)
    expect(another.get_by_role("heading", name="Accepted")).to_be_visible()


def test_without_javascript_the_page_is_loaded_again_by_itself(open_page, site):
    page, cids = open_page(java_script_enabled=False), new_cids(2)
    send_slowly(page, site, cids)
    site.tms.release()
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()


def test_enter_in_the_number_proceeds_and_an_error_leads_to_its_field(open_page, site):
    page, cids = open_page(), new_cids(11)
    fill_in(page, cids)
    review = page.url
    expect(page.get_by_role("heading", name="Review before sending")).to_be_focused()
    number = page.get_by_label("Number of customers")
    number.fill("12")
    number.press("Enter")
    expect(page).to_have_url(review)
    expect(page.get_by_role("alert")).to_be_focused()
    expect(number).to_have_attribute("aria-invalid", "true")
    expect(number).to_have_accessible_description(re.compile("12 is not the number of customers"))
    expect(number).to_have_value("12")
    page.get_by_role("link", name="Go to the number of customers").click()
    expect(number).to_be_focused()
    page.reload()  # asks nothing, and says the same
    expect(page.get_by_role("alert")).to_be_visible()
    assert site.lists_sent(cids) == []
    number.fill("11")
    number.press("Enter")
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    assert site.lists_sent(cids) == [cids]


def test_enter_in_the_token_field_proceeds_and_the_token_is_no_part_of_page_or_script(open_page, site):
    page, cids = open_page(), new_cids(2)
    fill_in(page, cids)
    cookies = {one["name"]: one for one in page.context.cookies() if one["name"].startswith("review_token")}
    [(name, cookie)] = cookies.items()
    path = page.url.removeprefix(site.url)
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", path)
    page.context.clear_cookies(name=name)
    page.reload()
    token = page.get_by_label("Bearer token")
    token.fill("a-token-that-works")
    token.press("Enter")
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    assert not [one for one in page.context.cookies() if one["name"].startswith("review_")]
