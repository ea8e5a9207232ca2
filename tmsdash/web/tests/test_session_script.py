"""The end of a session in a real browser: it is announced, the page is cleared, and what was typed comes back."""

import re
import sqlite3
from contextlib import closing

import pytest
from playwright.sync_api import expect

from tmsdash.tests.browser import new_cids
from tmsdash.tests.fixtures import PASSWORD, TOKEN

pytestmark = pytest.mark.chromium
IDLE_S = 900
ENDED = re.compile("Your session has ended")


def end_sessions(site):
    """As if they had been ended elsewhere."""
    with closing(sqlite3.connect(site.folder / "app.db", timeout=60)) as database, database:
        database.execute("DELETE FROM tmsdash_session")


def says(page, seconds_left, *, is_last=False):
    """Let the server say of the session how long it lasts."""
    state = {"seconds_left": seconds_left, "is_last": is_last, "max_hours": 12, "csrf_token": "x" * 64}
    page.route("**/api/session", lambda route: route.fulfill(json=state))


def typed(page, cids, **others):
    page.goto("/")
    page.get_by_label("Cluster").select_option("brooke")
    page.get_by_label("Action").select_option("PE-Enable")
    page.get_by_label("Bearer token").fill(TOKEN)
    for label, text in {"Customer IDs": "\n".join(cids), **others}.items():
        page.get_by_label(label).fill(text)


def sign_in(page, name):
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def assert_back(page, cids):
    expect(page.get_by_role("alert").filter(has_text="Nothing was sent. Check it and go on.")).to_be_focused()
    expect(page.get_by_label("Customer IDs")).to_have_value("\n".join(cids))
    expect(page.get_by_label("Cluster")).to_have_value("brooke")
    expect(page.get_by_label("Action")).to_have_value("PE-Enable")
    expect(page.get_by_label("Bearer token")).to_have_value("")


@pytest.fixture
def name(site):
    return site.new_user("operator")


def test_a_page_is_cleared_when_its_session_ends_and_what_was_typed_comes_back(open_page, site, name):
    page, cids = open_page(name), new_cids(3)
    page.clock.install()
    typed(page, cids)
    end_sessions(site)
    page.clock.run_for(IDLE_S * 1000)
    expect(page.get_by_role("heading", name=ENDED)).to_be_visible()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    for hidden in (cids[0], TOKEN, name):
        assert hidden not in page.content()
    sign_in(page, name)
    assert_back(page, cids)
    assert site.lists_sent(cids) == []


def test_a_file_and_a_restarted_server_lose_nothing_without_javascript(open_page, site, name):
    page, cids = open_page(name, java_script_enabled=False), new_cids(4000)
    typed(page, [])
    page.get_by_label("CSV file").set_input_files(
        {"name": "fleet.csv", "mimeType": "text/csv", "buffer": "\n".join(cids).encode()}
    )
    site.server.stop()
    end_sessions(site)
    site.server.start()
    site.server.wait_until_healthy()
    page.get_by_role("button", name="Set Action").click()
    expect(page.get_by_role("heading", name="Your session has ended. Nothing was sent.")).to_be_visible()
    assert cids[0] not in page.content()
    sign_in(page, name)
    assert_back(page, cids)
    page.get_by_label("Bearer token").fill(TOKEN)
    page.get_by_role("button", name="Set Action").click()
    expect(page.get_by_role("heading", name="Review before sending")).to_be_visible()


def test_after_signing_in_in_another_tab_the_form_comes_back_and_goes_on(open_page, site, name):
    page, cids = open_page(name), new_cids(2)
    typed(page, cids)
    end_sessions(site)
    other = page.context.new_page()
    other.goto("/")
    sign_in(other, name)
    expect(other.get_by_role("heading", name="New action")).to_be_visible()
    page.get_by_role("button", name="Set Action").click()
    assert_back(page, cids)


