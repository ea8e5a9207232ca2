"""A real browser in front of the real server with its three databases and a simulated TMS.

    @pytest.mark.chromium
    def test_an_operator_sees_the_form(open_page):
        page = open_page("operator")  # a new user, signed in; see PEOPLE. None: nobody is signed in
        page.goto("/")
        expect(page.get_by_role("heading", name="New action")).to_be_visible()

Every page is a browser of its own; options such as `java_script_enabled=False` or `viewport=...` are those of
Playwright's contexts. What is written on the console, breaks the policy, is missing, or goes to another host fails the
test. One that provokes that on purpose looks at `problems` and empties the list.

`site.tms` is the simulator: after `site.tms.script("fault:slow:3600")` the next call waits for `site.tms.release()`,
and `site.lists_sent(cids)` are the lists that it was sent. `new_cids(3)` are customers whom no test has met. All tests
share the databases, so look for your own customers or users, not for the only row. `site.server` can be started again.
Tests that want other settings define a fixture `site` of their own, scope="module", of `BrowserSite(folder, ...)`.

These tests run last, all in one Chromium. Django's databases are out of their reach: do everything through pages.
"""

import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from setactions.devtools.proofs.site import Server, Site
from setactions.devtools.simulator import Call, Simulator
from tmsdash.tests.fixtures import PASSWORD, TOKEN
from tmsdash.tests.tools import install, run_python

SETTINGS_MODULE = "tmsdash.tests.browser_settings"
FLAGS = [
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--js-flags=--no-opt,--no-maglev"),  # no script runs for long
]
PATIENCE_MS = 30_000  # on a busy machine
# Group and permission of each; "nobody" has an account and may do nothing.
PEOPLE = {
    "operator": ("Operators", ""),
    "auditor": ("Auditors", ""),
    "decider": ("Operators", "decide_attempt"),
    "administrator": ("", ""),
    "nobody": ("", ""),
}
MAKE_PEOPLE = f"""
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission, User
password = make_password({PASSWORD!r})
for name, (group, permission) in {PEOPLE!r}.items():
    rights = dict(is_staff=name in ("auditor", "administrator"), is_superuser=name == "administrator")
    user = User.objects.create(username=name, password=password, **rights)
    user.groups.set(Group.objects.filter(name=group))
    user.user_permissions.set(Permission.objects.filter(codename=permission))
"""
_numbers = itertools.count(1)


class BrowserSite:
    """The production server with databases of its own; up when a `with` block begins, and gone after it.

    Its clusters: evian3 is the simulator `tms`; brooke the same by another name, and a production cluster; at nowhere
    nobody listens. More than 20 customers run as a batch of chunks of 5, and from 10 on the number has to be typed.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        """`settings` are added to those of the server's environment."""
        self.folder, self.tms, self._settings = folder, Simulator(), settings

    def __enter__(self) -> Self:
        self.tms.start()
        own_name = self.tms.url.replace("127.0.0.1", "localhost")
        clusters = {"evian3": self.tms.url, "brooke": own_name, "nowhere": "http://127.0.0.1:2"}
        settings = {
            "DJANGO_SETTINGS_MODULE": SETTINGS_MODULE,
            "AUDIT_SEAL_DIR": self.folder.with_name(f"{self.folder.name}-seals"),
            "WEB_WORKERS": 1,
            "WEB_THREADS": 16,
            "TMS_PRODUCTION_CLUSTERS": "brooke",
            "TMS_DEADLINE_S": 30,
            "TMS_OPEN_AFTER_S": 60,
            "TMS_MAX_CIDS_PER_CALL": 20,
            "TMS_BATCH_CHUNK": 5,
            "TMS_CONFIRM_ABOVE": 10,
            "TMS_READS_PER_MINUTE": 1000,
            "TMS_TOKEN_URLS": f"evian3={self.tms.url}/oauth2/token",
        }
        install(self.folder)
        variables = {"DJANGO_SETTINGS_MODULE": SETTINGS_MODULE}
        ended = run_python("manage.py", "shell", "-c", MAKE_PEOPLE, var_dir=self.folder, **variables)
        assert ended.returncode == 0, ended.stderr
        self.site = Site(self.folder, clusters, **settings | self._settings)
        self.server = Server(self.site, 1)
        self.url = self.server.url
        return self

    def __exit__(self, *_: object) -> None:
        self.tms.release()
        self.server.stop()
        self.site.close()
        self.tms.stop()

    def new_user(self, role: str) -> str:
        """Return the name of a new user who may do what PEOPLE says of the role; the password is PASSWORD."""
        name = f"{role}{next(_numbers)}"
        with closing(sqlite3.connect(self.folder / "app.db", timeout=60)) as database, database:
            columns = [row[1] for row in database.execute("PRAGMA table_info(auth_user)")]
            others = ", ".join(column for column in columns if column not in ("id", "username"))
            select = f"SELECT ?, {others} FROM auth_user WHERE username = ?"
            new = database.execute(f"INSERT INTO auth_user (username, {others}) {select}", (name, role)).lastrowid
            for table, right in (("auth_user_groups", "group_id"), ("auth_user_user_permissions", "permission_id")):
                of_role = "user_id = (SELECT id FROM auth_user WHERE username = ?)"
                select = f"SELECT ?, {right} FROM {table} WHERE {of_role}"
                database.execute(f"INSERT INTO {table} (user_id, {right}) {select}", (new, role))
        return name

    def lists_sent(self, cids: list[str], count: int = 0) -> list[list[str]]:
        """Return the lists that TMS was sent with any of these customers, in order, once there are `count`.

        What it goes on to be asked by a batch of the test before is none of them.
        """

        def chosen(calls: list[Call]) -> list[list[str]]:
            return [[*call.cids] for call in calls if call.action and not set(cids).isdisjoint(call.cids)]

        return chosen(self.tms.wait_for(lambda calls: len(chosen(calls)) >= count))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's own Chromium."""
    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserSite]:
    """One server for all tests that want no other settings."""
    with BrowserSite(tmp_path_factory.mktemp("site")) as site:
        site.server.wait_until_healthy()
        yield site


