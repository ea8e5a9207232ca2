"""Hostile uploads and bodies: refused with a clear sentence, unread where they are too large, and never sent on."""

import gzip
import io
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from audit.models import AuditEntry
from setactions.inputs import csv_rows, ids
from setactions.pages.tests.test_new_action import hidden_fields, press
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.pages
LIMIT = 5 << 20
FIELDS = {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "cids": ""}
PDF = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"


@pytest.fixture
def client(olivia):
    return signed_in(olivia)


@pytest.fixture(autouse=True)
def nothing_is_sent(tms):
    """Whatever is uploaded: nothing is sent, and nothing recorded, before somebody has looked at it."""
    yield
    assert tms.calls() == []
    assert not AuditEntry.objects.exists()


class Counted(io.BytesIO):
    """A body that counts what is read of it."""

    taken = 0

    def read(self, *args):
        data = super().read(*args)
        self.taken += len(data)
        return data

    def readline(self, *args):
        raise AssertionError("a body is read in blocks")


def upload(client, content, name="customers.csv", content_type="text/csv"):
    return client.post("/review/", FIELDS | {"csv_file": SimpleUploadedFile(name, content, content_type)}, follow=True)


def post(client, content, content_type="multipart/form-data; boundary=x", path="/review/", **extra):
    return client.generic("POST", path, content, content_type=content_type, **extra)


def part(name, content=b"", *headers, end=b"--x--\r\n"):
    lines = [f'Content-Disposition: form-data; name="{name}"', *headers, ""]
    return b"--x\r\n" + "\r\n".join(lines).encode("latin-1") + b"\r\n" + content + b"\r\n" + end


def form(**files):
    """A form with good fields, as bytes that a test can spoil."""
    return b"".join(part(name, value.encode(), end=b"") for name, value in FIELDS.items())


def assert_refused(page, *words, code=400):
    assert page.status_code == code
    for word in ("Nothing was sent", *words):
        assert word in text_of(page)
    assert TOKEN not in page.content.decode()


# -- Files that are no list of ids ----------------------------------------------------------------------------------


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("customers.csv", "a1\n")
    return file.getvalue()


NO_LISTS = [
    (b"", "empty"),
    (b"\n\r\n \n", "at least one"),
    (b"\xef\xbb\xbf", "at least one"),
    (b"customer_id\n", "at least one"),
    (zipped(), "a workbook or an archive"),
    (gzip.compress(b"a1\n"), "The file is compressed, not CSV. Save it as CSV UTF-8."),
    (PDF, "a PDF document"),
    (PDF.replace(b"\n", b"\n%\xe2\xe3\xcf\xd3\n", 1), "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "Line 1: The line is not UTF-8. Save it as CSV UTF-8."),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook in an old format"),
    (b"a1\0\nb2\n", "Line 1: The file is not text"),
    (b"\0" * 100_000, "Line 1: The file is not text"),
    ("a1\nb2\n".encode("utf-16"), "UTF-16 text"),
    ("a1\nb2\n".encode("utf-16-le"), "Line 1: The file is not text"),
    ("a1\nb2\n".encode("utf-16-be"), "Line 1: The file is not text"),
    ("客户\n".encode("utf-16-le"), "UTF-8"),
    ("a1\n".encode("utf-32"), "UTF-32 text"),
    ("kündin\n".encode("latin-1"), "Line 1: The line is not UTF-8"),
    ("kündin\n".encode("cp437"), "Line 1: The line is not UTF-8"),
    (b"a1\xed\xa0\x80\n", "Line 1: The line is not UTF-8"),
    (b"a1\xc0\xaf\n", "Line 1: The line is not UTF-8"),
    (b"a1\n" + b"x" * 200_000 + b"\n", "Line 2: A cell is longer than 131,072 characters"),
    (b"x" * 200_000 + b"\na1\n", "Line 1: A cell is longer than 131,072 characters"),
    (b"a1\n" + b"x" * 129 + b"\n", "Line 2: A customer id has 1 to 128 characters, not 129"),
    (b'"a1\n' + b"b2\n" * 1000, "Line 1: A quotation mark is opened here and not closed"),
    (b'"a1"x\n', "Line 1: A quotation mark is closed in line 1 and followed by more text"),
    (b"a1,b2\nc3,d4\n", "several columns"),
    (b"id,cid\na,b\n", "Several columns could hold the ids"),
    (b"<html><body>x</body></html>", "Line 1: The id looks damaged (marks left over"),
    (b"<!DOCTYPE html>\n<html>\n<p>Sign in first</p>\n", "holds space (U+0020)"),
    (b"#!/bin/sh\nrm -rf /\n", "Line 2: The customer id holds space (U+0020)"),
    (b'{"cids": ["a1"]}', "Line 1: Not everything in this line looks like an id"),
    (b"a1\x1b[31m\n", "Line 1: The customer id holds a control character (U+001B)"),
    ("a1\u202e\n".encode(), "Line 1: The customer id holds right-to-left override (U+202E)"),
    (f"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.{'x' * 20}\n".encode(), "looks like a bearer token"),
]


