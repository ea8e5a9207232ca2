"""Answers of the test client, drawn by a real browser as they would be for whoever got them.

    @pytest.mark.axe
    @pytest.mark.chromium
    @pytest.mark.pages
    def test_jobs_are_for_everybody(accessible, olivia):
        accessible(signed_in(olivia).get("/jobs/"))

Any state that a test can make is shown so, without a second server that would have to be brought into it. The answer's
own headers count, so its policy does; style and script are the site's own; what the script asks for gets no answer.
"""

import mimetypes
import re
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from playwright.sync_api import Page

from tmsdash.tests.axe import AXE, IS_LONG, QUICK_LOOKS, violations
from tmsdash.tests.browser import new_context

CHANGING = re.compile(r"[\w:+/=-]{30,}|\d+")  # tokens, seals, ids and times
_shapes: set[str] = set()  # of what was looked at in this run
_styled: set[str] = set()  # the elements of it


@pytest.fixture
def databases_beside_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's databases although an event loop runs in this thread, Playwright's; nothing of it runs meanwhile."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


class _Server(ThreadingHTTPServer):
    """Serves what is drawn next, once, and style and script, which a browser keeps: for Playwright it would not."""

    answer: Any = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://localhost:{self.server_port}"  # browsers trust it as they trust HTTPS


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        answer, self.server.answer = self.server.answer, None
        if self.headers["Sec-Fetch-Mode"] == "navigate" and answer:
            self._send(answer.status_code, dict(answer.headers), answer.content)
        elif file := finders.find(self.path.removeprefix("/static/")):
            kind, _ = mimetypes.guess_type(self.path)
            self._send(200, {"Content-Type": kind, "Cache-Control": "max-age=3600"}, Path(file).read_bytes())
        else:  # what its script asks for at once
            self._send(204, {}, b"")

    def _send(self, status: int, headers: dict[str, Any], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in (headers | {"Content-Length": len(body)}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="session")
def drawn() -> Iterator[_Server]:
    """The server of all that is drawn."""
    with _Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def draw(
    databases_beside_a_browser: None,
    databases: None,
    drawn: _Server,
    request: pytest.FixtureRequest,
    problems: list[str],
) -> Iterator[Callable[[Any], Page]]:
    """A function that draws an answer, each in the same window; what the browser complains of fails the test."""
    browser = request.getfixturevalue("browser")  # not before the databases are set up
    context = new_context(browser, drawn.url, problems)
    context.add_init_script(path=AXE)
    page = context.new_page()

    def draw_one(answer: Any) -> Page:
        drawn.answer = answer
        page.goto(drawn.url + answer.wsgi_request.get_full_path())
        return page

    yield draw_one
    context.close()
    assert problems == []


@pytest.fixture
def accessible(draw: Callable[[Any], Page]) -> Iterator[Callable[..., None]]:
    """A function that looks at each answer with axe-core; what is wrong with any of them fails the test at its end.

    Of answers with the same elements and classes the first one is looked at: others differ in words alone. And in the
    dark, whose colours hang on nothing but elements and classes, those with any that was not seen within the same ones.
    The long form looks at all of them but those with the same text, see `tmsdash.tests.axe`.
    """
    lines: list[str] = []

    def check(answer: Any, name: str = "", status: int | None = 200) -> None:
        if answer.get("Location"):
            answer = answer.client.get(answer.url, follow=True)
        name = f"{getattr(answer.wsgi_request, 'user', 'nobody')} {answer.wsgi_request.get_full_path()} {name}".strip()
        assert answer.status_code in (status, status or answer.status_code), (name, answer.status_code)
        assert answer["Content-Type"].startswith("text/html"), (name, answer.status_code)
        html = answer.content.decode()
        parser = parsed(html)
        shape = CHANGING.sub("", main_part(html)) if IS_LONG else parser.shape
        if shape in _shapes:
            return
        _shapes.add(shape)
        if IS_LONG:
            print(f"{len(_shapes)} {name}: {answer.status_code}", flush=True)  # noqa: T201
            lines.extend(violations(draw(answer), name))
            return
        looks = {look: which for look, which in QUICK_LOOKS.items() if which != "colours" or parser.styled - _styled}
        _styled.update(parser.styled)
        lines.extend(violations(draw(answer), name, looks=looks))

    yield check
    assert not lines, "\n" + "\n".join(lines)


class _Shape(HTMLParser):
    """The elements of a page. `styled` names each with all that it stands in: its colours hang on nothing else."""

    KEPT = frozenset({"class", "role", "type", "open", "disabled", "hidden", "scope", "rowspan", "colspan"})
    COLOURED_BY = ("class", "type", "disabled", "aria-current", "aria-invalid", "aria-pressed")
    VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "wbr", "line", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.styled: set[str] = set()
        self._within = [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append(tag + "".join(f" {k}={v}" if k in self.KEPT else f" {k}" for k, v in sorted(attrs)))
        styled = f"{self._within[-1]}>{tag}" + "".join(f" {k}={v}" for k, v in attrs if k in self.COLOURED_BY)
        self.styled.add(styled)
        if tag not in self.VOID:
            self._within.append(styled)

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"/{tag}")
        if tag not in self.VOID:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.parts.append("text")

    @property
    def shape(self) -> str:
        """All of them without their words; of rows with the same elements one counts."""
        return "<".join(dict.fromkeys("<".join(self.parts).split("<tr")))


def parsed(html: str) -> _Shape:
    """Return the elements of the page's main part."""
    parser = _Shape()
    parser.feed(main_part(html))
    return parser


def main_part(html: str) -> str:
    """Return the main part of a page. Header and footer are the same on every page."""
    main = re.search(r"<main.*</main>", html, re.DOTALL)
    return main[0] if main else html
