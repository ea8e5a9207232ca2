"""Customer ids from text and JSON, and what is unusual about them."""

import pytest

from setactions.inputs.csv_table import as_text, read_list
from setactions.inputs.ids import from_json
from setactions.refusal import Refusal

HEX = "0123456789abcdef0123456789abcdef"


def from_text(text, **options):
    return read_list(text.encode(), **options)


def errors_of(function, value):
    with pytest.raises(Refusal) as caught:
        function(value)
    assert caught.value.code == 400
    return caught.value.errors["cids"]


@pytest.mark.parametrize(
    "text",
    ["a1,b2;c3\td4", "a1\nb2\r\nc3\rd4", " a1 , b2 ;; c3 ,d4\n\n \n", "\ufeffa1,b2,c3,d4", "a1,b2,a1,c3;d4;b2"],
)
def test_text_is_split_into_lines_or_one_line_at_every_separator_and_trimmed(text):
    assert from_text(text).cids == ("a1", "b2", "c3", "d4")


def test_repeats_are_removed_and_counted_and_the_first_place_kept():
    result = from_text("b,a,b,c,a,b")
    assert (result.cids, result.repeated) == (("b", "a", "c"), 3)


def test_case_is_kept_and_ids_that_differ_only_by_it_are_warned_about():
    result = from_text("Abc,abc,xyz")
    assert result.cids == ("Abc", "abc", "xyz")
    assert any("upper and lower case: Abc, abc." in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("ok\ntwo words", 2, "space (U+0020)"),
        ("ok\nok\nzero\u200bwidth", 3, "zero width space (U+200B)"),
        ("no\u00a0break", 1, "U+00A0"),
        ("nul\0", 1, "NUL"),
        ("bidi\u202e", 1, "U+202E"),
        ("line\u2028sep", 1, "U+2028"),
        ("private\ue000", 1, "U+E000"),
        ("esc\x1b[0m", 1, "U+001B"),
        ("vt\x0b", 1, "U+000B"),
        ("x" * 129, 1, "129"),
        ("fine\n" + "y" * 5000, 2, "5,000"),
        ("eyJhbGciOi.eyJzdWIi.c2ln", 1, "bearer token"),
    ],
)
def test_what_is_forbidden_is_refused_with_its_line_and_never_quoted(text, line, words):
    [error] = errors_of(from_text, text)
    assert error.startswith(f"Line {line}: ")
    assert words in error
    assert "eyJ" not in error
    assert "yyy" not in error


def test_128_characters_and_printable_unicode_are_fine():
    assert from_text("x" * 128 + ",kündin-ß,客户").cids == ("x" * 128, "kündin-ß", "客户")


@pytest.mark.parametrize("text", ["", " \n,;\t\n", "\ufeff"])
def test_an_empty_list_is_refused(text):
    assert "at least one" in errors_of(from_text, text)[0]


def test_errors_of_one_cause_are_one_sentence_with_the_first_lines_and_a_count():
    [error] = errors_of(from_text, "\n".join(["a b"] * 1234))
    assert error.startswith("Lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 1,224 more: The customer id holds space (U+0020),")
    [error] = errors_of(from_json, ["ok", *["a b"] * 12])
    assert error.startswith("Items 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more: The customer id holds space (U+0020),")


def test_usual_ids_bring_no_warning():
    assert from_text(f"{HEX},{HEX.upper()[::-1]},1234567").warnings == ()


@pytest.mark.parametrize(
    ("cid", "words"),
    [
        ("alpha2_sub_515", "unusual"),
        ("xyz", "unusual"),
        (HEX[:31], "hexadecimal, but not of 32 characters"),
    ],
)
def test_unusual_ids_are_kept_and_warned_about(cid, words):
    result = from_text(f"{HEX}\n{cid}")
    assert result.cids == (HEX, cid)
    [warning] = result.warnings
    assert words in warning
    assert cid in warning


@pytest.mark.parametrize(
    "cids",
    [
        ("a1", "b2"),
        ("'=1", "''=1", "'a", '"q"', '"=1"', "it's", "0012345"),
        ("alpha", "b2"),
        ("customer_id", "id", "'id"),
        ("a|b", "c|d"),
        ("sep=", "x"),
        (HEX, "1234567"),
        ("0", "1234567"),
        ("Column1", "x1"),
        ("name", "alice"),
        ("1", "000", "003"),
    ],
)
def test_ids_as_text_are_read_back_as_they_were(cids):
    assert from_text(as_text(cids), allow_unusual=True).cids == cids


def test_usual_ids_are_text_as_they_are():
    assert as_text((HEX, "0012345")) == f"{HEX}\n0012345"


def test_json_ids_are_strings_and_integers_untrimmed():
    assert from_json(["a1", 7, 3, "7", "A1"]).cids == ("a1", "7", "3", "A1")
    assert from_json(["a1", 7, "7"]).repeated == 1


@pytest.mark.parametrize(
    "item",
    [
        "a\nb",
        "\n",
        "x" * 128 + "\n" + "y" * 128,
        "a\n",
        1.5,
        True,
        False,
        None,
        [],
        ["a"],
        {},
        "",
        " a",
        "a ",
        "a,b",
        "a;b",
        "a\tb",
        "\ud800",
    ],
)
def test_other_json_items_are_refused_by_their_number(item):
    [error] = errors_of(from_json, ["ok", item])
    assert error.startswith("Item 2: ")


@pytest.mark.parametrize("value", ["a", None, {}, 7, []])
def test_json_that_is_no_list_of_ids_is_refused(value):
    assert errors_of(from_json, value)
