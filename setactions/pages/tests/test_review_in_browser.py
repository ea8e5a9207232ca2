"""The review page in a real browser: what its buttons ask for before they send, and what they send."""

import pytest
from playwright.sync_api import expect

from tmsdash.tests.browser import fill_in, new_cids

pytestmark = pytest.mark.chromium


def test_the_browser_asks_for_number_and_tick_before_it_sends_and_for_neither_to_leave_out(open_page, site):
    cids = new_cids(11)
    before = open_page()
    fill_in(before, cids[:1])
    before.get_by_role("button", name="Yes, Proceed").click()
    assert site.lists_sent(cids, 1) == [cids[:1]]

    page = open_page()
    fill_in(page, cids)
    proceed = page.get_by_role("button", name="Yes, Proceed")
    number, tick = page.get_by_label("Number of customers"), page.get_by_label("Send this one again")
    for give in (lambda: number.fill("11"), tick.check):
        proceed.click()
        expect(page.locator(":focus:invalid")).to_have_count(1)  # the browser has said so, and sends nothing
        give()
    assert len(site.lists_sent(cids)) == 1
    number.fill("")
    tick.uncheck()
    page.get_by_role("button", name="Leave this one out").click()
    expect(page.get_by_text("who was asked for already is left out")).to_be_visible()
    page.get_by_label("Number of customers").fill("10")
    page.get_by_role("button", name="Yes, Proceed").click()
    assert site.lists_sent(cids, 2) == [cids[:1], cids[1:]]
