"""The site below a path of its host: it stays there, and other sites of the host are other places."""

import json
import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import get_script_prefix, reverse, set_script_prefix

from setactions.devtools.site_walk.links import Address
from setactions.devtools.site_walk.visitors import visitors
from setactions.operations.notifications import outbox
from setactions.operations.notifications.watcher import Watcher
from tmsdash import checks
from tmsdash.models import Session
from tmsdash.tests.fixtures import PASSWORD, TOKEN
from tmsdash.tests.tools import WAIT_S
from tmsdash.web.base_path import below, is_own, within

pytestmark = pytest.mark.pages

BASE = "/tms"
TYPED = {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "cids": "CUST-1 CUST-2"}
ADDRESS = re.compile(r"[/\\][^\s/]")  # of this host; " / " in a sentence is none


# What follows from BASE_PATH in settings.py.
SETTINGS = ["BASE_PATH", "FORCE_SCRIPT_NAME", "STATIC_URL", "SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME"]
SETTINGS += ["PLAIN_COOKIE_NAMES", "SECURE_REDIRECT_EXEMPT"]


@pytest.fixture
def site_below(settings, settings_of):
    """The settings that BASE_PATH=/tms makes, and the prefix of addresses that a process then begins with."""
    found = settings_of(BASE_PATH=BASE)
    for name in SETTINGS:
        setattr(settings, name, found[name])
    before = get_script_prefix()
    set_script_prefix(BASE)
    yield settings
    set_script_prefix(before)


class Browser(Client):
    """Asks as through a proxy that passes the path on, and notes every address of this host that answers name."""

    def __init__(self, *, passes_on=True, **options):
        super().__init__(**options)
        self.named, self._passes_on = set(), passes_on

    def request(self, **request):
        path = request["PATH_INFO"]
        assert path.startswith(f"{BASE}/"), f"{path} has left the site"
        asked = below(lambda environ, _: [environ["PATH_INFO"]])
        [request["PATH_INFO"]] = asked({"PATH_INFO": path if self._passes_on else path[len(BASE) :]}, None)
        answer = super().request(**request)
        self.named |= {(path, address) for address in _addresses(answer)}
        for name, cookie in answer.cookies.items():
            is_of_review = name.startswith("review_") and cookie["path"].startswith(f"{BASE}/review/")
            assert is_of_review or (name.endswith(".tms") and cookie["path"] == "/"), (name, cookie["path"])
        return answer

    def strays(self):
        """The addresses that leave the site, each with a page that names it."""
        return {address: path for path, address in self.named if not address.startswith((f"{BASE}/", f"{BASE}?"))}


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.values = []

    def handle_starttag(self, tag, attrs):
        self.values += [value or "" for name, value in attrs if name != "value" or dict(attrs).get("type") == "hidden"]


def _addresses(answer):
    """Yield what looks like an address of this host, wherever an answer has it."""
    values = [answer.get(name, "") for name in ("Location", "Content-Location", "Refresh", "Link")]
    kind = "" if answer.streaming else answer.get("Content-Type", "")
    if kind.startswith("text/html"):
        reader = _Reader()
        reader.feed(answer.content.decode())
        values += reader.values
    elif kind.startswith("application/json"):
        values += _texts(json.loads(answer.content))
    yield from (value for value in values if ADDRESS.match(value))


def _texts(value):
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [text for item in inner for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def fields_of(page, action):
    """The hidden fields of a page's form that is posted to an address with this in it."""
    [form] = [form for form in re.findall(r"<form.*?</form>", page.content.decode(), re.DOTALL) if action in form]
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))


def sign_in(client, name):
    return client.post(f"{BASE}/login/", {"username": name, "password": PASSWORD, "next": f"{BASE}/jobs/?whose=mine"})


@pytest.mark.parametrize("passes_on", [True, False])
def test_a_set_action_from_signing_in_to_signing_out_stays_below(site_below, olivia, tms, passes_on):
    client = Browser(passes_on=passes_on)
    assert client.get(f"{BASE}/").url == f"{BASE}/login/?next={BASE}/"
    assert client.get(f"{BASE}/login/").status_code == 200
    assert sign_in(client, "olivia").url == f"{BASE}/jobs/?whose=mine"
    review = client.post(f"{BASE}/review/", TYPED)
    sent = client.post(f"{review.url}send/", fields_of(client.get(review.url), "/send/"))
    assert client.get(sent.url).status_code == 200
    assert client.get(f"{BASE}/api/jobs/mine").json()["job_count"] == 1
    back = client.post(f"{BASE}/display/", {"theme": "dark"}, headers={"Referer": f"http://testserver{BASE}/jobs/"})
    assert back.url == f"{BASE}/jobs/"
    assert client.post(f"{BASE}/logout/").url == f"{BASE}/login/"
    assert (client.strays(), len(client.named) > 50) == ({}, True)


