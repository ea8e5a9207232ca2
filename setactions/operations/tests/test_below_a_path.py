"""The site below a path, as people reach it: behind a real nginx, set up as documented, beside another site."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from setactions.operations.tests.nginx import (
    below_a_path,
    certificate,
    configuration,
    nginx_in,
    session_from,
    wait_for_answer,
)
from setactions.pages.tests.test_journeys import proceed
from tmsdash.tests.browser import BrowserSite, new_cids, new_context
from tmsdash.tests.fixtures import PASSWORD, TOKEN
from tmsdash.tests.tools import free_ports

pytestmark = [pytest.mark.nginx, pytest.mark.chromium, pytest.mark.pages]

BASE = "/tms"
NEIGHBOUR = """
    location / {
        add_header X-Site "";
        return 200 "neighbour";
    }
    location @tms_json {"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A dashboard below a path, with its nginx at `front`; at the top of that host is another site."""
    folder, front = tmp_path_factory.mktemp("below"), tmp_path_factory.mktemp("front")
    settings = {"BASE_PATH": BASE, "HTTPS_ONLY": "true", "ALLOWED_HOSTS": "localhost", "TRUSTED_PROXIES": "127.0.0.1"}
    http_port, https_port = free_ports(2)
    certificate(front)
    with BrowserSite(folder, **settings) as site:
        text = below_a_path(configuration(front, http_port, https_port, site.server.port))
        (front / "nginx.conf").write_text(text.replace("    location @tms_json {", NEIGHBOUR.lstrip("\n")))
        with nginx_in(front):
            site.front, site.plain = f"https://localhost:{https_port}", f"http://localhost:{http_port}"
            wait_for_answer(f"{site.front}{BASE}/health", front)
            site.session = lambda: session_from("127.0.0.1", front)
            yield site


@pytest.fixture
def open_browser(site, browser, problems):
    """A browser that notes as a problem every request that leaves the path."""
    contexts = []

    def open_one():
        context = new_context(browser, site.front, problems, ignore_https_errors=True)
        context.on("request", lambda request: _note(request.url, problems))
        context.add_cookies([{"name": "__Host-sessionid", "value": "neighbour", "url": site.front, "secure": True}])
        contexts.append(context)
        return context.new_page()

    yield open_one
    for context in contexts:
        context.close()
    assert problems == []


def _note(url, problems):
    if url.startswith("http") and urlsplit(url).path not in (BASE, "/favicon.ico") and f"{BASE}/" not in url:
        problems.append(f"outside: {url}")


def sign_in(page, name):
    page.goto(f"{BASE}/jobs/?whose=mine")  # which leads to the page to sign in, and back
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="User Jobs")).to_be_visible()


def fill_in(page, cids):
    page.get_by_role("link", name="New action").first.click()
    page.get_by_label("Cluster").select_option("evian3")
    page.get_by_label("Action").select_option("PE-Enable")
    page.get_by_label("Bearer token").fill(TOKEN)
    page.get_by_label("Customer IDs").fill("\n".join(cids))
    page.get_by_role("button", name="Set Action").click()


def test_a_journey_of_an_operator_and_of_an_admin_never_leaves_the_path(site, open_browser):
    page = open_browser()
    sign_in(page, site.new_user("operator"))
    fill_in(page, new_cids(2))
    proceed(page)
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    fill_in(page, new_cids(25))
    page.get_by_label("Number of customers").fill("25")
    proceed(page)
    expect(page.get_by_text("25 of 25 customers accepted")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page, site.new_user("administrator"))
    page.goto(f"{BASE}/admin/")
    page.get_by_role("link", name="User Jobs Audit").first.click()
    expect(page.get_by_role("heading", name="User Jobs Audit")).to_be_visible()
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert cookies["__Host-sessionid"]["value"] == "neighbour"
    assert {"__Host-sessionid.tms", "__Host-csrftoken.tms", "__Host-last_use.tms"} <= cookies.keys()


def test_nginx_knows_what_is_within_the_path(site):
    with site.session() as session:
        ask = session.request
        assert ask("GET", f"{site.front}/").text == "neighbour"
        assert "Content-Security-Policy" not in ask("GET", f"{site.front}/jobs/").headers
        moved = ask("GET", f"{site.plain}{BASE}/jobs/", allow_redirects=False)
        assert (moved.status_code, moved.headers["Location"]) == (301, f"{site.front}{BASE}/jobs/")
        burnt = ask("POST", f"{site.plain}{BASE}/proxy_fetch", json={})
        assert (burnt.status_code, burnt.json()["outcome"]) == (403, "refused")
        assert ask("GET", f"{site.plain}{BASE}/health").json()["status"] == "healthy"
        slow = [ask("POST", f"{site.front}{BASE}/login/", data={}).status_code for _ in range(20)]
        assert 429 in slow
        large = ask("POST", f"{site.front}{BASE}/proxy_fetch", data="x" * (7 << 20))
        assert (large.status_code, large.json()["outcome"]) == (413, "refused")
