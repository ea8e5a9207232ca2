"""A CSV file of any length as rows with their line numbers, read once and in bounded memory; a pipe will do."""

import csv
import io
import re
from collections.abc import Iterator

from setactions.inputs.spool import Sentences

MAX_LINE = 1_048_576  # characters: one line may hold a list of ids, but no file is one endless line
_PEEKED = 8
_SIGNATURES = {
    b"PK\x03\x04": "a workbook or an archive",
    b"PK\x05\x06": "an archive",
    b"\x1f\x8b": "compressed",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "a workbook in an old format",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_AS_UTF8 = "Save it as CSV UTF-8."
_NOT_DECODED = re.compile("[\udc80-\udcff]")

Row = tuple[int, list[str]]


class NotText(Exception):
    """The file cannot be read any further; `sentence` says why, for this line (0: for the file)."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line, self.sentence = line, sentence


def rows_of(source: io.BufferedReader, errors: Sentences) -> Iterator[Row]:
    """Return each row that is not blank, with the number of the line where it begins.

    What is wrong with single lines goes to `errors`; raises NotText where reading on would make no sense.
    """
    head = source.peek(_PEEKED)
    kind = next((kind for signature, kind in _SIGNATURES.items() if head.startswith(signature)), None)
    if kind:
        raise NotText(0, f"The file is {kind}, not CSV. {_AS_UTF8}")
    lines = _Lines(source, errors)
    try:
        yield from _rows(lines, errors)
    finally:
        lines.let_go()


def _rows(lines: "_Lines", errors: Sentences) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=lines.delimiter(), strict=True)
    while True:
        lines.row_begins = 0
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "expected after" not in str(error):  # a field without an end, for which there is no next row
                sentence = "A quotation mark is opened here and not closed. What follows it was not checked."
                raise NotText(lines.row_begins, sentence) from None
            errors.add(
                lines.row_begins, str, "After a closing quotation mark there is more text. Double it, or take it out."
            )
            continue
        if row is None:
            return
        if any(row) and any(cell.strip() for cell in row):
            yield lines.row_begins, row


class _Lines(Iterator[str]):
    """The lines of a file; those that are not UTF-8 are left out, and said to be so."""

    def __init__(self, source: io.BufferedReader, errors: Sentences) -> None:
        # Bytes that are not UTF-8 become characters that UTF-8 never holds, so that their line can be named.
        self._text = io.TextIOWrapper(source, "utf-8-sig", errors="surrogateescape", newline="")
        self._errors = errors
        self._number = 0
        self._first: str | None = None
        self.row_begins = 0  # the first line that was read since this was set to 0

    def let_go(self) -> None:
        """Leave the file to its owner, who closes it."""
        self._text.detach()

    def delimiter(self) -> str:
        """Return what separates the cells of the first line that is not blank, as far as can be seen."""
        self._first = next((line for line in self if line.strip()), None)
        unquoted = re.sub(r'"[^"]*"?', "", self._first or "")
        return max(",;\t", key=unquoted.count)

    def __next__(self) -> str:
        if self._first is not None:
            line, self._first = self._first, None
        else:
            line = self._next_line()
        self.row_begins = self.row_begins or self._number
        return line

    def _next_line(self) -> str:
        while line := self._text.readline(MAX_LINE + 1):
            self._number += 1
            if len(line) > MAX_LINE:
                raise NotText(self._number, f"The line is longer than {MAX_LINE:,} characters. Give each id its own.")
            if "\0" in line:
                raise NotText(self._number, f"The file is not text: there is a NUL character. {_AS_UTF8}")
            if line.isascii() or not _NOT_DECODED.search(line):
                return line
            self._errors.add(self._number, str, f"The line is not UTF-8. {_AS_UTF8}")
        raise StopIteration
