"""What axe is asked for, and how the tests say what it finds."""

import pytest

from tmsdash.tests.axe import violations
from tmsdash.tests.browser import new_context

pytestmark = [pytest.mark.chromium, pytest.mark.axe]

BAD = """<!DOCTYPE html><html lang="en"><title>Bad</title><meta name="viewport" content="width=device-width">
<style>:root { color-scheme: light dark } p { color: light-dark(#222, #333); background: light-dark(white, black) }
.narrow { display: none } @media (width < 600px) { .narrow { display: block } }
a { font-size: 10px; float: left }</style>
<main><h1>Bad</h1><p>Only to be read by day</p><img src="data:,"><a href="/1">1</a><a href="/2">2</a>
<details><summary>More</summary><h4>Leaps</h4></details>
<div class="narrow"><input></div><div style="overflow: auto"><i style="display: block; width: 900px">i</i></div>
<b style="display: block; width: 350px">b</b></main>"""


def test_what_each_size_and_theme_breaks_is_named_with_its_rule_and_element(browser, problems):
    context = new_context(browser, "http://pages.test/", problems)
    page = context.new_page()
    page.route("**/*", lambda route: route.fulfill(body=BAD, content_type="text/html"))
    page.goto("/")
    lines = violations(page, "bad")
    context.close()
    for start in (
        "bad at 1280 px, light: image-alt: img",
        "bad at 1280 px, light: heading-order: h4",
        "bad at 1280 px, light: target-size: a[href",
        "bad at 1280 px, dark: color-contrast: p",
        "bad at 390 px, light: label: input",
        "bad at 320 px: reflow: b. reaches to 3",
    ):
        assert any(line.startswith(start) for line in lines), (start, lines)
    assert not [line for line in lines if "1280 px, light: label" in line or "light: color-contrast" in line]
    assert not [line for line in lines if "reflow: i" in line]
