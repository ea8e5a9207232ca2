"""Answers of the test client, drawn by a real browser as they would be for whoever got them.

    @pytest.mark.axe
    @pytest.mark.chromium
    @pytest.mark.pages
    def test_jobs_are_for_everybody(accessible, olivia):
        accessible(signed_in(olivia).get("/jobs/"))

Any state that a test can make is shown so, without a second server that would have to be brought into it. The answer's
own headers count, so its policy does; style and script are the site's own; what the script asks for gets no answer.
"""

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Page, Route

from tmsdash.tests.axe import QUICK_LOOKS, violations
from tmsdash.tests.browser import new_context

ORIGIN = "http://localhost"  # browsers trust it as they trust HTTPS
_shapes: set[str] = set()  # of what was looked at in this run


@pytest.fixture
def databases_beside_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's databases although an event loop runs in this thread, Playwright's; nothing of it runs meanwhile."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


@pytest.fixture
def draw(
    databases_beside_a_browser: None, databases: None, request: pytest.FixtureRequest, problems: list[str]
) -> Iterator[Callable[[Any], Page]]:
    """A function that draws an answer, each in the same window; what the browser complains of fails the test."""
    browser = request.getfixturevalue("browser")  # not before the databases are set up
    context = new_context(browser, ORIGIN, problems)
    page = context.new_page()
    files: dict[str, dict[str, Any]] = {}
    answers: list[Any] = []

    def serve(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if answers and route.request.is_navigation_request():
            answer = answers.pop()
            route.fulfill(status=answer.status_code, headers=dict(answer.headers), body=answer.content)
        elif path.startswith("/static/"):
            if path not in files:
                file = Client().get(path)
                files[path] = {"status": file.status_code, "headers": dict(file.headers), "body": b"".join(file)}
            route.fulfill(**files[path])
        else:  # what its script asks for at once
            route.fulfill(status=204)

    page.route("**/*", serve)

    def draw_one(answer: Any) -> Page:
        answers.append(answer)
        page.goto(ORIGIN + answer.wsgi_request.get_full_path())
        return page

    yield draw_one
    context.close()
    assert problems == []


@pytest.fixture
def accessible(draw: Callable[[Any], Page]) -> Iterator[Callable[..., None]]:
    """A function that looks at each answer with axe-core; what is wrong with any of them fails the test at its end.

    Of answers with the same elements and classes the first one is looked at: others differ in words alone.
    """
    lines: list[str] = []

    def check(answer: Any, name: str = "", status: int | None = 200) -> None:
        if answer.get("Location"):
            answer = answer.client.get(answer.url, follow=True)
        name = f"{getattr(answer.wsgi_request, 'user', 'nobody')} {answer.wsgi_request.get_full_path()} {name}".strip()
        assert answer.status_code in (status, status or answer.status_code), (name, answer.status_code)
        assert answer["Content-Type"].startswith("text/html"), (name, answer.status_code)
        shape = shape_of(answer.content.decode())
        if shape not in _shapes:
            _shapes.add(shape)
            lines.extend(violations(draw(answer), name, looks=QUICK_LOOKS))

    yield check
    assert not lines, "\n" + "\n".join(lines)


class _Shape(HTMLParser):
    KEPT = frozenset({"class", "role", "type", "open", "disabled", "hidden", "scope", "rowspan", "colspan"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append(tag + "".join(f" {k}={v}" if k in self.KEPT else f" {k}" for k, v in sorted(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.parts.append("text")


def shape_of(html: str) -> str:
    """Return the elements of the page's main part, with their classes and without their words.

    Of rows with the same elements one counts. Header and footer are the same on every page.
    """
    parser = _Shape()
    main = re.search(r"<main.*</main>", html, re.DOTALL)
    parser.feed(main[0] if main else html)
    return "<".join(dict.fromkeys("<".join(parser.parts).split("<tr")))
