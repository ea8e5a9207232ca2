"""What every page has around it, in a real browser: the switch in its foot, the shortcuts, and what goes on paper."""

import re

import pytest
from playwright.sync_api import expect

from setactions.pages.tests.test_journeys import proceed
from tmsdash.tests.browser import fill_in, new_cids

pytestmark = pytest.mark.chromium
DARK, LIGHT = "rgb(17, 24, 22)", "rgb(243, 246, 245)"

LOOK = """element => {
    const style = getComputedStyle(element);
    return [style.backgroundColor, style.borderBottomColor, style.textDecorationLine].join();
}"""
CUT_OFF = """[...document.querySelectorAll("main *")].filter((element) =>
    element.checkVisibility() && element.scrollHeight > element.clientHeight + 1 &&
    !["visible", "clip"].includes(getComputedStyle(element).overflowY)).map((element) => element.outerHTML)"""


def ground(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def press(page, name):
    page.get_by_role("contentinfo").get_by_role("button", name=name, exact=True).click()


def test_colours_change_in_place_hold_from_then_on_and_lose_nothing_that_was_typed(open_page):
    page = open_page(color_scheme="light")
    page.goto("/")
    page.get_by_label("Customer IDs").fill("a1\nb2")
    press(page, "Dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert ground(page) == DARK
    expect(page.get_by_label("Customer IDs")).to_have_value("a1\nb2")
    for path in ("/jobs/", "/help/", "/nothing/"):
        page.goto(path)
        assert ground(page) == DARK, path
    page.goto("/jobs/")
    press(page, "System")
    expect(page.locator("html")).not_to_have_attribute("data-theme", "dark")
    assert ground(page) == LIGHT


def test_the_browsers_own_zone_is_offered_and_changes_times_at_once_but_not_under_what_is_typed(open_page):
    page = open_page(timezone_id="Asia/Tokyo")
    page.goto("/")
    page.get_by_label("Customer IDs").fill("a1")
    press(page, "Asia/Tokyo")
    expect(page.get_by_text("Times change with the next page.")).to_be_visible()
    expect(page.get_by_label("Customer IDs")).to_have_value("a1")
    page.goto("/help/")
    expect(page.get_by_text("Times are in Asia/Tokyo now")).to_be_visible()
    press(page, "UTC")
    expect(page.get_by_text("Times are in UTC now")).to_be_visible()
    page.get_by_role("contentinfo").get_by_role("link", name="Display").click()
    expect(page.get_by_role("combobox", name="Times").locator("option").first).to_have_text("Asia/Tokyo")


def test_without_javascript_the_same_is_chosen_by_forms(open_page):
    page = open_page(java_script_enabled=False, color_scheme="light")
    page.goto("/jobs/?whose=all")
    press(page, "Dark")
    expect(page).to_have_url("/jobs/?whose=all")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("contentinfo").get_by_role("link", name="Display").click()
    page.get_by_role("combobox", name="Times").select_option("Europe/Berlin")
    page.get_by_role("button", name="Keep").click()
    expect(page).to_have_url("/jobs/?whose=all")
    expect(page.get_by_role("button", name="Europe/Berlin")).to_have_attribute("aria-pressed", "true")


def test_shortcuts_lead_somewhere_but_not_while_somebody_types_and_can_be_switched_off(open_page):
    page = open_page()
    page.goto("/jobs/")
    page.keyboard.press("/")
    expect(page.locator(".filters :focus")).to_have_count(1)
    page.locator(".filters input:not([type=hidden]):visible").first.focus()
    page.keyboard.type("n?")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.goto("/jobs/")
    page.keyboard.press("Control+n")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    page.keyboard.press("n")  # in the dialog, too, it is no shortcut
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page).to_have_url("/jobs/")
    page.keyboard.press("n")
    expect(page).to_have_url("/")
    page.goto("/display/")
    page.get_by_role("combobox", name="Shortcuts").select_option("off")
    page.get_by_role("button", name="Keep").click()
    page.goto("/jobs/")
    page.keyboard.press("n")
    page.get_by_role("link", name="Shortcuts").click()
    expect(page.get_by_role("dialog")).to_contain_text("They are off.")
    expect(page).to_have_url("/jobs/")


def test_the_users_name_is_in_sight_on_every_width_and_the_page_one_is_on_is_marked(open_page):
    page = open_page("administrator")
    for path, marked in (("/jobs/", "User Jobs"), ("/admin/jobs/job/", "User Jobs Audit"), ("/admin/", "Admin")):
        page.goto(path)
        expect(page.get_by_role("banner").locator("[aria-current=page]")).to_have_text([marked])
        for width in (390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            box = page.get_by_role("banner").locator(".name").bounding_box()
            assert box["width"] > 60, (path, width)
            assert box["x"] + box["width"] <= width, (path, width)


def test_forced_colours_tell_the_current_page_and_the_primary_button_from_others(open_page):
    page = open_page(forced_colors="active")
    page.goto("/")
    links, buttons = page.locator(".top nav a"), page.locator("button:not(.primary)")
    assert links.and_(page.locator("[aria-current]")).evaluate(LOOK) != links.nth(1).evaluate(LOOK)
    assert page.locator(".primary").first.evaluate(LOOK) != buttons.first.evaluate(LOOK)


def test_paper_has_all_ids_on_white_and_nothing_to_press(open_page):
    page, cids = open_page(color_scheme="dark"), new_cids(12)
    fill_in(page, cids)
    page.get_by_label("Number of customers").fill("12")
    proceed(page)
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    page.emulate_media(media="print")
    assert page.locator(":is(button, .button, nav, .skip, form):visible").count() == 0
    assert ground(page) == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".printed")).to_be_visible()
    expect(page.locator(".printed")).to_contain_text(
        re.compile(r"at 127\.0\.0\.1:\d+, printed 20[-\d]+\s[\d:]+\s+UTC by operator")
    )
    for cid in cids:
        assert page.get_by_text(cid, exact=True).first.is_visible(), cid
    assert page.evaluate(CUT_OFF) == []
    page.emulate_media(media="screen")
    page.get_by_role("link", name="Open job").click()
    page.emulate_media(media="print")
    head, title = page.locator(".top").bounding_box(), page.get_by_role("heading", level=1).bounding_box()
    assert head["y"] + head["height"] <= title["y"]
