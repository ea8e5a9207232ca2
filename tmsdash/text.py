"""Text from outside, made safe for one line of a log or a page, or to stand between sentences; and counts in words."""

import unicodedata


def one_line(text: str, limit: int = 500) -> str:
    """Return `text` with every control, format, surrogate and line-separating character escaped.

    What is left cannot break a log line, recolour a terminal or reverse the reading direction.
    The result has at most `limit` characters; a cut is marked with an ellipsis.
    """
    line = text[: limit + 1]
    if not (line.isascii() and line.isprintable()):
        line = "".join(_escaped(character) for character in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def printable(text: str, limit: int = 2000) -> str:
    """Return at most `limit` characters of `text` for a page: like one_line, but line ends are kept."""
    shown = "\n".join(one_line(line, limit + 1) for line in text[: limit + 1].splitlines())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def shown_id(text: str) -> str:
    """Return an id as a page shows it: as it is, but one that nobody could see by its characters' numbers.

    TMS may list such as a line break alone.
    """
    if text.isascii() and text.isprintable() and text.strip():  # as nearly all are
        return text
    if any(unicodedata.category(character)[0] not in "CZ" for character in text):
        return text
    named = " ".join(f"U+{ord(character):04X}" for character in text[:4])
    return f"(blank: {named}{'…' * (len(text) > 4)})" if text else ""


def sentence(text: str) -> str:
    """Return a text from outside with a full stop, unless it ends as sentences do; "" stays empty."""
    text = text.rstrip()
    return f"{text}." if text and text[-1] not in ".!?…" else text


def counted(count: int, noun: str) -> str:
    """Return such as "1 customer" or "27,682 customers"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _escaped(character: str) -> str:
    if unicodedata.category(character)[0] == "C" or unicodedata.category(character) in ("Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character
