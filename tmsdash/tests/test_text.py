"""Whatever text comes from outside: JSON that means one thing, and lines that stay one line."""

import json
import logging
import re
import sys
import time
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings

from tmsdash import strict_json
from tmsdash.text import one_line, printable, sentence

# -- strict_json --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),  # a byte order mark, as some tools write it
        (' {"é": "日本"} '.encode(), {"é": "日本"}),
        (b'{"a": {"x": 1}, "b": {"x": 2}}', {"a": {"x": 1}, "b": {"x": 2}}),
        (b'[{"x": 1}, {"x": 1}]', [{"x": 1}, {"x": 1}]),
        (b'{"a": 1, "A": 2, "": 3}', {"a": 1, "A": 2, "": 3}),
        (b'"\\ud83d\\ude42"', "🙂"),
        (b"9007199254740993", 9_007_199_254_740_993),
        (b"1e5", 100_000.0),
        (b"[" * 50 + b"]" * 50, json.loads("[" * 50 + "]" * 50)),
    ],
)
def test_json_that_means_one_thing_is_taken(body, value):
    assert strict_json.loads(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{} x",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"[1,]",
        b"[01]",
        b"[+1]",
        b'"a\nb"',
        b"<html>",
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',  # one key, spelled in two ways
        b'[{"x": {"a": 1, "b": 2, "a": 3}}]',
        b"NaN",
        b'{"a": Infinity}',
        b"[-Infinity]",
        b"[1e999]",  # Infinity in other words, which no database keeps as JSON
        b'{"a": -1e999}',
        b"9" * 5000,
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'"\xff"',
        b'"\xed\xa0\x80"',  # a surrogate, which is no UTF-8
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32"),
    ],
    ids=lambda body: repr(body[:30]),
)
def test_json_that_is_doubtful_is_a_value_error(body):
    with pytest.raises(ValueError):  # noqa: PT011 (that is all it promises)
        strict_json.loads(body)


# -- one_line -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain text, 100 % of it", "plain text, 100 % of it"),
        ("Zoë 日本 🙂 e\u0301", "Zoë 日本 🙂 e\u0301"),
        ("a\nb", r"a\nb"),
        ("a\r\nb", r"a\r\nb"),
        ("a\tb", r"a\tb"),
        ("a\0b", r"a\x00b"),
        ("a\x0bb\x0cc\x1cd\x1ee", r"a\x0bb\x0cc\x1cd\x1ee"),
        ("a\x7fb", r"a\x7fb"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31mred", r"\x9b31mred"),
        ("a\x85b", r"a\x85b"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("a\u202eb\u2066c\u200fd", r"a\u202eb\u2066c\u200fd"),
        ("a\u200bb\ufeffc\u00add", r"a\u200bb\ufeffc\xadd"),
        ("a\ud800b", r"a\ud800b"),
        ("a\U000e0041b", r"a\U000e0041b"),  # a tag character, invisible
        ("a\ue000b", r"a\ue000b"),
    ],
)
def test_what_could_break_a_line_or_mislead_a_reader_is_escaped(text, shown):
    assert one_line(text) == shown


def test_no_character_at_all_gets_through_that_ends_a_line_or_controls_a_terminal():
    everything = [chr(point) for point in range(sys.maxunicode + 1)]
    dangerous = [
        character for character in everything if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]
    shown = one_line("".join(dangerous), limit=10 * len(dangerous))
    assert len(dangerous) > 2000
    assert shown.isascii()
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("text", "ended"), [("no", "no."), ("No. ", "No."), ("Why?", "Why?"), ("cut…", "cut…"), ("", "")]
)
def test_a_text_from_outside_becomes_a_sentence(text, ended):
    assert sentence(text) == ended


@pytest.mark.parametrize("text", ["a" * 500, "é" * 500])
def test_text_within_the_limit_is_kept_whole(text):
    assert one_line(text) == text


