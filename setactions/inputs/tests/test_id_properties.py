"""What holds for every list of ids, wherever it comes from, and for every text that may be a token."""

import csv
import io
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from setactions.inputs.csv_table import as_text, read_list
from setactions.inputs.ids import CidList, from_json
from setactions.inputs.shapes import has_damaged
from setactions.tests.properties import json_values, often, outcome_of, texts
from setactions.tms.unknown_ids import find_repair
from tmsdash.csv_text import from_cell, ids_text
from tmsdash.tests.tools import done_within
from tmsdash.tokens import looks_like_token

MANY = 1_000_000
GUARD_S = 20  # what takes so long does not end at all
plain = st.characters(exclude_categories=("C", "Z"), exclude_characters=",;")
cids = st.text(st.one_of(plain, st.sampled_from("'\"=+-@＝aA1\\")), min_size=1, max_size=128).filter(
    lambda cid: not looks_like_token(cid)
)


def parsed(parse, value, **options):
    """What `parse` makes of the value, or None if it refuses it; anything but its own error fails the test."""
    result, refusal = outcome_of(lambda: parse(value, **options))
    if refusal:
        assert (refusal.code, list(refusal.errors)) in ((400, ["cids"]), (413, ["cids"]))
        assert all(refusal.errors["cids"])
    return result


def assert_well_formed(result: CidList):
    assert result.cids
    assert len(set(result.cids)) == len(result.cids)
    assert result.repeated >= 0
    for cid in result.cids:
        assert 1 <= len(cid) <= 128
        assert not set(cid) & set(",;")
        assert not any(unicodedata.category(character)[0] in "CZ" for character in cid)
        assert not looks_like_token(cid)
    assert all(isinstance(warning, str) for warning in result.warnings)


@often
@given(st.lists(st.one_of(cids, texts), max_size=8).map(lambda parts: "\n".join(parts)))
def test_what_is_taken_from_text_is_well_formed_in_order_and_counted(text):
    result = parsed(read_list, text.encode(errors="surrogatepass"), allow_unusual=True)
    if result:
        assert_well_formed(result)
    if (
        result and '"' not in text and "=" not in text
    ):  # every cell is an id: there is neither a header nor a quoted one
        given_cells = [cell.strip(" \u00a0") for cell in re.split(r"[,;\t\r\n]", text.removeprefix("\ufeff"))]
        given_cells = [from_cell(cell) for cell in given_cells if cell]
        assert result.cids == tuple(dict.fromkeys(given_cells))
        assert result.repeated == len(given_cells) - len(result.cids)


@often
@given(st.one_of(st.lists(st.one_of(cids, st.integers(), st.booleans(), st.floats()), max_size=3), json_values))
def test_what_is_taken_from_json_is_well_formed_in_order_and_counted(value):
    result = parsed(from_json, value, allow_unusual=True)
    if result:
        assert_well_formed(result)
        assert all(type(item) in (str, int) for item in value)
        assert result.cids == tuple(dict.fromkeys(map(str, value)))
        assert result.repeated == len(value) - len(result.cids)


@often
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(texts, max_size=6).map(lambda rows: "\n".join(rows).encode("utf-8", "replace")),
    )
)
@example(b"PK\x03\x04")
@example(b'"')
@example(b"customer_id,customer_id\n")
def test_every_file_is_taken_or_refused(content):
    result = parsed(read_list, content)
    if result:
        assert_well_formed(result)


@often
@given(st.lists(cids, min_size=1, max_size=8, unique=True))
@example(["customer_id"])
@example(["'=1", "''=1", "'", "=", "＝1", "'＝1"])
def test_a_file_that_we_wrote_is_read_as_it_was_and_calculates_nothing(given_cids):
    content = ids_text(given_cids)
    expected = CidList(tuple(given_cids), 0, allow_unusual=has_damaged(given_cids))
    assert read_list(content.encode(), allow_unusual=True) == expected
    assert read_list(as_text(given_cids).encode(), allow_unusual=True) == expected
    cells = [cell for row in csv.reader(io.StringIO(content, newline="")) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")) for cell in cells)


@often
@given(st.lists(cids, min_size=2, max_size=8), st.sampled_from([*"\n,;\t", "\r\n", "\r"]))
def test_text_json_and_files_understand_the_same_ids_in_the_same_way(given_cids, mark):
    expected = from_json(given_cids, allow_unusual=True)
    result = parsed(read_list, mark.join(as_text(given_cids).split("\n")).encode(), allow_unusual=True)
    if result:  # not all of them are alike, or there is a header
        assert result == expected


@often
@given(st.lists(cids, min_size=1, max_size=8, unique=True))
@example(["NULL", "a1"])
def test_ids_that_look_damaged_are_taken_only_on_somebodys_word(given_cids):
    for reader, value in ((from_json, given_cids), (read_list, ids_text(given_cids).encode())):
        result = parsed(reader, value)
        assert (result is None) == has_damaged(given_cids)


@often
@given(st.lists(cids, min_size=1, max_size=6, unique=True), st.data())
def test_what_tms_does_not_know_is_read_back_from_its_message(given_cids, data):
    unknown = data.draw(st.lists(st.sampled_from(given_cids), min_size=1, unique=True))
    repair = find_repair(f"those CIDs {unknown} do not exist", given_cids)
    assert set(repair.unknown) == set(unknown)
    assert sorted(repair.unknown + repair.known) == sorted(given_cids)


letters = st.lists(st.sampled_from(["eyJ", "abcde", "a", ".", "-", "_", " ", "é", "\n"]), max_size=5).map("".join)


@often
@given(st.one_of(letters, st.builds("{}eyJ{}.{}.{}".format, letters, letters, letters, letters)))
def test_tokens_are_recognized_wherever_they_stand(text):
    slow = re.search(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", text)
    assert looks_like_token(text) == (slow is not None)


@pytest.mark.parametrize("text", ["eyJ" * MANY, "eyJaaaaa" * MANY + ".", "a." * MANY, "-" * MANY + "."], ids=[*"1234"])
def test_what_only_resembles_tokens_is_looked_through_in_one_go(text):
    with done_within(GUARD_S):  # searched anew from every eyJ it takes an hour
        assert not looks_like_token(text)
