"""Parts of pages as a browser shows them."""

import pytest

TABLE = "[aria-label='Customers, light']"
GROUND = "section => getComputedStyle(section).backgroundColor"
SPARE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.chromium
def test_parts_have_their_theme_wherever_they_stand_and_fit_and_only_what_scrolls_takes_the_focus(open_page):
    page = open_page("administrator", color_scheme="light")
    page.goto("/styles/")
    light, dark = (page.locator(f"section[data-theme={theme}]").evaluate(GROUND) for theme in ("light", "dark"))
    assert (light, dark) == ("rgb(243, 246, 245)", "rgb(17, 24, 22)")

    table = page.locator(TABLE)
    assert table.get_attribute("tabindex") is None
    table.locator("table").evaluate("table => table.style.width = '5000px'")
    page.set_viewport_size({"width": 1000, "height": 900})  # the script looks again
    page.wait_for_function(f"""document.querySelector("{TABLE}").tabIndex === 0""")
    assert page.evaluate(SPARE) == 0  # it scrolls in its own region, and not the page

    page.set_viewport_size({"width": 320, "height": 900})
    assert page.evaluate(SPARE) == 0
