"""The New action form in a real browser: files that are dropped and counted, and what the field for the token says."""

import re

import pytest
from playwright.sync_api import expect

from setactions.tests.test_typed_token import web_token
from tmsdash.tests.browser import new_cids
from tmsdash.tests.fixtures import TOKEN

pytestmark = pytest.mark.chromium
# Drops a file and says how often something else had its turn until it was read.
DROP = """async ([name, text]) => {
    const files = new DataTransfer();
    files.items.add(new File([text], name, { type: "text/csv" }));
    for (const kind of ["dragenter", "dragover", "drop"]) {
        const event = new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true });
        document.querySelector("main").dispatchEvent(event);
    }
    let turns = 0;
    const summary = document.getElementById("file-summary");
    while (!summary.textContent.includes("customers,") && !summary.textContent.includes("customers in")) {
        await new Promise((go) => setTimeout(go));
        turns++;
    }
    return turns;
}"""


@pytest.fixture
def page(open_page):
    page = open_page("operator")
    page.goto("/")
    return page


def upload(page, name, text):
    page.get_by_label("CSV file").set_input_files({"name": name, "mimeType": "text/csv", "buffer": text.encode()})


def fill_in(page, token=TOKEN):
    page.get_by_label("Cluster").select_option("evian3")
    page.get_by_label("Action").select_option("PE-Enable")
    page.get_by_label("Bearer token").fill(token)


def test_a_dropped_file_of_a_whole_fleet_is_counted_in_slices_and_sent_with_the_form(page):
    rows = [f'"Customer, no. {number}";{number:032x};north' for number in range(27_682)]
    text = "\r\n".join(["name;Customer-ID;region", *rows, rows[0], "x;7.39E+12;south", "short;12"])
    assert page.evaluate(DROP, ["fleet.csv", text]) > 5
    summary = page.locator("#file-summary")
    expect(summary).to_contain_text("fleet.csv (")
    expect(summary).to_contain_text(
        "27,684 customers, 1 repeat, in 27,685 rows of 3 columns (name, Customer-ID, region)."
    )
    expect(summary).to_contain_text(f"First: {0:032x}, {1:032x}")
    expect(summary).to_contain_text("An id looks damaged by a spreadsheet: see line 27,685.")
    expect(summary).to_contain_text("A row has another number of cells than the first line: see line 27,686.")
    upload(page, "fleet.csv", "\n".join(["cid", *new_cids(25)]))
    expect(summary).to_contain_text("25 customers, in 25 rows of 1 column (cid).")
    fill_in(page)
    page.get_by_role("button", name="Set Action").click()
    expect(page.get_by_role("heading", name="Review before sending")).to_be_visible()
    expect(page.get_by_text("This runs as a batch")).to_be_visible()


def test_another_file_visibly_replaces_the_one_that_came_back_and_typed_ids_are_asked_about(page):
    first, second = new_cids(3), new_cids(2)
    upload(page, "first.csv", "\n".join(first))
    fill_in(page)
    page.get_by_role("button", name="Set Action").click()
    page.get_by_role("button", name="Cancel").click()
    ids, summary = page.get_by_label("Customer IDs"), page.locator("#file-summary")
    expect(page.get_by_text("From the file first.csv.")).to_be_visible()
    expect(ids).to_have_value("\n".join(first))
    upload(page, "second.csv", "\n".join(second))
    expect(summary).to_contain_text("It replaces the list of first.csv.")
    expect(ids).to_have_value("")
    page.get_by_role("button", name="Remove the file").click()
    expect(ids).to_have_value("\n".join(first))
    ids.fill("typed-1")
    upload(page, "second.csv", "\n".join(second))
    expect(summary).to_contain_text("Which list is meant?")
    ids.press("End")
    page.get_by_role("button", name="Use second.csv").click(delay=300)  # the ids lose the focus as it is pressed
    expect(ids).to_have_value("")
    page.get_by_label("Bearer token").fill(TOKEN)
    page.get_by_role("button", name="Set Action").click()
    expect(page.get_by_role("heading", name="Review before sending")).to_be_visible()
    expect(page.locator("main")).to_contain_text(second[0])
    expect(page.locator("main")).not_to_contain_text(first[0])


def test_a_workbook_is_not_sent(page):
    fill_in(page)
    upload(page, "fleet.xlsx", "PK\u0003\u0004 and so on")
    expect(page.locator("#file-summary")).to_contain_text("This is a workbook or an archive, not CSV.")
    page.get_by_role("button", name="Set Action").click()
    assert page.get_by_label("CSV file").evaluate("input => input.validity.customError")
    expect(page.get_by_role("heading", name="New action")).to_be_visible()
    page.get_by_role("button", name="Remove the file").click()
    expect(page.locator("#file-summary")).to_be_empty()
    assert not page.get_by_label("CSV file").evaluate("input => input.validity.customError")


def test_a_token_can_be_looked_at_and_says_when_it_expires(page):
    token, show = page.get_by_label("Bearer token"), page.locator(".show-token")
    fill_in(page)
    expect(token).to_have_attribute("type", "password")
    show.click()
    expect(token).to_have_attribute("type", "text")
    expect(show).to_have_text("Hide")
    show.press("Enter")
    expect(token).to_have_attribute("type", "password")
    said = page.locator("#id_token-expiry")
    expect(said).to_be_empty()
    token.fill(f'{{"access_token": "{web_token(6 * 60 + 20)}"}}')
    expect(said).to_have_text("This token expires in 6 minutes.")
    page.get_by_label("Customer IDs").fill("\n".join(new_cids(1500)))
    expect(said).to_have_text(re.compile("This token expires in 6 minutes; this batch needs about 7 minutes."))
    token.fill(f"Bearer {web_token(-7200)}")
    expect(said).to_have_text("This token expired 2 hours ago. Get a new one.")
    page.get_by_role("button", name="Set Action").click()
    expect(page.get_by_role("heading", name="New action")).to_be_visible()
    assert token.evaluate("input => input.validity.customError")
    token.fill(web_token())
    show.click()
    page.get_by_role("button", name="Set Action").click()
    expect(page.get_by_role("heading", name="Review before sending")).to_be_visible()


def test_without_javascript_the_form_takes_a_file_and_shows_no_button_that_does_nothing(open_page):
    page = open_page("operator", java_script_enabled=False)
    page.goto("/")
    expect(page.locator(".show-token")).to_be_hidden()
    fill_in(page)
    upload(page, "fleet.csv", "\n".join(cids := new_cids(2)))
    page.get_by_role("button", name="Set Action").click()
    expect(page.locator("main")).to_contain_text(cids[1])


def test_a_token_is_fetched_beside_its_field_and_what_was_typed_stays(open_page, site):
    page, cids = open_page(), new_cids(2)
    page.goto("/")
    page.get_by_label("Cluster").select_option("evian3")
    page.get_by_label("Action").select_option("PE-Enable")
    page.get_by_label("Customer IDs").fill("\n".join(cids))
    page.get_by_role("button", name="Get a token").click()
    page.get_by_label("Client ID").fill("dashboard")
    page.get_by_label("Client secret").fill("secret-of-the-client")
    page.get_by_role("button", name="Get the token").click()
    expect(page.get_by_label("Customer IDs")).to_have_value("\n".join(cids))
    assert "secret-of-the-client" not in page.content()
    page.get_by_role("button", name="Set Action").click()
    page.get_by_role("button", name="Yes, Proceed").click()
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    assert site.lists_sent(cids) == [cids]
