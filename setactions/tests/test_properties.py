"""Properties that hold for every input, tried with inputs that hypothesis makes up, the same ones in every run."""

import csv
import io
import json
import re
import unicodedata
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import override_settings
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit.choices import Kind
from setactions.inputs.csv_table import as_text, read_list
from setactions.inputs.ids import CidList, from_json
from setactions.inputs.shapes import has_damaged
from setactions.refusal import Refusal
from setactions.tms.clusters import READ_PARAMETERS, Call, parse_target
from setactions.tms.replies import Answer, Failure, classify, classify_read
from setactions.tms.unknown_ids import find_repair
from setactions.token import Token
from tmsdash.csv_text import from_cell, ids_text
from tmsdash.tests.tools import done_within
from tmsdash.tokens import looks_like_token

MANY = 1_000_000
GUARD_S = 20  # what takes so long does not end at all
# Derandomized: a run repeats, and what fails fails for everybody. No deadline: the machine may be busy.
often = settings(max_examples=200, derandomize=True, deadline=None, database=None)
very_often = settings(often, max_examples=600)

SEPARATORS = ",;\t\r\n "
NASTY = "\0\x1b\x7f\x85\u00a0\u00ad\u200b\u2028\u202e\ud800\ue000\ufeff\uffff"
texts = st.text(st.one_of(st.sampled_from(SEPARATORS + NASTY + "'\"=+-@＝abcA1"), st.characters()), max_size=60)
plain = st.characters(exclude_categories=("C", "Z"), exclude_characters=",;")
cids = st.text(st.one_of(plain, st.sampled_from("'\"=+-@＝aA1\\")), min_size=1, max_size=128).filter(
    lambda cid: not looks_like_token(cid)
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)


def outcome_of(function):
    """What `function` returns, and the refusal that it raises in its place."""
    try:
        return function(), None
    except Refusal as refusal:
        return None, refusal


def parsed(parse, value, **options):
    """What `parse` makes of the value, or None if it refuses it; anything but its own error fails the test."""
    result, refusal = outcome_of(lambda: parse(value, **options))
    if refusal:
        assert (refusal.code, list(refusal.errors)) in ((400, ["cids"]), (413, ["cids"]))
        assert all(refusal.errors["cids"])
    return result


def assert_well_formed(result: CidList):
    assert result.cids
    assert len(set(result.cids)) == len(result.cids)
    assert result.repeated >= 0
    for cid in result.cids:
        assert 1 <= len(cid) <= 128
        assert not set(cid) & set(",;")
        assert not any(unicodedata.category(character)[0] in "CZ" for character in cid)
        assert not looks_like_token(cid)
    assert all(isinstance(warning, str) for warning in result.warnings)


# -- Ids ----------------------------------------------------------------------------------------------------------


@often
@given(st.lists(st.one_of(cids, texts), max_size=8).map(lambda parts: "\n".join(parts)))
def test_what_is_taken_from_text_is_well_formed_in_order_and_counted(text):
    result = parsed(read_list, text.encode(errors="surrogatepass"), allow_unusual=True)
    if result:
        assert_well_formed(result)
    if (
        result and '"' not in text and "=" not in text
    ):  # every cell is an id: there is neither a header nor a quoted one
        given_cells = [cell.strip(" \u00a0") for cell in re.split(r"[,;\t\r\n]", text.removeprefix("\ufeff"))]
        given_cells = [from_cell(cell) for cell in given_cells if cell]
        assert result.cids == tuple(dict.fromkeys(given_cells))
        assert result.repeated == len(given_cells) - len(result.cids)


@often
@given(st.one_of(st.lists(st.one_of(cids, st.integers(), st.booleans(), st.floats()), max_size=3), json_values))
def test_what_is_taken_from_json_is_well_formed_in_order_and_counted(value):
    result = parsed(from_json, value, allow_unusual=True)
    if result:
        assert_well_formed(result)
        assert all(type(item) in (str, int) for item in value)
        assert result.cids == tuple(dict.fromkeys(map(str, value)))
        assert result.repeated == len(value) - len(result.cids)


@often
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(texts, max_size=6).map(lambda rows: "\n".join(rows).encode("utf-8", "replace")),
    )
)
@example(b"PK\x03\x04")
@example(b'"')
@example(b"customer_id,customer_id\n")
def test_every_file_is_taken_or_refused(content):
    result = parsed(read_list, content)
    if result:
        assert_well_formed(result)