@pytest.mark.parametrize("character", ["a", "é", "\n", "\u2028", "\U000e0041"])
@pytest.mark.parametrize("limit", [10, 128, 500])
def test_a_line_is_never_longer_than_its_limit(character, limit):
    """Columns of databases have this length, and PostgreSQL refuses what is longer."""
    shown = one_line(character * 10_000, limit)
    assert len(shown) <= limit
    assert shown.endswith("…")
    assert len(one_line(character * limit, limit)) <= limit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{\n  "a": "日本"\n}', '{\n  "a": "日本"\n}'),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\x1b[31m\nb\u202ec\td", "a\\x1b[31m\nb\\u202ec\\td"),
        ("", ""),
    ],
)
def test_text_for_a_page_keeps_its_line_ends_and_no_other_control_character(text, shown):
    assert printable(text) == shown
    for long in ("x" * 5000, "x\n" * 2500, "\x1b" * 2000):
        assert len(printable(long)) == 2000
        assert printable(long).endswith("…")


# -- OneLineFormatter ---------------------------------------------------------------------------------------------

FORGED = "[SET_ACTION] SUCCESS: Job created [INFO 2026-01-01 00:00:00,000]"
BREAKS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


@pytest.fixture
def written():
    """What the formatter that Django was set up with makes of a record."""
    [handler] = [handler for handler in logging.getLogger("django").handlers if handler.name == "stderr"]
    formatter = handler.formatter

    def log(message, *values, exception=None):
        exc_info = (type(exception), exception, exception.__traceback__) if exception else None
        return formatter.format(logging.LogRecord("a", logging.INFO, "a.py", 1, message, values, exc_info))

    return log


def assert_one_record(text):
    first, *others = text.splitlines()
    assert re.search(r" \[INFO \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [0-9a-f-]+\]$", first)
    assert all(line.startswith("    | ") for line in others)
    assert all(character == "\n" or character.isprintable() for character in text)


@pytest.mark.parametrize("line_break", BREAKS)
def test_no_value_in_a_message_begins_a_line_of_its_own(written, line_break):
    text = written("[SET_ACTION] Starting: user=%s, cids=%s", f"eve{line_break}{FORGED}", f"a{line_break}{FORGED}")
    assert_one_record(text)
    assert len(text.splitlines()) == 1
    assert text.count(FORGED) == 2  # it is all there, in one line


@pytest.mark.parametrize("line_break", BREAKS)
def test_no_exception_begins_a_line_of_its_own(written, line_break):
    try:
        try:
            raise ValueError(f"first{line_break}{FORGED}")
        except ValueError as error:
            raise RuntimeError(f"second{line_break}{FORGED}\x1b[31m\u202e") from error
    except RuntimeError as error:
        text = written("it broke", exception=error)
    assert_one_record(text)
    assert "RuntimeError: second" in text
    assert "ValueError: first" in text


@pytest.mark.parametrize("evil", ["\x1b[2J\x1b[31m", "\x9b31m", "\u202e", "\u2066", "\0", "\x08\x08", "\ud800"])
def test_no_value_recolours_or_reverses_a_terminal(written, evil):
    assert_one_record(written("user=%s", f"eve{evil}"))


def test_a_message_of_megabytes_is_cut(written):
    assert len(written("body: %s", "x" * 5_000_000)) < 10_000


def test_a_line_begins_with_its_message_and_ends_with_level_time_and_request(written):
    assert re.fullmatch(
        r"5 of 7 \[INFO \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ([0-9a-f]{16}|-)\]", written("%d of %d", 5, 7)
    )


@pytest.fixture
def in_zone(monkeypatch):
    """A function that lets this process' clock show the time of a zone until the test is over."""

    def enter(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield enter
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/St_Johns"])
def test_the_time_of_a_line_is_utc_and_says_so_in_whatever_zone_the_machine_is(written, in_zone, zone):
    in_zone(zone)
    before = datetime.now(UTC)
    logged = datetime.fromisoformat(written("x").split()[2])
    assert logged.utcoffset() == timedelta(0)
    assert before - timedelta(milliseconds=1) <= logged <= datetime.now(UTC)


def test_everything_that_is_logged_goes_through_this_formatter():
    handlers = settings.LOGGING["handlers"]
    assert {handler["formatter"] for handler in handlers.values()} == {"one_line"}
    for logger in [settings.LOGGING["root"], *settings.LOGGING["loggers"].values()]:
        assert set(logger.get("handlers", [])) <= set(handlers)
