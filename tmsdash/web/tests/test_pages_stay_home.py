"""No page needs another host, and none holds a script or a style of its own: a strict policy can forbid both."""

import re
from html.parser import HTMLParser

import pytest
from django.test import Client

from setactions.pages.tests.test_new_action import fill_in
from tmsdash.tests.fixtures import signed_in
from tmsdash.web.static_files import collect

pytestmark = pytest.mark.pages
ADDRESSES = {"src", "href", "action", "formaction", "srcset", "data", "poster", "background", "ping", "manifest"}
HOME = re.compile(r"(/(?!/)|\?|#|$)")  # of this host: a path, a query or a place on the page


class Reader(HTMLParser):
    """Collects the addresses of a page, and what a strict Content-Security-Policy would stop."""

    def __init__(self, page):
        super().__init__()
        self.addresses, self.forbidden, self._in_script = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value or "" for name, value in attrs if name in ADDRESSES]
        self.forbidden += [f"{tag} {name}" for name, _ in attrs if name == "style" or name.startswith("on")]
        self.forbidden += [tag] if tag in ("style", "base", "iframe", "object", "embed") else []
        self._in_script = tag == "script"

    def handle_endtag(self, tag):
        self._in_script = False

    def handle_data(self, data):
        if self._in_script and data.strip():
            self.forbidden.append(f"script: {data}")


@pytest.fixture
def pages(fetch, adam, tms):
    """Every page of the product, by its address."""
    client = signed_in(adam)
    paths = ["/", "/jobs/", "/jobs/?whose=all&action=x", "/nothing/", "/admin/", "/admin/jobs/job/", "/admin/nothing/"]
    paths += ["/admin/audit/attempt/", "/admin/audit/auditentry/", "/admin/auth/user/", "/admin/password_change/"]
    for token in ("a-token-that-works", "fault:not-ready", "fault:reset-before"):
        attempt_id = fetch(client=client, cids=(token[-4:],), token=token).json()["attempt_id"]
        paths += [f"/attempts/{attempt_id}/", f"/jobs/{attempt_id}/"]
    paths += [re.search(r'/admin/jobs/job/\d+/[^"]*', client.get("/admin/jobs/job/").content.decode())[0]]
    found = {path: client.get(path).content.decode() for path in paths}
    found["review"] = fill_in(client).content.decode()
    found["wrong form"] = fill_in(client, cids="").content.decode()
    return found | {"/login/": Client().get("/login/").content.decode()}


def test_no_page_names_another_host_or_holds_a_script_or_style(pages):
    for path, page in pages.items():
        reader = Reader(page)
        assert "</html>" in page, path
        assert reader.forbidden == [], path
        assert [address for address in reader.addresses if not HOME.match(address)] == [], path


@pytest.mark.parametrize("collected", [True, False])
def test_every_file_is_there_and_no_stylesheet_names_another_host(pages, settings, tmp_path, collected, adam):
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STATIC_ROOT.mkdir()
    if collected:
        collect()
    client = signed_in(adam)
    addresses = {
        address for path in pages if path[0] == "/" for address in Reader(client.get(path).content.decode()).addresses
    }
    files = sorted(address for address in addresses if address.startswith("/static/"))
    assert {file.rpartition(".")[2] for file in files} == {"css", "js", "svg"}
    for file in files:
        answer = client.get(file)
        assert answer.status_code == 200, file
        text = b"".join(answer.streaming_content).decode()
        answer.close()
        if file.endswith(".css"):
            named = re.findall(r"""url\(\s*["']?([^"')]*)|@import\s*["']([^"']*)""", text)
            assert not [found for found in named if re.match(r"([a-z]+:)?//|https?:", found[0] or found[1])], file


@pytest.mark.parametrize("name", ["tmsdash.js", "frame.js", "session.js", "token_field.js", "new_action.js"])
def test_our_own_scripts_ask_no_other_host_run_no_text_and_keep_nothing(client, name):
    answer = client.get(f"/static/{name}")
    script = b"".join(answer.streaming_content).decode()
    answer.close()
    runs_text = r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(|\.style\b"
    keeps = r"localStorage|sessionStorage|indexedDB|caches\b|\.cookie\b|onpaste|\"paste\""
    assert not re.search(rf"https?:|{runs_text}|{keeps}", script)
