"""The browser of the tests notices what a page must not do."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.chromium

PAGE = """<!DOCTYPE html><title>Bad</title><script>inline()</script><script src="/static/missing.js"></script>
<script src="/broken.js"></script><img src="http://127.0.0.1:2/elsewhere.png"><p>All is well."""


def test_what_a_page_must_not_do_is_noticed(open_page, site, problems):
    page = open_page("nobody")
    policy = page.request.get("/login/").headers["content-security-policy"]
    headers = {"Content-Security-Policy": policy.replace("img-src", "img-src http:")}
    page.route("**/bad/", lambda route: route.fulfill(body=PAGE, content_type="text/html", headers=headers))
    page.route("**/broken.js", lambda route: route.fulfill(body="console.warn('hm'); undefined()"))
    page.goto("/bad/")
    expect(page.get_by_text("All is well.")).to_be_visible()
    for kind in ("404", "another host", "console: hm", "script: undefined is not a function", "inline"):
        assert any(kind in problem for problem in problems), (kind, problems)
    problems.clear()