def test_a_form_that_came_too_late_comes_back(site_below, olivia):
    client = Browser()
    sign_in(client, "olivia")
    address = unescape(re.search(r'action="([^"]*/review/[^"]*)"', client.get(f"{BASE}/").content.decode())[1])
    Session.objects.all().delete()
    page = client.post(address, TYPED, headers={"Origin": "http://testserver"})
    form = fields_of(page, 'name="kept"') | {"username": "olivia", "password": PASSWORD}
    kept = client.post(f"{BASE}/login/?{address.partition('?')[2]}", form, headers={"Origin": "http://testserver"})
    assert "CUST-1 CUST-2" in client.get(kept.url).content.decode()
    assert client.strays() == {}


def test_no_page_of_an_admin_or_an_operator_leads_out(site_below, databases):
    call_command("fill_demo_data", jobs=50)
    for visitor in visitors():
        if visitor.role not in ("admin", "busiest operator"):
            continue
        client = Browser(raise_request_exception=False)
        client.force_login(visitor.user)
        pending, met = [address.path for address in visitor.start()], set()
        while pending:
            path = pending.pop()
            if (shape := Address(path).name({})) not in met:  # one page of each kind, static files, too
                met.add(shape)
                client.get(path).close()
                pending += {urlsplit(address).path for page, address in client.named if page == path}
        assert len(met) > 50
        assert client.strays() == {}, visitor.role


def test_what_asks_the_process_itself_is_answered_with_and_without_the_path(site_below, databases):
    site_below.SECURE_SSL_REDIRECT, site_below.ALLOWED_HOSTS = True, ["dash.example"]
    for passes_on in (True, False):
        answer = Browser(passes_on=passes_on).get(f"{BASE}/health", headers={"Host": "10.0.0.7"})
        assert (answer.status_code, answer.json()["status"]) == (200, "healthy")
        scraped = Browser(passes_on=passes_on).get(f"{BASE}/metrics", headers={"Host": "10.0.0.7"})
        assert (scraped.status_code, scraped["Content-Type"][:10]) == (200, "text/plain")
    refused = Browser().post(f"{BASE}/proxy_fetch", "{}", "application/json", headers={"Host": "dash.example"})
    assert (refused.status_code, refused.json()["outcome"]) == (403, "refused")
    redirected = Browser().get(f"{BASE}/jobs/?a=b", headers={"Host": "dash.example"})
    assert redirected.url == f"https://dash.example{BASE}/jobs/?a=b"


def test_links_of_notices_are_below_though_no_request_leads_to_them(site_below, monkeypatch):
    made, watcher = [], Watcher()

    def look():
        made.append(reverse("in_doubt"))
        watcher._over.set()

    monkeypatch.setattr(outbox, "write_news", look)
    monkeypatch.setattr(outbox, "send_due", lambda is_over: None)
    monkeypatch.setattr("setactions.operations.notifications.watcher.LOOK_EVERY_S", 0)
    watcher.start()
    watcher.join(WAIT_S)
    assert made == [f"{BASE}/in-doubt/"]


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/tms", "/"),
        ("/tms/", "/"),
        ("/tms/jobs/", "/jobs/"),
        ("/tms/tms/", "/tms/"),
        ("/jobs/", "/jobs/"),
        ("/tmsx/", "/tmsx/"),
        ("", ""),
    ],
)
def test_the_path_is_taken_away_where_it_is(site_below, path, known):
    assert within(path) == known


OTHER_PLACES = [
    *("/", "/other/", "/tmsx/", "//tms/", "https://elsewhere.example/tms/", "/tms/../other/", "/tms/%2e%2e/other/"),
    *("/tms/..\\other/", "/tms/.%2E/", "tms/", "/tms\\..\\other/"),
]


@pytest.mark.parametrize("address", OTHER_PLACES)
def test_other_sites_of_the_host_are_nowhere_to_go_next(site_below, olivia, address):
    assert not is_own(address)
    client = Browser()
    form = {"username": "olivia", "password": PASSWORD, "next": address}
    assert client.post(f"{BASE}/login/", form).url == f"{BASE}/"
    assert client.post(f"{BASE}/display/", {"theme": "dark", "next": address}).url == f"{BASE}/"
    referrer = {"Referer": f"http://testserver{address}"}
    if address.startswith("/"):
        assert client.post(f"{BASE}/display/", {"theme": "dark"}, headers=referrer).url == f"{BASE}/"


@pytest.mark.parametrize("address", ["/tms", "/tms/", "/tms/jobs/?whose=all", "/tms/customers/a%2Fb..c/"])
def test_the_site_s_own_addresses_are(site_below, address):
    assert is_own(address)


def test_signing_out_leaves_what_other_sites_of_the_host_stored(site_below, olivia):
    client = Browser()
    sign_in(client, "olivia")
    assert "Clear-Site-Data" not in client.post(f"{BASE}/logout/")


@pytest.mark.parametrize(
    ("path", "problems"),
    [("", []), ("/tms", []), ("/ops/jobs", []), ("/jobs", ["tmsdash.E031"]), ("/static/x", ["tmsdash.E031"])],
)
def test_a_path_that_the_site_s_own_begin_with_is_an_error(settings, path, problems):
    settings.BASE_PATH = path
    assert [message.id for message in checks.check_base_path()] == problems
