"""Tokens as people paste them are taken for what they are, or refused with the reason, wherever one is typed."""

import base64
import json
import time

import pytest

from audit.models import Attempt, AuditEntry
from jobs.models import Batch
from setactions import typed_token as typing
from setactions.pages.tests.batch_pages import CIDS, start, started
from setactions.pages.tests.test_new_action import fill_in, proceed
from setactions.refusal import Refusal
from setactions.tests.test_proxy_fetch import assert_refused
from setactions.typed_token import typed_token
from tmsdash.tests.fixtures import PASSWORD, TOKEN, signed_in
from tmsdash.tests.tools import text_of, until

pytestmark = pytest.mark.pages


def web_token(expires_in_s=3600):
    """A JSON Web Token that expires so many seconds from now."""
    parts = {"alg": "HS256"}, {"sub": "olivia", "exp": int(time.time() + expires_in_s)}
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


WEB = web_token()
OPAQUE = "0123456789-opaque/token+of=an.endpoint"


@pytest.fixture
def operator(tms, olivia):
    return signed_in(olivia)


@pytest.mark.parametrize("token", [WEB, OPAQUE])
@pytest.mark.parametrize(
    "pasted",
    [
        "{}",
        "  {}\n",
        "Bearer {}",
        "bearer   {}",
        "Authorization: Bearer {}",
        "authorization: {}",
        '"{}"',
        "'{}',",
        "“{}”",
        '"Bearer {}"',
        "\ufeff{}\u200b",
        '"access_token": "{}",',
        "access_token={}",
        '{{"access_token": "{}", "token_type": "Bearer", "expires_in": 3599}}',
        '{{"access_token":\n "Bearer {}"}}',
    ],
)
def test_what_comes_along_with_a_token_is_taken_off(pasted, token):
    assert typed_token(pasted.format(token)).reveal() == token


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n   ", " \n"])
def test_a_token_over_several_lines_is_one(end):
    wrapped = end.join(WEB[start : start + 20] for start in range(0, len(WEB), 20))
    assert typed_token(f"Bearer {wrapped}").reveal() == WEB
    assert typed_token(WEB.replace(".", f"{end}.")).reveal() == WEB
    assert typed_token(f"Bearer{WEB}").reveal() == WEB  # as a field for passwords takes a line end out


@pytest.mark.parametrize(
    ("pasted", "reason"),
    [
        ("", "Enter your bearer token"),
        ("Bearer", "Enter your bearer token"),
        ('""', "Enter your bearer token"),
        ("two words", "a space within the token"),
        (f"{WEB}\n{WEB}", "several tokens"),
        (f"{WEB} {WEB}", "several tokens"),
        ('{"access_token": "abc', "cut short"),
        ('{"id_token": "abc"}', "no access_token"),
        ('{"access_token": null}', "no access_token"),
        ('{"error": "invalid_client"}', "gives no token"),
        ('{"access_token": "abc", "token_type": "mac"}', "another type"),
        ('{"access_token": "a b"}', "a space within"),
        ("{" * 60_000, "cut short"),
        ("x" * 70_000, "far too long"),
        ("x" * 8_193, "visible ASCII"),
        ("tökén", "visible ASCII"),
        (web_token(-120), "expired at"),
    ],
)
def test_what_is_no_usable_token_is_refused_with_the_reason(pasted, reason):
    with pytest.raises(Refusal, match=reason) as refused:
        typed_token(pasted)
    assert WEB not in refused.value.message


def test_clocks_may_differ_by_a_minute_and_what_is_no_time_is_none():
    assert typed_token(web_token(-30)).expires_at
    for claims in ('{"exp": true}', '{"exp": "tomorrow"}', '{"exp": 1e99}', '{"exp": -1}', "[]", "{", "\udcff"):
        payload = base64.urlsafe_b64encode(claims.encode(errors="surrogatepass")).decode().rstrip("=")
        assert typed_token(f"eyJhbGciOiJub25lIn0.{payload}.c2ln").expires_at is None


def test_the_form_takes_the_answer_of_a_token_endpoint_and_sends_its_token(operator, tms):
    proceed(operator, fill_in(operator, token=json.dumps({"access_token": TOKEN, "token_type": "bearer"})))
    assert Attempt.objects.get().outcome == "accepted"  # by a simulator that gets faults from the token


def test_an_expired_token_is_refused_by_the_form_the_review_and_a_batch_and_json_lets_tms_judge_it(
    operator, fetch, tms, small_chunks, engine_at_rest, monkeypatch
):
    page = fill_in(operator, token=web_token(-3600))
    assert (page.status_code, "This token expired at" in text_of(page)) == (400, True)
    review = fill_in(operator, token=web_token(100))
    with monkeypatch.context() as later:
        later.setattr("setactions.token.time.time", lambda now=time.time: now() + 300)
        late = proceed(operator, review)
    assert (late.status_code, "This token expired at" in text_of(late)) == (400, True)
    assert 'name="token"' in late.content.decode()
    batch = started(start(operator, cids=CIDS, first_only="1"))
    until(lambda: Batch.objects.get().state == Batch.State.PAUSED)
    operator.post(f"/batches/{batch.batch_id}/stop/")
    engine_at_rest()
    page = operator.post(f"/batches/{batch.batch_id}/resume/", {"token": web_token(-3600)})
    assert (page.status_code, "This token expired at" in text_of(page)) == (400, True)
    assert {cid for call in tms.calls() for cid in call.cids} == {CIDS[0]}
    assert fetch(token=web_token(-3600)).json()["outcome"] == "accepted"


def test_json_takes_tokens_as_they_are(fetch, tms):
    for token in (f"Bearer {TOKEN}", f" {TOKEN}", f"{TOKEN}\n"):
        assert_refused(fetch(token=token), 400, "token", tms)


def test_the_password_of_the_account_is_no_token_and_goes_nowhere(operator, olivia, tms, caplog, small_chunks):
    assert len(PASSWORD.split()) > 1  # so it could not be one
    olivia.set_password("Tr0ub4dor&3-and-more")
    olivia.save()
    operator = signed_in(olivia)
    review = fill_in(operator)
    page = fill_in(operator, token='"Tr0ub4dor&3-and-more"')
    assert (page.status_code, "This is the password of your account" in text_of(page)) == (400, True)
    again = proceed(operator, review, token="Tr0ub4dor&3-and-more")
    assert (again.status_code, "This is the password of your account" in text_of(again)) == (400, True)
    assert tms.calls() == []
    held = [*AuditEntry.objects.values_list("body", flat=True), caplog.text, text_of(page), again.content.decode()]
    assert not any("Tr0ub4dor" in text for text in held)


def test_nobody_guesses_the_password_by_sending_it_as_a_token(olivia, monkeypatch):
    compared = []
    monkeypatch.setattr(typing, "check_password", lambda value, encoded: compared.append(value))
    for number in range(typing.COMPARED_PER_MINUTE + 5):
        typed_token(f"guess-{number}", olivia)
    assert len(compared) == typing.COMPARED_PER_MINUTE
    typed_token(WEB, olivia)
