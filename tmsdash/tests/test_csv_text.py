"""Ids as CSV: they come back as they were, and none of them is a formula."""

import csv
import io
import itertools
import re

import pytest

from tmsdash.csv_text import from_cell, ids_text, to_cell, to_id_cell, to_typed_cell

ODD = (
    "=1+1",
    "+1",
    "-1",
    "@x",
    "＝1",
    "－1",
    "＋1",
    "＠x",
    "'=1",
    "''=1",
    "'a",
    '"q"',
    '"=1"',
    "it's",
    "7E5",
    "0012345",
    "'0012345",
    "''0012345",
    "1234567",
    "'1234567",
    "''a",
    "customer_id",
    "'ID",
    "sep=;",
    "'may",
    "0" * 32,
    "'" + "ab" * 16,
    "",
    "'",
    "''",
    "-",
)


def cells_of(text):
    return [row[0] if row else "" for row in csv.reader(io.StringIO(text, newline=""), strict=True)]


def test_every_cell_comes_back_as_it_was_below_its_header():
    header, *cells = cells_of(ids_text(ODD))
    assert header == "customer_id"
    assert tuple(map(from_cell, cells)) == ODD


@pytest.mark.parametrize("cell", ODD)
def test_no_spreadsheet_calculates_with_a_cell(cell):
    [_, written] = cells_of(ids_text([cell]))
    assert not re.match("[-=+@＝－＋＠\t\r]", written)


@pytest.mark.parametrize("cell", ["a1", "it's", "0'=1", "a'", '"a"'])
def test_a_cell_without_an_apostrophe_in_front_stays(cell):
    assert from_cell(cell) == cell


@pytest.mark.parametrize("cid", ["a", "alpha2_sub_515", "abc123", "mayor", "it's", "'a", "1234567", "0f" * 16, ""])
def test_one_apostrophe_in_front_is_taken_off_whoever_put_it_there(cid):
    assert from_cell(f"'{cid}") == cid


CONVERTED = (
    *(
        "0123456",
        "00",
        "123456789012",
        "12345678901234567890",
        "1.5",
        "1,000",
        "7E5",
        "1e10",
        "123e4567",
        "50%",
        "1/2",
        "12:30",
    ),
    *(
        "2026-11-24",
        "24.11.2026",
        "MAR1",
        "1-Mar",
        "March 1, 2026",
        "sept1",
        "TRUE",
        "false",
        "$5",
        "€ 7",
        " 1",
        "1E+5",
    ),
)


@pytest.mark.parametrize("cell", [*CONVERTED, *(odd for odd in ODD if re.match("[-=+@＝－＋＠]", odd))])
def test_what_a_spreadsheet_would_convert_stays_text(cell):
    assert to_id_cell(cell) == f"'{cell}"
    assert from_cell(f"'{cell}") == cell


@pytest.mark.parametrize(
    "cell", ["a1", "7d3f", "0f" * 16, "1234567e1f", "x1", "marx", "true1", "decade", "1a", "", "1234567", "0", "1" * 11]
)
def test_what_no_spreadsheet_changes_stays_as_it_is(cell):
    assert to_id_cell(cell) == cell
    assert from_cell(f"'{cell}") == cell


def test_only_what_would_be_misread_is_typed_otherwise():
    assert [to_typed_cell(cell) for cell in ("0012345", "=1", "a")] == ["0012345", "=1", "a"]
    assert [from_cell(to_typed_cell(cell)) for cell in ODD] == list(ODD)


# The plainest way to say it; for short texts only, because it takes twice as long for each more digit.
PLAINLY = re.compile(
    r"[\d.,:/% -]+(e[-+]?\d+)?|true|false|([\d.]+[-/ ]?)?(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?"
    r"|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|dec(ember)?)([-/., ]*\d+)*|[$€£¥]\s*[\d.,]+",
    re.IGNORECASE,
)
BEGINNINGS = ("", "may", "MARCH", "1-dec", "12 sept", "1.", "$", "€ ", "true", "7e", "x")


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_exactly_what_spreadsheets_convert_is_protected(beginning):
    for length in range(6):
        for characters in itertools.product("1-. e+x", repeat=length):
            cell = beginning + "".join(characters)
            is_changed = PLAINLY.fullmatch(cell) and not re.fullmatch("0|[1-9][0-9]{0,10}", cell)
            assert to_id_cell(cell) == (f"'{cell}" if is_changed else to_cell(cell))