def test_while_the_server_is_away_what_was_typed_waits_out_of_sight(open_page, site, name, problems):
    page, cids = open_page(name), new_cids(2)
    page.clock.install()
    typed(page, cids)
    page.route("**/api/session", lambda route: route.abort())
    page.clock.run_for((IDLE_S + 60) * 1000)
    expect(page.get_by_text("The dashboard does not answer now.")).to_be_visible()
    assert cids[0] not in page.locator("body").inner_text()
    end_sessions(site)
    page.unroute("**/api/session")
    page.clock.run_for(60_000)
    sign_in(page, name)
    assert_back(page, cids)
    problems[:] = [problem for problem in problems if "ERR_FAILED" not in problem]


def test_what_waited_comes_back_to_a_session_that_was_used_elsewhere_meanwhile(open_page, name, problems):
    page, cids = open_page(name), new_cids(2)
    page.clock.install()
    typed(page, cids)
    page.route("**/api/session", lambda route: route.abort())
    page.clock.run_for((IDLE_S + 60) * 1000)
    expect(page.get_by_text("The dashboard does not answer now.")).to_be_visible()
    page.unroute("**/api/session")
    page.clock.run_for(60_000)
    assert_back(page, cids)
    problems[:] = [problem for problem in problems if "ERR_FAILED" not in problem]


def test_two_minutes_before_the_end_a_warning_offers_to_stay_and_takes_no_key(open_page, site, name):
    page = open_page(name)
    page.clock.install()
    typed(page, [])
    page.get_by_label("Customer IDs").focus()
    says(page, 118)
    page.clock.run_for((IDLE_S - 119) * 1000)
    warning = page.get_by_role("region", name="Your session")
    expect(warning.get_by_role("status")).to_contain_text("Your session ends in less than 2 minutes.")
    page.keyboard.type("cust-1 ")
    expect(page.get_by_label("Customer IDs")).to_have_value("cust-1 ")
    page.unroute("**/api/session")
    with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
        warning.get_by_role("button", name="Stay signed in").click()
    assert answer.value.json()["seconds_left"] > IDLE_S - 60
    expect(warning).to_have_count(0)
    expect(page.get_by_label("Customer IDs")).to_have_value("cust-1 ")


def test_of_the_last_minutes_of_all_the_warning_says_so_and_offers_nothing(open_page, name):
    page = open_page(name)
    page.clock.install()
    typed(page, [])
    says(page, 60, is_last=True)
    page.clock.run_for((IDLE_S - 119) * 1000)
    warning = page.get_by_role("region", name="Your session")
    expect(warning).to_contain_text("A session lasts 12 hours at most.")
    expect(warning.get_by_role("button")).to_have_count(0)


ROUND_TRIP = "fetch('/favicon.ico').then(answer => answer.text())"


def test_a_page_that_is_used_elsewhere_stays(open_page, name):
    page = open_page(name)
    page.clock.install()
    typed(page, ["cust-1"])
    asked = []
    page.on("request", lambda request: asked.append(request) if request.url.endswith("/api/session") else None)
    for _ in range(30):
        page.clock.run_for(60_000)
        page.evaluate(ROUND_TRIP)  # by then it is known whether the page has asked
        for request in asked:
            request.response().finished()
        page.evaluate(ROUND_TRIP)  # by then the page has taken the answer in
    assert len(asked) == 2
    expect(page.get_by_label("Customer IDs")).to_have_value("cust-1")
    expect(page.get_by_role("region", name="Your session")).to_have_count(0)


def test_a_page_on_which_nothing_was_typed_leads_to_the_sign_in_and_back(open_page, site, name):
    page = open_page(name)
    page.clock.install()
    page.goto("/jobs/?x=1")
    end_sessions(site)
    page.clock.run_for(IDLE_S * 1000)
    expect(page.get_by_role("heading", name=ENDED)).to_be_visible()
    assert name not in page.content()
    page.get_by_role("link", name="Sign in again").click()
    sign_in(page, name)
    expect(page).to_have_url(re.compile(r"/jobs/\?x=1$"))
