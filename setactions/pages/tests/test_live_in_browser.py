"""A batch's page in a real browser while its calls end: what changes, and what is left alone."""

import re
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from tmsdash.tests.browser import fill_in, new_cids
from tmsdash.tests.tools import until

pytestmark = pytest.mark.chromium
DAY = timedelta(days=1)
SLOW = "fault:slow:3600"  # until it is released
TOKEN = "a-token-that-takes-its-time-to-type"
NOTIFICATION = """
window.told = [];
window.Notification = class {
  static get permission() { return localStorage.getItem("allowed") ?? "default"; }
  static async requestPermission() { localStorage.setItem("allowed", "granted"); return "granted"; }
  constructor(title, { body }) { told.push(title, body); }
};"""


def start(page, site, *faults):
    """Start a batch of 30 customers, whose first calls meet these faults, and stay on its page."""
    site.tms.script(*faults)
    fill_in(page, new_cids(30))
    page.get_by_label("Number of customers").fill("30")
    page.get_by_role("button", name="Yes, Proceed").click()
    page.wait_for_url("**/batches/*/")


def start_slowly(page, site):
    """Start a batch whose first two calls wait until they are released."""
    start(page, site, SLOW, SLOW)
    site.tms.wait_for(lambda calls: [call.fault for call in calls].count("slow") == 2)


def test_a_token_that_is_typed_while_calls_end_loses_no_character(open_page, site):
    page = open_page("operator")
    start_slowly(page, site)
    page.get_by_role("button", name="Stop after the running calls").click()
    expect(page.get_by_role("heading", name="Stopping: 2 calls are being finished")).to_be_visible()
    field = page.locator("#go-on").get_by_label("Bearer token")
    field.press_sequentially(TOKEN[:12], delay=20)
    page.evaluate("window.field = document.activeElement")
    site.tms.release()
    expect(page.get_by_role("heading", name="Stopped", exact=True)).to_be_visible()
    expect(page.locator("#tile-accepted")).to_contain_text("10 customers in 2 chunks")
    page.keyboard.type(TOKEN[12:])
    expect(field).to_have_value(TOKEN)
    expect(page.get_by_role("heading", name="Live state")).to_be_visible()  # as soon as there is something to check
    assert page.evaluate("document.activeElement === field && field.isConnected")
    page.get_by_role("button", name=re.compile("Resume: 20 customers left in 4 chunks")).click()
    expect(page.get_by_role("heading", name="Done: TMS accepted every customer")).to_be_visible()


def test_title_and_live_region_follow_and_a_notification_comes_if_it_was_asked_for(open_page, site):
    page = open_page("operator")
    page.add_init_script(NOTIFICATION)
    start_slowly(page, site)
    expect(page).to_have_title(re.compile("^Batch 0 % – PE-Enable for 30 customers on evian3"))
    page.get_by_role("button", name="Notify me when this ends").click()
    expect(page.get_by_text("Your browser will tell you.")).to_be_visible()
    page.reload()  # nobody has to ask again
    expect(page.get_by_text("Your browser will tell you.")).to_be_visible()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#chunk-3'))")
    selected = page.evaluate("getSelection().toString()")
    polled = []
    page.on("request", lambda request: polled.append(urlsplit(request.url).path))
    site.tms.release()
    expect(page).to_have_title(re.compile("^Batch done – PE-Enable"))
    expect(page.locator("#announcement")).to_have_text("Done: TMS accepted every customer. 100 % accepted.")
    assert page.evaluate("getSelection().anchorNode.id") == "chunk-3"
    assert page.evaluate("getSelection().toString()") != selected  # it says how the chunk stands now
    assert page.evaluate("told") == ["Done: TMS accepted every customer", "PE-Enable for 30 customers on evian3"]
    assert {path.split("/")[-2] for path in polled} == {"progress"}
    expect(page.locator("[data-every-s]")).to_have_count(0)


def test_a_lost_connection_is_said_with_its_time_and_so_is_its_return(open_page, site, problems):
    page = open_page("operator")
    page.context.add_cookies([{"name": "time_zone", "value": "Asia/Kathmandu", "url": site.url}])
    start_slowly(page, site)
    page.context.set_offline(True)
    said = page.get_by_text("There is no connection to the dashboard.")
    expect(said).to_contain_text(re.compile(r"is from \d\d:\d\d:\d\d \+0545\. It tries again by itself"))
    hour, minute, second = map(int, re.search(r"(\d\d):(\d\d):(\d\d)", said.inner_text()).groups())
    now = datetime.now(ZoneInfo("Asia/Kathmandu"))
    assert timedelta(hours=now.hour - hour, minutes=now.minute - minute, seconds=now.second - second) % DAY < DAY / 24
    site.tms.release()
    page.context.set_offline(False)
    expect(page.get_by_text(re.compile(r"The connection is back since \d\d:\d\d:\d\d \+0545"))).to_be_visible()
    expect(page.get_by_role("heading", name="Done: TMS accepted every customer")).to_be_visible()
    assert all("ERR_INTERNET_DISCONNECTED" in problem for problem in problems)
    problems.clear()


def test_tiles_lead_to_their_chunks_and_problems_are_shown_alone(open_page, site):
    page = open_page("operator")
    start(page, site, "fault:http:400")
    expect(page.get_by_role("heading", name="Done: not every customer was accepted")).to_be_visible()
    page.get_by_role("link", name=re.compile("Accepted: 25 customers in 5 chunks")).click()
    expect(page.locator("tbody tr")).to_have_count(5)
    page.get_by_role("link", name="Only problems (1)").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("Rejected by TMS")
    page.get_by_role("link", name="All (6)").click()
    expect(page.locator("tbody tr")).to_have_count(6)


def test_without_javascript_the_page_shows_everything_and_a_link_to_look_again(open_page, site):
    page = open_page("operator", java_script_enabled=False)
    start_slowly(page, site)
    site.tms.release()
    page.get_by_role("link", name="Look again").click()
    expect(page.locator("#chunks tbody tr")).to_have_count(6)


def test_a_page_in_the_background_asks_seldom_and_at_once_when_somebody_looks_again(open_page, site):
    page = open_page("operator")
    page.add_init_script("""
      Object.defineProperty(document, "hidden", { get: () => Boolean(window.isAway) });
      const wait = window.setTimeout;
      window.waits = [];
      window.setTimeout = (work, ms) => { waits.push(ms); return wait(work, ms); };
    """)
    start_slowly(page, site)
    until(lambda: page.evaluate("waits.length > 1 && waits.at(-1) === 2000"))
    page.evaluate("window.isAway = true")
    until(lambda: page.evaluate("waits.at(-1) === 30000"))
    page.evaluate("window.isAway = false")
    with page.expect_response("**/progress/"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_the_page_of_an_app_status_run_is_kept_up_to_date_in_the_same_way(open_page, site):
    page = open_page("operator")
    page.goto("/apps/")
    page.get_by_label("Cluster").select_option("evian3")
    page.get_by_label("Bearer token").fill(SLOW)
    page.get_by_label("Customer ids").fill("\n".join(new_cids(2)))
    page.get_by_role("button", name="Read their apps").click()
    expect(page.get_by_role("heading", name="Running")).to_be_visible()
    page.get_by_text("Filter the customers").click()
    customer = page.locator("details.filters input:visible").first
    customer.fill("typed")
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("heading", name="Paused")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page).to_have_title(re.compile("^App status paused – evian3"))
    expect(customer).to_have_value("typed")
