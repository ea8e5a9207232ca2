"""Ids as CSV: they come back as they were, and none of them is a formula."""

import csv
import io
import re

import pytest

from tmsdash.csv_text import from_cell, to_csv

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
    "",
    "'",
    "-",
)


def cells_of(text):
    return [row[0] if row else "" for row in csv.reader(io.StringIO(text, newline=""), strict=True)]


def test_every_cell_comes_back_as_it_was_below_its_header():
    header, *cells = cells_of(to_csv("customer_id", ODD))
    assert header == "customer_id"
    assert tuple(map(from_cell, cells)) == ODD


@pytest.mark.parametrize("cell", ODD)
def test_no_spreadsheet_calculates_with_a_cell(cell):
    [_, written] = cells_of(to_csv("customer_id", [cell]))
    assert not re.match("[-=+@＝－＋＠\t\r]", written)


@pytest.mark.parametrize("cell", ["a1", "'a", "''", "it's", "0'=1", "'"])
def test_an_apostrophe_that_protects_nothing_stays(cell):
    assert from_cell(cell) == cell