def test_a_file_that_is_no_list_of_ids_is_refused_with_the_next_step(client):
    for content, words in NO_LISTS:
        assert_refused(upload(client, content), words)


KINDS = ["application/zip", "image/png", "text/html", "x", "text/csv; charset=utf-16", ""]


def test_what_a_file_calls_itself_changes_nothing(client):
    for content_type in KINDS:
        assert upload(client, b"a1\n", "a.exe", content_type).status_code == 200
        assert_refused(upload(client, b"a 1\n", "a.exe", content_type), "Line 1")


NAMES = [
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/cron.d/x",
    "C:\\x.csv",
    "..",
    ".",
    "a\\..\\",
    "x" * 5000,
    "\xff",
    "a;b=c",
]


def test_the_path_in_a_name_leads_nowhere(client, tmp_path, settings):
    for name in NAMES:
        settings.MEDIA_ROOT = settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
        body = form() + part("csv_file", b"a1\n", "Content-Type: text/csv").replace(
            b'"csv_file"', f'"csv_file"; filename="{name}"'.encode("latin-1")
        )
        assert post(client, body).status_code in (303, 400)
        assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("size", [3 << 20, LIMIT - 4000])
def test_a_large_file_is_never_written_to_the_disk(client, tmp_path, settings, size):
    """Somebody may have chosen the file with the token."""
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "none")  # whatever is written there fails
    assert upload(client, b"".join(b"%0120d\n" % number for number in range(size // 121))).status_code == 200


# -- Bodies that are too much ---------------------------------------------------------------------------------------


TOO_LARGE = [LIMIT + (1 << 20) + 1, 50 << 20, 100 << 20, 1 << 40]
PLACES = ["/review/", "/proxy_fetch", "/login/", "/no/such/page"]


def test_nothing_is_read_of_a_body_that_is_far_too_large(client):
    for path in PLACES:
        for size in TOO_LARGE:
            body = Counted(b"x" * 1_000_000)
            answer = post(client, b"", path=path, CONTENT_LENGTH=str(size), **{"wsgi.input": body})
            assert (answer.status_code, body.taken) == (413, 0)
            told = answer.json()["message"] if path == "/proxy_fetch" else text_of(answer)
            assert "The request is larger than 5 MiB. Nothing was sent to TMS. Cut the list into smaller ones." in told


TOO_MANY, TOO_LONG = "more than 200,000 ids or lines", "Line 1: The line is longer than 1,048,576 characters"


@pytest.mark.parametrize(
    ("line", "words"),
    [(b"a1\n", TOO_MANY), (b"\n", TOO_MANY), (b",", TOO_LONG), (b"a\r\n", TOO_MANY), (b"1;2\t", TOO_LONG)],
)
def test_millions_of_places_are_counted_and_not_looked_at(client, monkeypatch, line, words):
    def fail(*args, **kwargs):
        raise AssertionError("somebody looks at each of them")

    content = line * ((LIMIT - 100_000) // len(line))
    monkeypatch.setattr(csv_rows.csv, "reader", fail)
    assert_refused(upload(client, content), words)
    given = b'name="cids"\r\n\r\n'
    pasted = post(client, form().replace(given, given + content.replace(b"\r", b"")) + b"--x--\r\n")
    assert_refused(pasted, words)


def test_more_ids_in_one_line_than_any_call_takes_are_refused(client, monkeypatch):
    monkeypatch.setattr(ids, "MAX_IDS", 100)
    assert_refused(upload(client, b"a," * 101), "more than 100 ids or lines")


def test_very_many_repeats_are_still_one_id(client, monkeypatch):
    monkeypatch.setattr(ids, "MAX_IDS", 2000)
    page = upload(client, b"b2\n" + b"a1\n" * 1999)
    assert page.status_code == 200
    assert "1,998 repeats left out" in text_of(page)
    assert_refused(upload(client, b"a1\n" * 1000), "one customer 1,000 times, and no other")


MANY_FIELDS = [
    b"&".join(b"a%d=b" % number for number in range(10_000)),
    b"a=b&" * 10_000,
    b"&" * 100_000,
]


def test_ten_thousand_fields_are_refused(client):
    for body in MANY_FIELDS:
        page = post(client, body, "application/x-www-form-urlencoded")
        assert page.status_code == 400
        assert "The request could not be understood. Nothing was sent to TMS." in text_of(page)


def file_part(number):
    return part("f", b"a1", end=b"").replace(b'"f"', b'"f%d"; filename="%d.csv"' % (number, number))


BOMBS = [
    b"".join(part(f"a{number}", b"b", end=b"") for number in range(10_000)) + b"--x--\r\n",
    b"".join(map(file_part, range(1000))) + b"--x--\r\n",
    part("a", b"b", "X-Header: " + "x" * 100_000),
    part("a", b"b", *(f"X-{number}: x" for number in range(10_000))),
    part("a" * 100_000, b"b"),
    part("a", b"b", "Content-Transfer-Encoding: base64").replace(b"\r\nb\r\n", b"\r\n=\r\n"),
    b"--x\r\n" * 100_000,
    b"--x" * 100_000,
    b"--x\r\n" + b"\r\n" * 100_000,
    b"--x\r\nContent-Disposition: form-data; name=" + b'"\\"' * 10_000,
    b"--x\r\nContent-Disposition: form-data" + b"; a=b" * 10_000 + b"\r\n\r\n\r\n--x--",
    b"--x\r\nContent-Disposition: form-data; name*=nonsense''x\r\n\r\na\r\n--x--\r\n",
    b"--x\r\nContent-Disposition: form-data; name=\"cids\"; filename*=utf-8''%00\r\n\r\na\r\n--x--\r\n",
    b"\r\n" * 1_000_000,
    b"\0" * 1_000_000,
    b"",
]


def test_a_form_that_is_a_bomb_is_refused(olivia, client):
    for body in BOMBS:
        for somebody in (client, signed_in(olivia, enforce_csrf_checks=True)):
            page = post(somebody, body)
            assert page.status_code in (400, 403)
            assert "Nothing was sent" in text_of(page)


BOUNDARIES = ["", "; boundary=", "; boundary=y", "; boundary=\xff", "; boundary=" + "x" * 300, '; boundary="x']


def test_a_form_with_another_boundary_is_refused(client):
    for boundary in BOUNDARIES:
        page = post(client, form() + b"--x--\r\n", f"multipart/form-data{boundary}")
        assert page.status_code == 400
        assert "Nothing was sent" in text_of(page)


def test_a_form_that_ends_before_its_last_boundary_is_only_shown(client):
    body = form().replace(b'name="cids"\r\n\r\n', b'name="cids"\r\n\r\na1') + part("csv_file", end=b"")
    page = post(client, body.removesuffix(b"\r\n"))
    assert page.status_code == 303
    assert page.url.startswith("/review/")


NO_FORMS = ["application/json", "text/plain", "application/octet-stream", "x", "", "multipart/mixed; boundary=x"]


def test_a_body_that_is_no_form_is_an_empty_form(olivia, client):
    for content_type in NO_FORMS:
        assert_refused(post(client, form(), content_type), "This field is required")
        page = post(signed_in(olivia, enforce_csrf_checks=True), form(), content_type)
        assert page.status_code == 403
        assert "Nothing was sent to TMS" in text_of(page)


def test_a_sealed_token_that_was_tampered_with_is_refused(client):
    fields = hidden_fields(client.post("/review/", FIELDS | {"cids": "a1"}, follow=True))
    [name] = [name for name in client.cookies if name.startswith("review_token")]
    good = client.cookies[name].value
    middle = len(good) // 2
    changed = good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :]
    for value in ("", "x", good[:-5], good[5:], changed, f"A{good}", "\0", "\xff" * 100):
        client.cookies[name] = value
        assert_refused(press(client, "send/", fields))
