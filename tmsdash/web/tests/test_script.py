"""The pages' script in a real browser: it counts and unpacks ids exactly as the server does, within the policy."""

import html
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.humanize.templatetags import humanize

from setactions.inputs.csv_table import read_list
from setactions.refusal import Refusal
from tmsdash.csv_text import ids_text
from tmsdash.tests.browser import new_context

pytestmark = pytest.mark.chromium

SCRIPT = Path(__file__).parents[2] / "static" / "tmsdash.js"
NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)  # of the server
SKEWED = NOW + timedelta(days=400)
MANY = "\n".join(f"{number:032x}" for number in range(30_000))


@pytest.fixture
def load(browser, problems):
    """A function that loads a page with this body and the script, in a browser whose wrong clock the test moves."""
    address = "http://pages.test/"
    context = new_context(browser, address, problems)
    page = context.new_page()
    page.clock.install(time=SKEWED)

    def open_one(body=""):
        head = f'<!DOCTYPE html><html data-now="{NOW.isoformat()}"><script src="/tmsdash.js" defer></script><body>'
        page.route(address, lambda route: route.fulfill(body=head + body, content_type="text/html; charset=utf-8"))
        page.route("**/tmsdash.js", lambda route: route.fulfill(path=SCRIPT))
        page.goto("/")
        page.clock.pause_at(SKEWED + timedelta(minutes=1))
        return page

    yield open_one
    context.close()
    assert problems == []


TEXTS = [
    "a1",
    "a1,b2;c3\td4",
    "e5\r\nf6\rg7\n",
    "Customer ID\na1\nb2",
    "\u00a0a1\u00a0\nb2 ",
    "a1, a1 ;  a1,b2,a1",
    "A1\na1",
    "\ufeffa1\nb2",
    "  a1  \n\n\n b2",
    "客户\n客户\nétude",
    "\U0001f600" * 128,
    "it's1,=1+1,7.39E+12",
    MANY,
    "\n".join([MANY, "0" * 32, "0" * 32]),
]
WRONG = [
    ("a1\nb 2\nc3", 2, 1, 2),
    ("a1\tb\u00a02", 1, 1, 1),
    ("\u2028a1", 0, 1, 1),
    ("a\u200b1\nb\ufeff2\nc3", 1, 2, 1),
    ("x" * 129 + "," + "x" * 128, 1, 1, 1),
    ("\U0001f600" * 129, 0, 1, 1),
    ("a1\n\neyJhbGciOi.eyJzdWIi.c2ln", 1, 1, 3),
    ("a\x01,b\x7f,\ue000", 0, 3, 1),
    ("eyJ" * 300_000, 0, 1, 1),  # at once, too
]


def test_ids_are_counted_as_the_server_counts_them(load):
    counted = load().evaluate("texts => texts.map(countIds)", TEXTS)
    for text, count in zip(TEXTS, counted, strict=True):
        expected = read_list(text.encode(), allow_unusual=True)
        assert (count["count"], count["repeats"], count["wrong"]) == (len(expected.cids), expected.repeated, 0)


def test_what_the_server_refuses_is_counted_apart_with_its_line(load):
    counted = load().evaluate("texts => texts.map(countIds)", [text for text, *_ in WRONG])
    for (text, count, wrong, line), shown in zip(WRONG, counted, strict=True):
        with pytest.raises(Refusal) as refusal:
            read_list(text.encode())
        assert re.match(rf"Lines? {line}[ :]", refusal.value.errors["cids"][0])
        assert (shown["count"], shown["wrong"], shown["firstWrongLine"]) == (count, wrong, line)


SAID = {
    "a1": "1 customer.",
    "a1\na1\na1\nb2": "2 customers, 2 repeats.",
    MANY: "30,000 customers. That is more than the 5,000 that fit into one call, so they run as a batch.",
    "a1\nb 2": "1 customer. 1 entry cannot be a customer id: see line 2.",
    "a 1\nb 2": "0 customers. 2 entries cannot be customer ids: the first is in line 1.",
    "customer_id\na1": "1 customer.",
    "a1,x\nb2,y": "This looks like a table. It is checked, and its customers are counted, on the next page.",
    "": "",
    " ,;\t\n": "",
}


def test_what_is_counted_is_said_below_the_field(load):
    body = "".join(
        f'<textarea id="f{number}">{html.escape(text)}</textarea><p data-counts="f{number}" data-limit="5000"></p>'
        for number, text in enumerate(SAID)
    )
    assert load(body).locator("[data-counts]").all_text_contents() == list(SAID.values())


def test_while_somebody_types_it_is_counted_once_after_a_pause(load):
    page = load('<textarea id="ids"></textarea><p data-counts="ids" data-limit="9"></p>')
    page.evaluate("() => { runs = 0; const count = countIds; countIds = (text) => { runs++; return count(text) } }")
    page.locator("#ids").press_sequentially("a,b,a")
    page.clock.run_for(1000)
    assert page.locator("[data-counts]").text_content() == "2 customers, 1 repeat."
    assert page.evaluate("runs") == 1


ODD = ("=1+1", "'=1", "''=1", "'a", '"q"', '"=1"', 'a"b', "it's", "＝1", "客户", "-", "7E5", "'", '""', "customer_id")


def test_ids_for_the_clipboard_are_those_of_the_file(load):
    files = [ids_text(cids) for cids in (ODD, ("a1",), ())]
    assert load().evaluate("files => files.map(idsOfCsv)", files) == [list(ODD), ["a1"], []]


def test_times_are_told_in_the_words_of_the_server(load, monkeypatch):
    class Noon(datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW

    monkeypatch.setattr(humanize, "datetime", Noon)
    ages = [0, 1, 2, 59, 60, 119, 120, 3599, 3600, 7199, 7200, 86_399]
    ages += [-age for age in ages]
    expected = [humanize.naturaltime(NOW - timedelta(seconds=age)).replace("\xa0", " ") for age in ages]
    assert load().evaluate("ages => ages.map(agoInWords)", ages) == expected


def test_times_stay_right_while_a_page_is_open_however_wrong_its_clock_is(load):
    body = '<time datetime="2026-03-05T11:58:50+00:00" data-ago>then <span class="ago">(old)</span></time>'
    body += '<time datetime="2026-03-01T11:59:00+00:00" data-ago>then <span class="ago">(4 days ago)</span></time>'
    page = load(body)
    page.clock.run_for(60_000)
    assert page.locator(".ago").all_text_contents() == ["(3 minutes ago)", "(4 days ago)"]


def test_days_have_their_right_names_past_midnight_where_they_are_shown(load):
    names = {"2026-03-05": "Today · ", "2026-03-04": "Yesterday · "}
    body = '<p class="printed"><i data-zone="Asia/Kathmandu"></i></p>'  # where it is a quarter to six in the evening
    page = load(body + "".join(f'<span data-day="{day}">{name}</span>' for day, name in names.items()))
    page.clock.run_for(timedelta(hours=6, minutes=13) / timedelta(milliseconds=1))
    assert page.locator("[data-day]").all_text_contents() == ["Today · ", "Yesterday · "]
    page.clock.run_for(120_000)
    assert page.locator("[data-day]").all_text_contents() == ["Yesterday · ", ""]