@pytest.fixture
def problems() -> list[str]:
    """What the browser complained of; anything that is left in it fails the test."""
    return []


@pytest.fixture
def open_page(browser: Browser, site: BrowserSite, problems: list[str]) -> Iterator[Callable[..., Page]]:
    """A function that opens a page for a role of PEOPLE, or for a user's name, each time as another browser."""
    contexts: list[BrowserContext] = []

    def open_one(role: str | None = "operator", **options: Any) -> Page:
        context = new_context(browser, site.url, problems, **options)
        contexts.append(context)
        if role:
            sign_in(context, site.new_user(role) if role in PEOPLE else role)
        return context.new_page()

    site.tms.reset()
    yield open_one
    site.tms.release()
    for context in contexts:
        context.close()
    assert problems == []


def new_context(browser: Browser, url: str, problems: list[str], **options: Any) -> BrowserContext:
    """Return a browser without a past, which adds to `problems` whatever it complains of."""
    defaults = {"base_url": url, "locale": "en-US", "timezone_id": "UTC", "reduced_motion": "reduce"}
    context = browser.new_context(**defaults | options)
    context.set_default_timeout(PATIENCE_MS)

    def on_console(message: ConsoleMessage) -> None:
        # A page that says what is wrong with a form is an error to the console, and none here; a missing file is.
        is_answer = message.text.startswith("Failed to load resource: the server responded")
        if message.type in ("error", "warning") and not (is_answer and "/static/" not in message.location["url"]):
            problems.append(f"console: {message.text}")

    def on_request(request: Request) -> None:
        if request.url.startswith("http") and urlsplit(request.url).netloc != urlsplit(url).netloc:
            problems.append(f"another host: {request.url}")

    context.on("console", on_console)
    context.on("weberror", lambda error: problems.append(f"script: {error.error}"))
    context.on("request", on_request)
    return context


def sign_in(context: BrowserContext, name: str) -> None:
    """Give the browser a session of the user, without a page."""
    context.request.get("/login/")
    [token] = {cookie["value"] for cookie in context.cookies() if "csrftoken" in cookie["name"]}
    fields: dict[str, str | float | bool]
    fields = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": token}
    answer = context.request.post("/login/", form=fields, max_redirects=0)
    assert answer.status == 302, answer.text()


def new_cids(count: int) -> list[str]:
    """Return customers whom no test has met."""
    return [f"cust-{next(_numbers):06d}" for _ in range(count)]


def fill_in(page: Page, cids: list[str], *, cluster: str = "evian3", token: str = TOKEN) -> None:
    """Fill in New action for PE-Enable and press its button; then the review is shown."""
    page.goto("/")
    page.get_by_label("Cluster").select_option(cluster)
    page.get_by_label("Action").select_option("PE-Enable")
    page.get_by_label("Bearer token").fill(token)
    page.get_by_label("Customer IDs").fill("\n".join(cids))
    page.get_by_role("button", name="Set Action").click()
