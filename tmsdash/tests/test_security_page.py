"""docs/security.md has each requirement of ASVS 5.0.0, levels 1 and 2, with its verdict and what shows it."""

import ast
import re
from collections import Counter
from functools import cache

from django.conf import settings

PAGE = (settings.BASE_DIR / "docs" / "security.md").read_text(encoding="utf-8")
MOST_FAILURES = 8
# The levels of the requirements of each section of the standard, in the order of their numbers.
LEVELS = {
    "V1.1": "22", "V1.2": "111112222", "V1.3": "11222222222", "V1.4": "222", "V1.5": "12", "V2.1": "122",
    "V2.2": "112", "V2.3": "1222", "V2.4": "2", "V3.2": "11", "V3.3": "1222", "V3.4": "112222", "V3.5": "11122",
    "V3.7": "22", "V4.1": "122", "V4.2": "2", "V4.3": "22", "V4.4": "1222", "V5.1": "2", "V5.2": "112",
    "V5.3": "11", "V5.4": "222", "V6.1": "122", "V6.2": "111111112222", "V6.3": "1122", "V6.4": "1122",
    "V6.5": "22222", "V6.6": "222", "V6.8": "2222", "V7.1": "222", "V7.2": "1111", "V7.3": "22", "V7.4": "11222",
    "V7.5": "22", "V7.6": "22", "V8.1": "12", "V8.2": "112", "V8.3": "1", "V8.4": "2", "V9.1": "111",
    "V9.2": "1222", "V10.1": "22", "V10.2": "22", "V10.3": "2222", "V10.4": "11111222222", "V10.5": "22222",
    "V10.6": "22", "V10.7": "222", "V11.1": "22", "V11.2": "222", "V11.3": "112", "V11.4": "1222", "V11.5": "2",
    "V11.6": "2", "V12.1": "122", "V12.2": "11", "V12.3": "2222", "V13.1": "2", "V13.2": "22222", "V13.3": "22",
    "V13.4": "12222", "V14.1": "22", "V14.2": "1222", "V14.3": "122", "V15.1": "122", "V15.2": "122",
    "V15.3": "1222222", "V16.1": "2", "V16.2": "22222", "V16.3": "2222", "V16.4": "222", "V16.5": "222",
    "V17.1": "2", "V17.2": "2222", "V17.3": "22",
}  # fmt: skip
REQUIREMENTS = {
    f"{section}.{number}": level for section, levels in LEVELS.items() for number, level in enumerate(levels, start=1)
}
ROW = re.compile(r"\| (V[^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")


def numbers_of(cell):
    """The requirements that a row is about, such as those of `V1.2.3, V6.5.1 to V6.5.5`."""
    for part in cell.split(", "):
        first, _, last = part.partition(" to ")
        section, _, number = first.rpartition(".")
        if last:
            assert last.rpartition(".")[0] == section
            yield from (f"{section}.{at}" for at in range(int(number), int(last.rpartition(".")[2]) + 1))
        else:
            yield first


def rows():
    """Number, level, verdict and evidence of each requirement on the page."""
    for line in PAGE.splitlines():
        if line.startswith("| V"):
            match = ROW.fullmatch(line)
            assert match, line
            cell, level, words, verdict, evidence = (part.strip() for part in match.groups())
            assert words, line
            yield from ((number, level, verdict, evidence) for number in numbers_of(cell))


@cache
def functions_in(path):
    tree = ast.parse((settings.BASE_DIR / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_each_requirement_of_levels_1_and_2_has_its_place_once():
    assert len(REQUIREMENTS) == 253
    found = Counter(number for number, *_ in rows())
    assert [number for number, count in found.items() if count != 1] == []
    assert set(found) == set(REQUIREMENTS)
    assert [number for number, level, *_ in rows() if level != REQUIREMENTS[number]] == []


def test_each_has_a_verdict_and_what_shows_it_or_why_not():
    for number, _, verdict, evidence in rows():
        assert verdict in ("pass", "fail", "n/a"), number
        if verdict == "pass":
            assert "`" in evidence or "*" in evidence, number  # a file, a test or a chapter of this page
        else:
            assert len(evidence.split()) > 1, number


def test_few_fail_and_the_page_counts_them_rightly():
    counts = Counter(verdict for _, _, verdict, _ in rows())
    assert counts["fail"] <= MOST_FAILURES
    passed, failed, others = (counts[verdict] for verdict in ("pass", "fail", "n/a"))
    assert f"{passed} pass, {failed} fail, each with its reason, and {others} do not apply" in PAGE


def test_every_file_and_test_that_the_page_names_exists():
    named = set(re.findall(r"`([\w./-]+\.(?:py|conf|sql|html|lock|md)(?:::\w+)?)`", PAGE))
    assert len(named) > 100
    for name in named:
        path, _, test = name.partition("::")
        assert (settings.BASE_DIR / path).is_file(), name
        assert not test or test in functions_in(path), name


def test_every_chapter_that_the_table_names_is_on_the_page():
    chapters = set(re.findall(r"^## (.+)$", PAGE, re.MULTILINE))
    named = {name for *_, evidence in rows() for name in re.findall(r"\*([^*]+)\*", evidence)}
    assert len(named) > 5
    assert named <= chapters


def test_the_inventory_of_logs_has_every_word_that_lines_begin_with():
    files = [
        path for app in ("tmsdash", "audit", "jobs", "setactions") for path in (settings.BASE_DIR / app).rglob("*.py")
    ]
    code = "".join(path.read_text(encoding="utf-8") for path in files if "tests" not in path.parts)
    words = set(re.findall(r'"(\[[A-Z_]+\])', code))
    assert {"[AUDIT]", "[ACCESS]", "[SET_ACTION]"} < words
    logs = PAGE.partition("\n## Logs\n")[2].partition("\n## ")[0]
    assert [word for word in words if f"`{word}`" not in logs] == []
