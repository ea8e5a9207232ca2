"""Whole journeys in a real browser, from signing in to the answer."""

import pytest
from playwright.sync_api import expect

from tmsdash.tests.browser import fill_in, new_cids
from tmsdash.tests.fixtures import PASSWORD

pytestmark = pytest.mark.chromium


def test_from_signing_in_to_the_job(open_page, site):
    page = open_page(None)
    page.goto("/")
    page.get_by_label("Username").fill(site.new_user("operator"))
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    cids = new_cids(2)
    fill_in(page, cids)
    assert site.tms.calls() == []
    page.get_by_role("button", name="Yes, Proceed").click()
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
