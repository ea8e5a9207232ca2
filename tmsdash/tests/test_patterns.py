"""No regular expression of the product takes longer than in proportion to its text, whoever chose that."""

import ast
import re

import pytest

from tmsdash.tests.patterns import WAYS, patterns_in, product_files, product_patterns, try_all, uses_in

PLANTED = {
    "exponential": (r"(jan|may)([-/., ]*\d+)*", "fullmatch"),
    "a choice of the same": (r"(?:ab|[a-z]b)*c", "match"),
    "quadratic from one start": (r"x*x*y", "match"),
    "quadratic from every start": (r"\d+x", "search"),
    "in what looks ahead": (r"(?=[ab]*[bc]*d)", "fullmatch"),
    "blanks before an end": (r"\s+$", "sub"),
}
SOURCE = """
from re import compile as made
import re as r
from django.core.validators import RegexValidator
from django.urls import re_path
_NAME = "[a-z]+"
_ONE = made(rf"({_NAME})*", r.IGNORECASE)
_TWO = r.compile(_ONE.pattern + "2")
def look(text):
    return _ONE.fullmatch(text) or r.sub("3", "", text, flags=r.ASCII) or give(_TWO)
field = RegexValidator("4"), re_path("5", look)
"""


def test_every_regular_expression_is_linear():
    patterns = product_patterns()
    assert len({where for where, *_ in patterns}) > 40
    assert try_all(patterns) == ""


@pytest.mark.parametrize(("pattern", "way"), PLANTED.values(), ids=PLANTED)
def test_a_slow_one_is_noticed(pattern, way):
    assert try_all([("here", pattern, 0, [way])]).startswith(f"here {way}")


def test_every_spelling_of_a_regular_expression_is_found():
    tree, namespace = ast.parse(SOURCE), {}
    exec(SOURCE, namespace)  # noqa: S102 (the text above)
    found = patterns_in(tree, namespace, "here", uses_in([tree]))
    assert sorted((pattern, ways) for _, pattern, _, ways in found) == [
        ("([a-z]+)*", ["fullmatch"]),
        ("([a-z]+)*2", sorted(WAYS)),
        ("3", ["sub"]),
        ("4", ["search"]),
        ("5", ["search"]),
    ]
    assert {flags & (re.IGNORECASE | re.ASCII) for _, _, flags, _ in found} == {0, re.IGNORECASE, re.ASCII}


def test_one_that_is_made_while_the_code_runs_is_not_let_through():
    tree = ast.parse("import re\ndef look(word, text):\n    return re.search(word + 'x', text)")
    with pytest.raises(NameError, match="word"):
        patterns_in(tree, {}, "here", {})


def test_no_database_is_asked_for_a_regular_expression():
    for file in product_files():
        names = {getattr(node, "arg", None) for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))}
        assert not [name for name in names if re.search("__i?regex$", name or "")], file
