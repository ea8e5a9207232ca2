"""A CSV file of any length as rows with their line numbers, read once and in bounded memory; a pipe will do.

The first line that is not blank decides what separates cells: `sep=;`, as Excel writes it, or else whatever makes a
column of ids of one of its cells, or else the mark that it holds most of. Nothing is guessed about encodings.
"""

import csv
import io
import re
from collections.abc import Iterator
from itertools import chain

from setactions.inputs.problems import Problems
from tmsdash.csv_text import ID_COLUMN

MAX_LINE = 1_048_576  # characters: one line may hold a list of ids, but no file is one endless line
SEPARATOR_LINE = re.compile(r'"?sep=(.?)"?[,;\s]*', re.IGNORECASE)
_PEEKED = 8
_SIGNATURES = {
    b"PK\x03\x04": "a workbook or an archive",
    b"PK\x05\x06": "an archive",
    b"\x1f\x8b": "compressed",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "a workbook in an old format",
    b"\xff\xfe\0\0": "UTF-32 text",
    b"\0\0\xfe\xff": "UTF-32 text",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_AS_UTF8 = "Save it as CSV UTF-8."
_NOT_DECODED = re.compile("[\udc80-\udcff]")
_CLOSED = (
    "A quotation mark is closed in line {} and followed by more text. Double the quotation marks that belong to the "
    "text, or take them out."
)
_UNCLOSED = "A quotation mark is opened here and not closed. Close it, or take it out. What follows was not checked."

Row = tuple[int, int, list[str]]  # the numbers of its first and last line, and its cells


class _Unreadable(Exception):
    """The file cannot be read any further: the number of the line (0: the file as a whole), and why."""


class Rows:
    """The rows of a file that are not blank; what is wrong with single lines goes to `problems`.

    Reading ends early, with one more problem, where going on would make no sense. `delimiter` is known as soon as
    the first row is.
    """

    def __init__(self, source: io.BufferedReader, problems: Problems) -> None:
        self.delimiter = ","
        self._source, self._problems = source, problems
        self._row_begins = self._line = 0  # numbers of lines; 0 for one that is not known yet
        self._row_length = 0

    def __iter__(self) -> Iterator[Row]:
        # Bytes that are not UTF-8 become characters that UTF-8 never holds, so that their line can be named.
        text = io.TextIOWrapper(self._source, "utf-8-sig", errors="surrogateescape", newline="")
        try:
            head = self._source.peek(_PEEKED)
            kind = next((kind for signature, kind in _SIGNATURES.items() if head.startswith(signature)), None)
            if kind:
                raise _Unreadable(0, f"The file is {kind}, not CSV. {_AS_UTF8}")
            yield from self._rows(self._lines(text))
        except _Unreadable as error:
            self._problems.add(*error.args)
        finally:
            text.detach()  # its owner closes the file

    def _lines(self, text: io.TextIOWrapper) -> Iterator[tuple[int, str]]:
        number = 0
        while line := text.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise _Unreadable(number, f"The line is longer than {MAX_LINE:,} characters. Give each id its own.")
            if "\0" in line:
                raise _Unreadable(number, f"The file is not text: there is a NUL character. {_AS_UTF8}")
            if line.isascii() or not _NOT_DECODED.search(line):
                yield number, line
            else:
                self._problems.add(number, f"The line is not UTF-8. {_AS_UTF8}")

    def _rows(self, lines: Iterator[tuple[int, str]]) -> Iterator[Row]:
        first = next(((number, line) for number, line in lines if line.strip()), (0, ""))
        separator = SEPARATOR_LINE.fullmatch(first[1].rstrip("\r\n"))
        if separator:
            self.delimiter = _named_delimiter(first[0], separator[1])
        else:
            self.delimiter, lines = _delimiter_in(first[1]), chain([first], lines)
        reader = csv.reader(self._followed(lines), delimiter=self.delimiter, skipinitialspace=True, strict=True)
        while True:
            self._row_begins = 0
            try:
                row = next(reader, None)
            except csv.Error as error:
                self._problems.add(self._row_begins, *self._sentence_for(error))
                continue
            if row is None:
                return
            if any(map(str.strip, row)):
                yield self._row_begins, self._line, row

    def _followed(self, lines: Iterator[tuple[int, str]]) -> Iterator[str]:
        """Return the lines, and note for each row where it begins and ends."""
        for self._line, line in lines:
            if not self._row_begins:
                self._row_begins, self._row_length = self._line, 0
            self._row_length += len(line)
            if self._row_length > MAX_LINE:
                raise _Unreadable(self._row_begins, _UNCLOSED)
            yield line

    def _sentence_for(self, error: csv.Error) -> tuple[str, str]:
        if "expected after" in str(error):
            return _CLOSED, f"{self._line:,}"
        if "field limit" in str(error) and self._row_begins == self._line:
            return f"A cell is longer than {csv.field_size_limit():,} characters. Put each id on a line of its own.", ""
        raise _Unreadable(self._row_begins, _UNCLOSED) from error  # for a field without an end there is no next row


def _delimiter_in(line: str) -> str:
    start = line[:100_000]  # less than a cell may have, so that there is no error
    heads = {mark: next(csv.reader([start], delimiter=mark, skipinitialspace=True)) for mark in ",;\t|"}
    candidates = [mark for mark, cells in heads.items() if any(map(ID_COLUMN.fullmatch, cells))]
    unquoted = re.sub(r'"[^"]*"?', "", line)
    return max(candidates or ",;\t", key=unquoted.count)


def _named_delimiter(number: int, mark: str) -> str:
    if not mark or mark.isalnum() or mark in ' "' or not (mark.isprintable() or mark == "\t"):
        raise _Unreadable(number, "The line sep= names nothing that can separate cells. Write sep=; or sep=, there.")
    return mark
