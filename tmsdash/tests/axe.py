"""axe-core on a page, at each size and in each theme: what of WCAG 2.2 A and AA, or of good practice, it breaks.

    @pytest.mark.axe
    @pytest.mark.chromium
    def test_the_form_is_for_everybody(open_page, no_violations):
        page = open_page("operator")
        page.goto("/")
        no_violations(page)

The tests look at what a size or a theme can change, and once at pages that differ in words alone. `make axe` is their
long form: every answer that they show, everything in it, at each size and in each theme.

By hand, in front of a server that runs, such as the demo's: `python -m tmsdash.tests.axe http://127.0.0.1:8000 NAME
PASSWORD /jobs/ 404:/nothing/` prints what is wrong with these pages, or that they are not there. Without addresses it
follows the links, see `walk_of_links`.
"""

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Page, sync_playwright

AXE = Path(__file__).parents[2] / ".ci" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HEIGHT, NARROWEST = 800, 320
# What only another theme can break: it changes nothing but colours, each of which is a token with two values. And
# another size changes no colour, but where things stand, what scrolls, and what is shown at all.
COLOURS, PLACES = ["color-contrast", "link-in-text-block"], ["target-size", "scrollable-region-focusable"]
ALL_LOOKS = {(width, theme): "all" for width in (1280, 390) for theme in ("light", "dark")}
IS_LONG = os.environ.get("AXE_FORM") == "long"
QUICK_LOOKS = {(1280, "light"): "all", (1280, "dark"): "colours", (390, "light"): "places"}
LOOKS = ALL_LOOKS if IS_LONG else QUICK_LOOKS
# "places" looks at all but colours where the page shows what it did not in the look before, or where it hides a
# heading, a landmark, or a part of what has its name from its text.
RUN = """async ([tags, colours, places, which]) => {
  const rules = { "target-size": { enabled: true } };
  const options = { runOnly: tags, rules, resultTypes: ["violations"], preload: false, iframes: false };
  const only = (values) => Object.assign(options, { runOnly: { type: "rule", values }, rules: {} });
  const shown = [...document.body.querySelectorAll("*")].filter((element) => element.checkVisibility());
  const wasShown = window.shownBefore ?? new Set();
  const isShown = window.shownBefore = new Set(shown);
  const named = ":is(a, button, label, legend, summary, caption, h1, h2, h3, h4, h5, h6)";
  const headed = ":is(h1, h2, h3, h4, h5, h6, main, nav, header, footer, section, [role])";
  const matters = (element) => element.matches(headed) || isShown.has(element.closest(named));
  const isOther = shown.some((element) => !wasShown.has(element) && element.localName !== "span")
    || [...wasShown].some((element) => !isShown.has(element) && matters(element));
  if (which === "colours") only(colours);
  else if (which === "places" && !isOther) only(places);
  else if (which === "places") colours.forEach((rule) => { rules[rule] = { enabled: false }; });
  document.getAnimations().forEach((animation) => animation.finish());
  let { violations } = await axe.run(document, { ...options, selectors: false });
  if (violations.length) ({ violations } = await axe.run(document, options));
  return violations.flatMap(({ id, nodes }) => nodes.slice(0, 4).map(({ target, failureSummary }, place) => place === 3
    ? `${id}: ${nodes.length - 3} more elements`
    : `${id}: ${target.join(" ")}: ${failureSummary.split("\\n").slice(1).map((line) => line.trim()).join(" ")}`));
}"""
# Where a walk begins: what links lead to, and what they do not.
MISSING = "404:"
STARTS = ("/", "/styles/", "/second-factor/", f"{MISSING}/nothing/", f"{MISSING}/admin/nothing/")
TRIED = 12  # addresses of a kind, of which those in another state are looked at
NAMED = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/customers/)[^/]+|[0-9a-f]{32}|\d+")  # ids and numbers
LINKS = """() => [...document.querySelectorAll("a[href]:not([download])")]
  .filter((link) => link.origin === location.origin && !/\\.\\w+$/.test(link.pathname))
  .map((link) => link.pathname + link.search)"""
