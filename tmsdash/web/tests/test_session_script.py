"""The script that empties pages, in a real browser, before a server that knows the session or does not."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tmsdash.tests.browser import new_context

pytestmark = pytest.mark.chromium

SCRIPT = Path(__file__).parents[2] / "static" / "session.js"
PAGE = """<!DOCTYPE html><title>New action</title>
<script src="/session.js" data-sign-in="/login/" data-idle-s="900" defer></script>
<body><header>olivia</header><main>customer-of-olivia <input name="token" type="password" value="s3cret">
<textarea name="cids"></textarea><textarea name="other"></textarea></main></body>"""
POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'"


@pytest.fixture
def load(browser, problems):
    """A function that loads a page of a site whose page to sign in says that the session "lasts" or is "over".

    Or it drops the connection ("gone"). Returns the page, whose clock the test moves, and the list of what was asked.
    """
    address = "http://pages.test"
    context = new_context(browser, address, problems)
    page = context.new_page()
    page.clock.install()

    def open_one(session):
        asked = []
        html = {"content_type": "text/html; charset=utf-8", "headers": {"Content-Security-Policy": POLICY}}

        def answer(route):
            asked.append((route.request.headers.get("hx-request"), route.request.method))
            if session == "gone":
                route.abort()
            elif session == "lasts":
                route.fulfill(status=302, headers={"Location": "/elsewhere/"})
            else:
                route.fulfill(body=PAGE, **html)

        page.route(f"{address}/**", lambda route: route.fulfill(body=PAGE, **html))
        page.route("**/login/", answer)
        page.route("**/session.js", lambda route: route.fulfill(path=SCRIPT))
        page.goto("/jobs/?x=1")
        return page, asked

    yield open_one
    context.close()
    if any("ERR_FAILED" in problem for problem in problems):  # of the connection that was dropped
        problems.clear()
    assert problems == []


@pytest.mark.parametrize("session", ["over", "gone"])
def test_a_page_is_emptied_when_its_session_is_over_and_what_was_typed_stays(load, session):
    page, asked = load(session)
    page.locator("[name=cids]").fill("typed-1\ntyped-2\neyJhbGciOi.eyJzdWIi.c2ln")
    page.clock.run_for(930_000)
    expect(page.get_by_role("heading", name="Your session has ended")).to_be_visible()
    assert [*dict.fromkeys(asked)] == [("true", "GET")]
    assert page.title() == "Signed out · TMS Dashboard"
    assert page.get_by_role("link").get_attribute("href") == "/login/?next=%2Fjobs%2F%3Fx%3D1"
    for gone in ("customer-of-olivia", "<header>", "s3cret", "eyJ"):
        assert gone not in page.content()
    [kept] = page.get_by_role("textbox").all()
    assert kept.input_value() == "typed-1\ntyped-2\n[token removed]"


def test_a_page_stays_while_its_session_lasts(load):
    page, asked = load("lasts")
    page.clock.run_for(890_000)
    assert asked == []
    for _ in range(2):  # it asks again only because it stays
        with page.expect_request("**/login/"):
            page.clock.run_for(70_000)
    expect(page.get_by_text("customer-of-olivia")).to_be_visible()
