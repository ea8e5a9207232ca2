"""Files that are no list of customers: each gets a sentence, with the line where there is one, and nothing is sent."""

import gzip
import io
import zipfile

import pytest

from jobs.models import Batch
from setactions.batches.tests.commanding import command
from tmsdash.tests.fixtures import TOKEN

A, B = "0" * 32, "1" * 32
ARCHIVE = io.BytesIO()
with zipfile.ZipFile(ARCHIVE, "w") as archive:
    archive.writestr("fleet.csv", A)

BROKEN = {
    "empty": (b"", "The list is empty"),
    "only a mark": ("\ufeff".encode(), "The list is empty"),
    "only blank lines": (b"\n\n  \n\r\n", "The list is empty"),
    "only separators": (b",,,\n  ,\n", "The list is empty"),
    "only a header": (b"customer_id\n", "a header and nothing below it"),
    "only a header of several": (b"customer_id,name\n", "a header and nothing below it"),
    "a header of other names": (b"name,street\nx,y\n", "Line 1: There are several columns, and the first line"),
    "a single header of another name": (f"kunde\n{A}\n".encode(), "Line 1: This header (kunde) is not known"),
    "a header of two words": (f"customer number\n{A}\n".encode(), "Line 1: This header (customer number) is not known"),
    "no header": (f"{A},x\n{B},y\n".encode(), "Line 1: There are several columns, and the first line"),
    "no header, action beside": (f"{A};PE-Enable\n{B};PE-Enable\n".encode(), "Line 1: There are several columns"),
    "two columns of ids": (f"id,cid\n{A},{B}\n".encode(), "Line 1: The header names a column twice"),
    "the id twice": (f"id,id\n{A},{B}\n".encode(), "Line 1: The header names a column twice"),
    "the action twice": (f"id,action,action\n{A},x,y\n".encode(), "Line 1: The header names a column twice"),
    "a row cut off": (f"name,id\nx,{A}\ny\n".encode(), "Line 3: The row has fewer cells than the first line"),
    "a row shifted": (f"id,name\n{A},x\n{B},y,z\n".encode(), "Line 3: The row has more cells than the first line"),
    "a second column begun late": (f"{A}\n{B},x\n".encode(), "Line 2: The row has more cells than the first line"),
    "an id missing": (f"id,name\n{A},x\n,y\n".encode(), "Line 3: The customer id is missing"),
    "a space inside": (f"{A}\n12 34\n".encode(), "Line 2: The customer id holds U+0020 (space)"),
    "a no-break space inside": (f"id\n{A}\n12\u00a034\n".encode(), "Line 3: The customer id holds U+00A0"),
    "a zero-width space": (f"id\n{A}\n12\u200b34\n".encode(), "Line 3: The customer id holds U+200B"),
    "reversed writing": (f"id\n{A}\n12\u202e34\n".encode(), "Line 3: The customer id holds U+202E"),
    "a line end inside": (
        f'id\n{A}\n"12\n34"\n'.encode(),
        "Line 3: A cell in quotation marks begins here and ends in line 4",
    ),
    "a separator inside": (f'id,x\n{A},1\n"12;34",1\n'.encode(), "Line 3: The customer id holds U+003B (semicolon)"),
    "an escape sequence": (f"id\n{A}\n\x1b[31m\n".encode(), "Line 3: The customer id holds U+001B"),
    "too long an id": (f"id\n{A}\n{'7' * 129}\n".encode(), "Line 3: A customer id has 1 to 128"),
    "a token as an id": (f"id\n{A}\neyJhbGciOi.eyJzdWIiOi.c2lnbmF0\n".encode(), "This looks like a bearer token"),
    "a quotation without an end": (f'id\n{A}\n"{B}\n{A}\n'.encode(), "Line 3: A quotation mark is opened here"),
    "text after a quotation": (f'id\n{A}\n"{B}"x\n'.encode(), "Line 3: A quotation mark is closed in line 3"),
    "NUL": (f"id\n{A}\n12\0".encode() + b"34\n", "Line 3: The file is not text: there is a NUL"),
    "binary": (bytes(range(128, 256)) * 40 + b"\0", "Line 1: The file is not text"),
    "Latin-1": (f"id,name\n{A},Müller\n".encode("latin-1"), "Line 2: The line is not UTF-8"),
    "UTF-16": (f"id\n{A}\n".encode("utf-16"), "The file is UTF-16 text, not CSV"),
    "UTF-16 without a mark": (f"id\n{A}\n".encode("utf-16-le"), "Line 1: The file is not text: there is a NUL"),
    "an archive": (ARCHIVE.getvalue(), "The file is a workbook or an archive, not CSV"),
    "compressed": (gzip.compress(A.encode()), "The file is compressed, not CSV"),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3", "The file is a PDF document, not CSV"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "The file is a workbook in an old format"),
    "an endless line": (b"id\n" + b"7" * 50_000_000, "Line 2: The line is longer than 1,048,576 characters"),
    "an endless first line": (b"7" * 50_000_000, "Line 1: The line is longer than 1,048,576 characters"),
    "an unknown action": (
        f"id,action\n{A},PE-Enable\n{B},Explode\n".encode(),
        "Line 3: This action is not known. Known",
    ),
    "an unknown cluster": (
        f"id,cluster\n{A},evian3\n{B},evian4\n".encode(),
        "Line 3: This cluster is not known. Known",
    ),
    "two actions for one": (
        f"id,action\n{A},PE-Enable\n{A},T-Enable\n".encode(),
        "Line 3: The same customer as in line 2, with another action",
    ),
    "only repeats": (f"id\n{A}\n{A}\n{A}\n".encode(), "Line 2: The list holds one customer 3 times, and no other"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_gets_a_clear_sentence_and_sends_nothing(name, olivia, tms, tmp_path, monkeypatch):
    monkeypatch.setenv("TMS_TOKEN", TOKEN)
    content, sentence = BROKEN[name]
    file = tmp_path / "fleet.csv"
    file.write_bytes(content)
    ended = command(file, "--yes", "--confirm=1")
    assert ended.code == 1
    assert "Nothing was sent" in ended.err
    assert sentence in ended.err
    assert len(ended.err) < 1000
    assert tms.calls() == []
    assert not Batch.objects.exists()


STRICT = {
    "a formula": (f"id\n{A}\n=HYPERLINK(1)\n", "Line 3: The id =HYPERLINK(1) looks like a spreadsheet formula"),
    "a damaged id": (f"id\n{A}\n7.39E+12\n", "Line 3: The id 7.39E+12 looks damaged by a spreadsheet"),
    "an unusual id": (f"id\n{A}\nfoo\n", "Line 3: The id foo looks unusual"),
    "only the case differs": (
        f"id\n{'a' * 32}\n{'A' * 32}\n",
        "Line 3: The id " + "A" * 32 + " differs from the one in line 2",
    ),
}


@pytest.mark.parametrize("name", STRICT)
def test_what_looks_unusual_is_refused_when_strict_and_named_else(name, olivia, tms, tmp_path, monkeypatch):
    monkeypatch.setenv("TMS_TOKEN", TOKEN)
    content, sentence = STRICT[name]
    file = tmp_path / "fleet.csv"
    file.write_text(content)
    strict = command(file, "--yes", "--strict")
    assert (strict.code, tms.calls()) == (1, [])
    assert sentence in strict.err
    ended = command(file, "--dry-run")
    assert ended.code == 0
    assert sentence in ended.out
