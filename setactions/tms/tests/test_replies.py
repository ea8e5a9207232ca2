"""What an answer means, where no simulator is needed to ask."""

import pytest

from audit.choices import Kind
from audit.digests import canonical
from setactions.tms import replies
from setactions.tms.replies import Answer, classify, classify_read
from setactions.token import Token
from tmsdash.tokens import REMOVED

TOKEN = Token("secret-token-0123456789")


def reply_to(body, status=200, token=TOKEN):
    return classify(Answer(sent=True, http_status=status, body=body), token)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"success": true}', Kind.ACCEPTED),
        (b'\xef\xbb\xbf{"success": true}', Kind.ACCEPTED),
        (b'{"success": false}', Kind.REJECTED),
        (b'{"success": 1}', Kind.UNKNOWN),
        (b'{"success": 0}', Kind.UNKNOWN),
        (b'{"success": null}', Kind.UNKNOWN),
        (b'{"Success": true}', Kind.UNKNOWN),
        (b'[{"success": true}]', Kind.UNKNOWN),
        (b'{"success": false, "success": true}', Kind.UNKNOWN),
        (b'{"success": true, "x": 1e999}', Kind.UNKNOWN),
        (b'{"success": true} ok', Kind.UNKNOWN),
        ('{"success": true}'.encode("utf-16"), Kind.UNKNOWN),
        (b'{"success": true, "x": ' + b"[" * 40 + b"]" * 40 + b"}", Kind.UNKNOWN),
    ],
)
def test_only_a_boolean_success_in_plain_json_decides(body, kind):
    assert reply_to(body).kind == kind


@pytest.mark.parametrize("body", [b'{"success": true}', b'{"success": false, "message": 7}'])
def test_an_answer_without_a_message_is_not_called_doubtful(body):
    assert reply_to(body).message == "TMS gave no message."


def test_an_answer_of_too_many_values_is_not_even_parsed(monkeypatch):
    monkeypatch.setattr(replies, "MAX_VALUES", 100)
    body = b'{"success": true, "x": [' + b"[]," * 100 + b"[]]}"
    assert reply_to(body).kind == Kind.UNKNOWN
    reading = classify_read(Answer(sent=True, http_status=200, body=body), TOKEN)
    assert (reading.ok, reading.message) == (False, "TMS's answer was made of too many values.")


def test_the_token_is_cut_out_wherever_tms_puts_it():
    body = b'{"success": true, "secret-token-0123456789": ["x secret-token-0123456789 y"], "n": {"message": "ok"}}'
    assert reply_to(body).data == {"success": True, REMOVED: [f"x {REMOVED} y"], "n": {"message": "ok"}}
    assert reply_to(b'{"success": true, "n": 12345678}', token=Token("12345678")).data["n"] == REMOVED
    assert reply_to(b'{"success": true}', token=Token("True")).kind == Kind.ACCEPTED
    assert reply_to(b'{"success": true}', token=Token("success")).data == {"success": True}


@pytest.mark.parametrize("text", ["\\ud800", "\\u0000", "\\u202e", "\\ud83d\\ude42"])
def test_whatever_tms_says_can_be_kept(text):
    reply = reply_to(f'{{"success": true, "message": "{text}", "{text}": 1}}'.encode())
    assert reply.kind == Kind.ACCEPTED
    canonical(reply.data).encode("ascii")
    reply.message.encode("utf-8")
    assert "\0" not in reply.message + "".join(reply.data)
