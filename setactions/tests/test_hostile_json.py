"""Hostile JSON: refused in our words, never a 5xx, never a call to TMS."""

import itertools
import json
from typing import Any

import pytest

from audit.models import Attempt
from jobs.models import Job
from tmsdash.tests.fixtures import signed_in

pytestmark = pytest.mark.pages

SECRET = "a-secret-that-nobody-may-see-0123456789"
UUID = "00000000-0000-4000-8000-000000000001"
WRONG: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    "",
    " ",
    "\0",
    "\ud800",
    "x" * 10_000,
    [],
    [[]],
    {},
    {"": ""},
    [None],
)


@pytest.fixture(name="client")
def operator(olivia):
    return signed_in(olivia)


@pytest.fixture(name="body")
def good_body(tms):
    """A good body; what is wrong with it is up to the test."""
    return {
        "url": f"{tms.url}/tms/v1/set/action",
        "token": SECRET,
        "isPost": True,
        "postData": {"action": "PE-Enable", "cids": ["a1"]},
    }


def assert_refused(answer, tms, what, *codes):
    """In our words, in JSON, without the token, and without a call."""
    assert answer.status_code in (codes or (400,)), what
    assert answer["Content-Type"] == "application/json", what
    told = answer.json()
    assert (told["outcome"], told["status"], told["job_id"]) == ("refused", "error", None), what
    assert told["message"].endswith((".", ")")), what
    assert all(sentence for sentences in told["errors"].values() for sentence in sentences), what
    assert SECRET not in answer.content.decode(), what
    assert tms.calls() == [], what


def post(client, content, content_type="application/json", **headers):
    """Post bytes as they are; Django's client would encode text by the charset."""
    return client.generic("POST", "/proxy_fetch", content, content_type=content_type, headers=headers)


# -- Bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["url", "token", "isPost", "sendAgain", "postData", "action", "cids"])
def test_every_field_of_a_wrong_type_is_named(client, body, tms, field):
    for value in WRONG:
        within = body["postData"] if field in ("action", "cids") else body
        wrong = body | {field: value}
        if within is not body:
            wrong = body | {"postData": body["postData"] | {field: value}}
        if (field, value) == ("sendAgain", False) or field in ("sendAgain", "isPost") and value is True:
            continue  # these are right
        if field == "token" and value == "x" * 10_000:
            assert len(value) > 8192
        answer = post(client, json.dumps(wrong))
        assert_refused(answer, tms, (field, value), 400, 403)
        named = {"action": ("action", "postData"), "isPost": ("url",) if value is False else ("isPost",)}.get(
            field, (field,)
        )
        assert set(answer.json()["errors"]) & set(named), value
    assert not Job.objects.exists()


def test_items_of_a_wrong_type_are_refused_by_number(client, body, tms):
    for value in WRONG:
        if type(value) is int:
            continue  # a whole number is an id
        wrong = body | {"postData": {"action": "PE-Enable", "cids": ["a1", value]}}
        answer = post(client, json.dumps(wrong))
        assert_refused(answer, tms, value)
        assert answer.json()["errors"]["cids"][0].startswith("Item 2: ")


def test_missing_fields_are_named(client, body, tms):
    for field, other in itertools.combinations_with_replacement(["url", "token", "isPost", "postData"], 2):
        assert_refused(post(client, json.dumps({k: v for k, v in body.items() if k not in (field, other)})), tms, field)


def bodies(good):
    """Bodies that are no plain JSON object in UTF-8, each by its name."""
    text = json.dumps(good)
    yield from {
        "empty": b"",
        "blank": b" \n",
        "a NUL": b"\0",
        "cut off": text[:-1].encode(),
        "garbage behind": f"{text}x".encode(),
        "a second object": f"{text}{text}".encode(),
        "a NUL behind": f"{text}\0".encode(),
        "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf" + text.encode(),
        "UTF-16": text.encode("utf-16"),
        "UTF-16 without its mark": text.encode("utf-16-le"),
        "UTF-32": text.encode("utf-32"),
        "UTF-7": b"+AHs-" + text[1:].encode(),
        "invalid UTF-8": text.replace("a1", "\xff").encode("latin-1"),
        "overlong UTF-8": text.encode().replace(b"a1", b"\xc0\xaf"),
        "surrogates in UTF-8": text.encode().replace(b"a1", b"\xed\xa0\x80"),
        "a list": f"[{text}]".encode(),
        "text": json.dumps(text).encode(),
        "null": b"null",
        "a number": b"1",
        "single quotes": text.replace('"', "'").encode(),
        "a comma too many": (text[:-1] + ",}").encode(),
        "a comment": f"/* */{text}".encode(),
        "a raw line break in text": text.encode().replace(b"a1", b"a\n1"),
        "a form": b"url=x&token=y",
        "XML": b"<?xml version='1.0'?><x/>",
        "deep lists": b"[" * 100_000,
        "deep objects": b'{"a":' * 100_000,
        "a deep field": text[:-1].encode() + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "a deep id": text.replace('"a1"', "[" * 100_000 + "]" * 100_000).encode(),
        "a number of 5,000 digits": text.replace('"a1"', "9" * 5000).encode(),
        "a number without end": text.replace('"a1"', "1e999").encode(),
        "NaN": text.replace('"a1"', "NaN").encode(),
        "NaN where it does not matter": f'{text[:-1]}, "x": NaN}}'.encode(),
        "a number without end where it does not matter": f'{text[:-1]}, "x": [-1e999]}}'.encode(),
        "Infinity": text.replace('"a1"', "-Infinity").encode(),
        "a zero in front": text.replace('"a1"', "007").encode(),
        "a plus in front": text.replace('"a1"', "+7").encode(),
        "Python's None": text.replace('"a1"', "None").encode(),
        "a bad escape": text.replace("a1", "\\x41").encode(),
        "half a surrogate": text.replace("a1", "\\ud800").encode(),
        "an escaped NUL": text.replace("a1", "\\u0000").encode(),
    }.items()
    for key in ("url", "token", "isPost", "postData", "action", "cids"):
        yield f"{key} twice", text.replace(f'"{key}":', f'"{key}": null, "{key}":').encode()
        escaped = f"\\u{ord(key[0]):04x}{key[1:]}"
        yield f"{key} twice, escaped", text.replace(f'"{key}":', f'"{key}": 1, "{escaped}":').encode()


def test_a_body_that_is_no_plain_json_is_refused(client, body, tms):
    for name, content in bodies(body):
        assert_refused(post(client, content), tms, name)
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"refused"}
    assert post(client, b"\xef\xbb\xbf" + json.dumps(body).encode()).status_code == 200  # one mark is usual


def test_far_too_many_ids_are_told_before_anybody_looks_at_them(client, body, tms):
    content = json.dumps(body).replace('"a1"', "1," * 500_000 + "1").encode()
    assert_refused(post(client, content), tms, "ids", 413)


CONTENT_TYPES = [
    "",
    "text/plain",
    "text/html",
    "application/xml",
    "x",
    "\xff",
    "a/b;c=d;;=",
    "application/json; charset=utf-16",
]


def test_the_content_type_changes_nothing_about_what_is_json(client, tms):
    for content_type in CONTENT_TYPES:
        assert_refused(post(client, b"{}", content_type), tms, content_type)
        assert_refused(post(client, "{}".encode("utf-16"), content_type), tms, content_type)
