"""Text that comes from outside, made fit for one line of a log or of a page."""

import unicodedata


def one_line(text: str, limit: int = 500) -> str:
    """Return `text` with every control, format, surrogate and line-separating character escaped.

    What is left cannot break a log line, recolour a terminal or reverse the reading direction.
    At most `limit` characters are kept; a cut is marked with an ellipsis.
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def printable(text: str, limit: int = 2000) -> str:
    """Return at most `limit` characters of `text` for a page: like one_line, but line ends are kept."""
    return "\n".join(one_line(line, limit) for line in text[:limit].splitlines())


def _escaped(character: str) -> str:
    if unicodedata.category(character)[0] == "C" or unicodedata.category(character) in ("Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character