# What sticks out to the right, but for what can be scrolled to within a region of its own.
TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const scrolls = (element) => element !== document.documentElement && element !== document.body
    && getComputedStyle(element).overflowX !== "visible";
  const inside = (element) => element && (scrolls(element) || inside(element.parentElement));
  const wide = [...document.body.querySelectorAll("*")]
    .filter((element) => element.getBoundingClientRect().right > width + 0.5 && !inside(element.parentElement))
    .map((element) => `reflow: ${element.tagName.toLowerCase()}.${element.className} reaches to `
      + Math.ceil(element.getBoundingClientRect().right));
  return [...wide.slice(0, 4), `reflow: the page is wider by ${document.documentElement.scrollWidth - width} pixels`];
}"""


def violations(page: Page, name: str = "", *, looks: Mapping[tuple[int, str], str] = ALL_LOOKS) -> list[str]:
    """Return what is wrong with the page as it stands, a line each: its name, size and theme, the rule, the element.

    Everything that can be folded out is, for this. `looks` says what to look for at each width in each theme.
    """
    name = name or urlsplit(page.url).path
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text() + "\n;0")
    page.evaluate("document.querySelectorAll('details').forEach((details) => details.open = true)")
    lines = []
    for (width, theme), which in looks.items():
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        lines += [
            f"{name} at {width} px, {theme}: {line}" for line in page.evaluate(RUN, [TAGS, COLOURS, PLACES, which])
        ]
    page.set_viewport_size({"width": NARROWEST, "height": HEIGHT})
    lines += [f"{name} at {NARROWEST} px: {line}" for line in page.evaluate(TOO_WIDE)]
    return lines


@pytest.fixture
def no_violations() -> Iterator[Callable[..., None]]:
    """A function that is called with each page, and its name if that is not its path; the test fails at its end."""
    lines: list[str] = []

    def check(page: Page, name: str = "") -> None:
        lines.extend(violations(page, name, looks=LOOKS))

    yield check
    assert not lines, "\n" + "\n".join(lines)


def main(address: str, user: str, password: str, *paths: str) -> int:
    """Print what is wrong with these pages of a server, or with all that links lead to; return 1 if anything is.

    Each path is that of a page whose status is 200, or the one before it, such as in "404:/nothing/". "-" is the page
    to sign in.
    """
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        context: Any = browser.new_context(base_url=address, reduced_motion="reduce")
        page = context.new_page()
        page.goto("/login/")
        lines = violations(page) if "-" in paths or not paths else []
        print("\n".join(lines) or "Signing in.", flush=True)  # noqa: T201
        page.locator("[name=username]").fill(user)
        page.locator("[name=password]").fill(password)
        page.locator("[name=password]").press("Enter")
        page.wait_for_url(lambda url: urlsplit(url).path != "/login/")
        looked_at = 0
        for wanted in (path for path in paths if path != "-") if paths else walk_of_links(page):
            status, _, path = wanted.partition(":") if re.match(r"\d{3}:", wanted) else ("200", "", wanted)
            problem = _opened(page, path, int(status))
            wrong = [f"{path}: {problem}"] if problem else violations(page, path)
            print(*(wrong or [f"{path}: nothing"]), sep="\n", flush=True)  # noqa: T201
            lines += wrong
            looked_at += not problem
        browser.close()
    print(f"{looked_at} pages were looked at, and {len(lines)} things are wrong.")  # noqa: T201
    return bool(lines)


def _opened(page: Page, path: str, status: int) -> str:
    """Open a page, and return why it is not the one that was asked for; "" if it is."""
    answer = page.goto(path)
    if answer is None or answer.status != status:
        return f"answered {answer.status if answer else 'nothing'}, not {status}"
    place = urlsplit(page.url).path
    return "" if place == urlsplit(path).path else f"led to {place}"


def walk_of_links(page: Page) -> Iterator[str]:
    """Yield the addresses that links lead to from the first page on, and what is wrong on purpose.

    Of addresses that differ in ids or values alone, those come whose titles differ in more than ids and numbers: titles
    tell the state.
    """
    pending, tried, seen = [*STARTS], Counter[str](), set[tuple[str, str]]()
    while pending:
        path = pending.pop(0)
        kind = _kind(path)
        tried[kind] += 1
        if tried[kind] > TRIED:
            continue
        page.goto(path.removeprefix(MISSING))
        state = (kind, NAMED.sub("", page.title()))
        if state in seen:
            continue
        seen.add(state)
        links: list[str] = page.evaluate(LINKS)
        pending += [link for link in links if tried[_kind(link)] < TRIED and link not in pending]
        yield path


def _kind(path: str) -> str:
    """Return what an address has in common with those of others of its kind: its path and the names of its query."""
    parts = urlsplit(path)
    return f"{NAMED.sub('…', parts.path)}?{'&'.join(sorted({name for name, _ in parse_qsl(parts.query)}))}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
