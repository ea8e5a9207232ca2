"""Finding again what was asked for, in a real browser: Activity, and the queue of what is in doubt."""

import pytest
from playwright.sync_api import expect

from setactions.pages.tests.test_journeys import proceed
from tmsdash.tests.browser import fill_in, new_cids
from tmsdash.tests.fixtures import TOKEN

pytestmark = pytest.mark.chromium


def click(page, navigation, link):
    page.get_by_role("navigation", name=navigation).get_by_role("link", name=link).click()


def refuse(page, site):
    """Let a script of the page's user ask for an action that there is none of."""
    [csrf] = [cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken"]
    data = {"action": "No such action", "cids": new_cids(1)}
    body = {"url": f"{site.tms.url}/tms/v1/set/action", "token": TOKEN, "isPost": True, "postData": data}
    assert page.request.post("/proxy_fetch", data=body, headers={"X-CSRFToken": csrf}).status == 400


def test_what_was_not_accepted_is_two_clicks_away_and_the_last_filter_is_remembered(open_page, site):
    page, rejected, unsent = open_page(), new_cids(2), new_cids(3)
    site.tms.script("fault:not-ready")
    fill_in(page, rejected)
    proceed(page)
    expect(page.get_by_role("heading", name="Rejected by TMS")).to_be_visible()
    fill_in(page, unsent, cluster="nowhere")
    proceed(page)
    expect(page.get_by_role("heading", name="Not sent")).to_be_visible()
    refuse(page, site)
    for outcome in ("Rejected by TMS", "Not sent", "Refused"):
        click(page, "Main", "Activity")
        click(page, "Outcome", outcome)
        expect(page.locator("tbody tr:not(.day)")).to_have_count(1)
        expect(page.locator("tbody tr:not(.day)")).to_contain_text(outcome)
    page.goto("/jobs/")
    click(page, "Main", "Activity")
    expect(page.locator("tbody tr:not(.day)")).to_have_count(1)
    click(page, "Outcome", "Any outcome")
    expect(page.locator("tbody tr:not(.day)")).to_have_count(3)


def test_a_batch_opens_to_its_chunks_and_what_is_in_doubt_waits_in_a_queue(open_page, site):
    page, cids = open_page(), new_cids(30)
    site.tms.script("fault:http:500")
    fill_in(page, cids)
    page.get_by_label("Number of customers").fill("30")
    proceed(page)
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    click(page, "Main", "Activity")
    expect(page.locator("tbody tr:not(.day)")).to_have_count(1)
    page.locator("tbody tr:not(.day)").get_by_role("link", name="chunks").click()
    expect(page.locator("tbody tr:not(.day)")).to_have_count(7)
    click(page, "Main", "In doubt (1)")
    page.get_by_role("table").get_by_role("link", name="PE-Enable").click()
    expect(page.get_by_role("heading", name="Outcome unknown: do not send again")).to_be_visible()
    page.get_by_label("Bearer token").fill(TOKEN)
    page.get_by_role("button", name="Check").first.click()
    expect(page.get_by_role("heading", name="Outcome unknown")).to_be_visible()
