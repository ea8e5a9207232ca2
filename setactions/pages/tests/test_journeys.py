"""Whole ways through the site in a real browser: from signing in to an answer, and on from there."""

import re

import pytest
from playwright.sync_api import expect

from tmsdash.tests.browser import fill_in, new_cids
from tmsdash.tests.fixtures import PASSWORD, TOKEN

pytestmark = pytest.mark.chromium


def proceed(page):
    page.get_by_role("button", name="Yes, Proceed").click()


def tab_to(page, target):
    """Press Tab until `target` has the focus, as somebody without a mouse does."""
    for _ in range(40):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no way leads to {target}")


def type_into(page, label, text):
    tab_to(page, page.get_by_label(label))
    page.keyboard.type(text)


def press(page, name, role="button"):
    tab_to(page, page.get_by_role(role, name=name).first)
    page.keyboard.press("Enter")


def test_with_the_keyboard_alone_from_signing_in_to_the_job_and_back(open_page, site):
    page, cids = open_page(None), new_cids(2)
    page.goto("/")
    type_into(page, "Username", site.new_user("operator"))
    type_into(page, "Password", PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New action")).to_be_visible()
    type_into(page, "Cluster", "evian3")
    type_into(page, "Action", "PE-Enable")
    type_into(page, "Bearer token", TOKEN)
    type_into(page, "Customer IDs", ", ".join(cids))
    press(page, "Set Action")
    expect(page.get_by_role("heading", name="Review before sending")).to_be_visible()
    assert site.lists_sent(cids) == []
    press(page, "Yes, Proceed")
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    assert site.lists_sent(cids) == [cids]
    press(page, "Open job", role="link")
    expect(page.get_by_role("list").filter(has_text=cids[0])).to_contain_text(cids[1])
    press(page, "Sign out")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text(cids[0])).to_have_count(0)


def test_a_duplicate_is_named_and_sent_again_only_with_the_tick(open_page, site):
    page, cids = open_page(), new_cids(2)
    fill_in(page, cids)
    proceed(page)
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    first = page.url
    fill_in(page, cids)
    expect(page.get_by_role("heading", name="All 2 customers were asked for already")).to_be_visible()
    expect(page.locator(f"a[href='{first.removeprefix(site.url)}']").first).to_be_visible()
    proceed(page)  # the browser asks for the tick
    page.get_by_label("Send these 2 again").check()
    assert len(site.lists_sent(cids)) == 1
    proceed(page)
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    assert page.url != first
    assert len(site.lists_sent(cids)) == 2


def test_a_rejected_list_is_repaired_with_two_clicks(open_page, site):
    page, cids = open_page(), new_cids(3)
    site.tms.script("fault:unknown-ids")
    fill_in(page, cids)
    proceed(page)
    expect(page.get_by_role("heading", name="TMS does not know 1 of 3 ids")).to_be_visible()
    page.get_by_role("button", name="Review again without this id").click()
    page.get_by_label("Bearer token").fill(TOKEN)
    proceed(page)
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    assert site.lists_sent(cids) == [cids, cids[1:]]


def test_an_auditor_finds_an_attempt_and_who_made_it_and_can_send_nothing(open_page, site):
    name, [cid] = site.new_user("operator"), new_cids(1)
    operator = open_page(name)
    site.tms.script("fault:unauthorized")
    fill_in(operator, [cid])
    proceed(operator)
    operator.wait_for_url("**/attempts/*/")
    auditor = open_page("auditor")
    auditor.goto("/")
    expect(auditor.get_by_role("heading", name="User Jobs Audit")).to_be_visible()
    auditor.goto("/jobs/")
    auditor.get_by_role("navigation", name="Main").get_by_role("link", name="Customers").click()
    auditor.wait_for_url("**/customers/")
    auditor.get_by_label("Customer IDs").fill(cid)
    auditor.keyboard.press("Enter")
    expect(auditor.get_by_text(name).first).to_be_visible()
    auditor.get_by_role("link", name="Attempt", exact=True).click()
    expect(auditor).to_have_url(operator.url)
    expect(auditor.get_by_role("heading", name="Rejected")).to_be_visible()
    for allowed_only_to_others in ("Edit this list and send it again", "New action"):
        expect(auditor.get_by_text(allowed_only_to_others)).to_have_count(0)


def test_without_javascript_a_list_and_a_batch_are_sent_watched_paused_and_stopped(open_page, site):
    page, cids = open_page(java_script_enabled=False), new_cids(30)
    fill_in(page, cids[:2])
    proceed(page)
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    page.get_by_role("link", name="Open job").click()
    expect(page.get_by_text(cids[0])).to_be_visible()

    site.tms.script("", "", "fault:slow:3600", "fault:slow:3600")
    fill_in(page, cids[2:])
    page.get_by_label("Number of customers").fill("28")
    proceed(page)
    page.wait_for_url("**/batches/*/")
    batch = page.url
    site.tms.wait_for(lambda calls: [call.fault for call in calls].count("slow") == 2)
    page.get_by_role("link", name="Look again").click()
    expect(page.get_by_text("10 of 28 customers accepted")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    site.tms.release()
    expect(page).to_have_url(batch)

    def look_for(heading):
        while not page.get_by_role("heading", name=heading, exact=True).is_visible():
            page.goto(batch)

    look_for("Paused")
    page.get_by_role("button", name=re.compile("Stop")).first.click()
    look_for("Stopped")
    expect(page.get_by_text("20 of 28 customers accepted")).to_be_visible()
    assert sum(map(len, site.lists_sent(cids))) == 22