@often
@given(st.lists(cids, min_size=1, max_size=8, unique=True))
@example(["customer_id"])
@example(["'=1", "''=1", "'", "=", "＝1", "'＝1"])
def test_a_file_that_we_wrote_is_read_as_it_was_and_calculates_nothing(given_cids):
    content = ids_text(given_cids)
    expected = CidList(tuple(given_cids), 0, allow_unusual=has_damaged(given_cids))
    assert read_list(content.encode(), allow_unusual=True) == expected
    assert read_list(as_text(given_cids).encode(), allow_unusual=True) == expected
    cells = [cell for row in csv.reader(io.StringIO(content, newline="")) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")) for cell in cells)


@often
@given(st.lists(cids, min_size=2, max_size=8), st.sampled_from([*"\n,;\t", "\r\n", "\r"]))
def test_text_json_and_files_understand_the_same_ids_in_the_same_way(given_cids, mark):
    expected = from_json(given_cids, allow_unusual=True)
    result = parsed(read_list, mark.join(as_text(given_cids).split("\n")).encode(), allow_unusual=True)
    if result:  # not all of them are alike, or there is a header
        assert result == expected


@often
@given(st.lists(cids, min_size=1, max_size=8, unique=True))
@example(["NULL", "a1"])
def test_ids_that_look_damaged_are_taken_only_on_somebodys_word(given_cids):
    for reader, value in ((from_json, given_cids), (read_list, ids_text(given_cids).encode())):
        result = parsed(reader, value)
        assert (result is None) == has_damaged(given_cids)


@often
@given(st.lists(cids, min_size=1, max_size=6, unique=True), st.data())
def test_what_tms_does_not_know_is_read_back_from_its_message(given_cids, data):
    unknown = data.draw(st.lists(st.sampled_from(given_cids), min_size=1, unique=True))
    repair = find_repair(f"those CIDs {unknown} do not exist", given_cids)
    assert set(repair.unknown) == set(unknown)
    assert sorted(repair.unknown + repair.known) == sorted(given_cids)


letters = st.lists(st.sampled_from(["eyJ", "abcde", "a", ".", "-", "_", " ", "é", "\n"]), max_size=5).map("".join)


@often
@given(st.one_of(letters, st.builds("{}eyJ{}.{}.{}".format, letters, letters, letters, letters)))
def test_tokens_are_recognized_wherever_they_stand(text):
    slow = re.search(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", text)
    assert looks_like_token(text) == (slow is not None)


@pytest.mark.parametrize("text", ["eyJ" * MANY, "eyJaaaaa" * MANY + ".", "a." * MANY, "-" * MANY + "."], ids=[*"1234"])
def test_what_only_resembles_tokens_is_looked_through_in_one_go(text):
    with done_within(GUARD_S):  # searched anew from every eyJ it takes an hour
        assert not looks_like_token(text)


# -- Targets ------------------------------------------------------------------------------------------------------

CLUSTERS = {"evian3": "https://evian3.example", "port": "https://brooke.example:8443", "local": "http://127.0.0.1:9000"}
origins = st.sampled_from(list(CLUSTERS.values()))
paths = st.lists(st.sampled_from(["/", "//", "tms", "v1", "set", "action", "..", "%2f"]), max_size=8).map("".join)
calls = st.sampled_from(["/tms/v1/set/action", "//tms/v1///get/action", "/tms/v1/get/appstatus"])
queries = st.sampled_from(["", "?", "?cid=ALL", "?cid=a%26b&app=c", "?x=y", "?cid=%00", "#x", "?cid=a#b", ";x"])
pieces = st.sampled_from(
    [
        *CLUSTERS.values(),
        *("https://", "http://", "//", "/", "\\", "@", ":", ":443", ":8443", "?", "#", ";", "%2f", "%00", ".", "&"),
        *("evian3.example", "EVIAN3.example", "evil.example", "127.0.0.1", "[::1]", "0x7f000001", "localhost", "u"),
        *("tms", "v1", "set", "get", "action", "appstatus", "/tms/v1/set/action", "/tms/v1/get/action", "?cid=ALL"),
        *("cid=a", "app=ALL", "x=y", " ", "\t", "\r\n", "\0", "\u202e", "\uff0f", "\u3002", "\ud800"),
    ]
)
anything = st.lists(pieces, max_size=8).map("".join)
urls = st.one_of(
    anything,
    texts,
    st.builds("{}{}".format, origins, anything),
    st.builds("{}{}{}".format, origins, paths, queries),
    st.builds("{}{}{}".format, origins, calls, queries),
    st.builds("{}{}{}{}".format, origins, pieces, calls, queries),
)


@very_often
@given(urls, st.booleans())
@example("https://evian3.example//tms/v1/set/action", True)
@example("https://evian3.example/tms/v1/get/action?cid=a%26app%3Db", False)
@override_settings(TMS_CLUSTERS=CLUSTERS)
def test_an_accepted_target_is_an_allowed_one_to_every_other_parser_too(url, is_post):
    target, refusal = outcome_of(lambda: parse_target(url, is_post=is_post))
    if refusal:
        is_allowed = url.startswith(tuple(f"{origin}/" for origin in CLUSTERS.values()))
        assert (refusal.code, list(refusal.errors)) == (400 if is_allowed else 403, ["url"])
        return
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}" == target.cluster.origin
    assert CLUSTERS[target.cluster.name] == target.cluster.origin
    assert (parts.username, parts.password) == (None, None)
    assert re.sub("/+", "/", parts.path) == target.call.value
    assert is_post == (target.call is Call.SET_ACTION) == ("?" not in url)
    assert all(name in READ_PARAMETERS and value.isprintable() for name, value in target.query)
    assert bool(target.query) != is_post


# -- Answers ------------------------------------------------------------------------------------------------------

TOKEN = Token("secret-token-0123456789")
successes: st.SearchStrategy[Any] = st.sampled_from([True, False, None, 0, 1, "true", "false", [], {}, 1.0])
objects = st.builds(
    lambda value, success, message: value | {"success": success, "message": message},
    st.dictionaries(texts, json_values, max_size=3),
    successes,
    st.one_of(texts, json_values, st.just(f"Token {TOKEN.reveal()} seen")),
)
bodies = st.one_of(
    st.one_of(objects, json_values).map(lambda value: json.dumps(value).encode()),
    objects.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    objects.map(lambda value: json.dumps(value).encode("utf-16")),
    objects.map(lambda value: json.dumps(value).encode()[:-1]),
    st.binary(max_size=100),
    st.sampled_from(
        [
            b'{"success": true}',
            b'{"success": false, "success": true}',
            b'{"success": true, "x": ' + b"[" * 1000 + b"]" * 1000 + b"}",
            b"[" * 100_000,
            b'{"success": true, "x": 1e999}',
            b'{"success": true, "x": NaN}',
            b'\xef\xbb\xbf{"success": true}',
            b'{"success": true}garbage',
            b'{"success": true, "x": ' + b"9" * 5000 + b"}",
        ]
    ),
)
whole_answers = st.builds(Answer, sent=st.just(True), http_status=st.sampled_from([200, 201]), body=bodies)
broken_answers = st.builds(
    Answer,
    sent=st.booleans(),
    http_status=st.sampled_from([None, 200, 201]),
    body=st.sampled_from([b"", b'{"success": true}', b'{"success": false}']),
    failure=st.sampled_from(Failure),
    detail=st.just("ReadTimeout"),
)
other_answers = st.builds(
    Answer,
    sent=st.just(True),
    http_status=st.one_of(st.sampled_from([202, 301, 400, 408, 500, 503]), st.integers(100, 599)),
    body=bodies,
    failure=st.sampled_from([None, *Failure]),
)
answers = st.one_of(whole_answers, broken_answers, other_answers)


def success_in(body):
    """What `success` is, read without any of our code; None unless the body is JSON as everybody understands it."""

    def refuse(_):
        raise ValueError

    def unique(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=refuse, object_pairs_hook=unique)
    except (ValueError, AssertionError, RecursionError):
        return None
    return value.get("success") if isinstance(value, dict) else None


@very_often
@given(answers, st.booleans())
@example(Answer(sent=True, http_status=200, body=b'{"success": true, "message": "\\ud800\\u0000"}'), False)
def test_an_answer_is_accepted_or_rejected_only_where_it_says_so(answer, is_503_final):
    with override_settings(TMS_503_NOT_APPLIED=is_503_final):
        reply = classify(answer, TOKEN)
    success = success_in(answer.body)
    is_whole = answer.sent and answer.failure is None and answer.http_status in (200, 201)
    says_no = (
        answer.sent
        and answer.http_status is not None
        and (
            (400 <= answer.http_status < 500 and answer.http_status != 408)
            or (answer.http_status == 503 and is_503_final)
        )
    )
    if reply.kind == Kind.ACCEPTED:
        assert is_whole
        assert success is True
    elif reply.kind == Kind.REJECTED:
        assert says_no or (is_whole and success is False)
    elif reply.kind == Kind.NOT_SENT:
        assert not answer.sent
    else:
        assert reply.kind == Kind.UNKNOWN
        assert answer.sent
        assert not says_no
    if is_whole and answer.body == b'{"success": true}':
        assert reply.kind == Kind.ACCEPTED
    assert reply.message
    assert TOKEN.reveal() not in reply.message + json.dumps(reply.data)
    assert "\0" not in reply.message
    (reply.message + json.dumps(reply.data, ensure_ascii=False)).encode()  # a database can hold it


@often
@given(answers)
def test_a_reading_is_one_only_under_200_and_whole(answer):
    reading = classify_read(answer, TOKEN)
    assert reading.kind != Kind.ACCEPTED
    if reading.ok:
        assert (answer.http_status, answer.failure) == (200, None)
    else:
        assert reading.message
    assert TOKEN.reveal() not in reading.message + json.dumps(reading.data)
