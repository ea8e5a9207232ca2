"""What holds for every answer of TMS: it is accepted or rejected only where it says so."""

import json
from typing import Any

from django.test import override_settings
from hypothesis import example, given
from hypothesis import strategies as st

from audit.choices import Kind
from setactions.tests.properties import json_values, often, texts, very_often
from setactions.tms.replies import Answer, Failure, classify, classify_read
from setactions.token import Token

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
