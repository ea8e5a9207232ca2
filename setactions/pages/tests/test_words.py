"""Pages speak to operators: no names of classes, no values of the code, no counts of nothing, right plurals."""

import re

import pytest

from audit.choices import Outcome, Source
from jobs.models import BatchChunk
from setactions.pages.tests.batch_pages import CIDS, start, started
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of, until

pytestmark = pytest.mark.pages
RAW = re.compile(
    r"\b\w+(?:Error|Exception)\b|\bRemoteDisconnected\b|\bIncompleteRead\b"  # classes
    r"|\b[gs]et/action\b|TMS said so"
    r"|(?<!\()U\+[0-9A-F]{4}"  # alone
    r"|\b(?:not_sent|not_applied|set_aside|read_back|decided_\w+|legacy_\w+)\b"  # values
    r"|\bSource (?:api|form|command|batch|legacy)\b"
    r"|\b0 customers in\b|(?<![\d,.:-])\b1 (?:customers|chunks|calls|ids|jobs|batches|minutes|reads)\b|\w\(s\)"
    r"|\bUnknown\b(?! to )"  # of what? An outcome is, or an id is not known to TMS
    r"|\bNone\b"
)
FAULTS = (
    *("", "fault:not-ready", "fault:unknown-ids:1", "fault:http:400", "fault:http:401", "fault:http:503"),
    *("fault:reset-before", "fault:reset-after", "fault:close-before", "fault:cut", "fault:not-json"),
)


def raw_words(page):
    return RAW.findall(text_of(page))


def test_pages_of_attempts_say_in_words_what_went_wrong(operator, audrey, fetch, tms):
    auditor, cids = signed_in(audrey), [f"w{number}" for number in range(len(FAULTS))]
    for cid, fault in zip(cids, FAULTS, strict=True):
        answer = fetch(cids=[cid], token=fault or "a-token-that-works").json()
        assert not RAW.search(answer.get("message", "")), fault
        page = operator.get(f"/attempts/{answer['attempt_id']}/")
        assert raw_words(page) == [], fault
        assert f"Source {Source.API.label}" in text_of(page)
        assert raw_words(operator.get(f"/customers/{cid}/")) == []
    for path in ("/", "/jobs/", "/customers/", "/batches/", "/apps/", "/status/"):
        assert raw_words(operator.get(path)) == [], path
    attempts = text_of(auditor.get("/admin/audit/attempt/"))
    for outcome in Outcome:
        assert f"{outcome.label} {outcome.explanation}" in attempts
    assert f"{Source.API.label} · 127.0.0.1" in attempts


def test_pages_of_batches_say_in_words_what_went_wrong(operator, small_chunks, tms, engine_at_rest):
    tms.script("fault:unknown-ids:2", "fault:reset-after", "fault:http:400")
    batch = started(start(operator, cids=CIDS))
    engine_at_rest()
    page = operator.get(f"/batches/{batch.batch_id}/")
    assert raw_words(page) == []
    assert "0 customers" not in text_of(page)
    for state in BatchChunk.State:
        if batch.chunks.filter(state=state).exists():
            assert state.outcome.meaning in text_of(page)
    assert raw_words(operator.get("/batches/")) == []
    reasons = operator.get(f"/batches/{batch.batch_id}/report.csv").getvalue().decode()
    assert Outcome.UNKNOWN.explanation in reasons
    assert "Error" not in reasons


def test_an_app_status_run_that_fails_says_so_in_words(operator, small_chunks, tms):
    answer = operator.post("/apps/start/", {"cluster": "evian3", "cids": "a1\nb2", "token": "fault:http:401"})
    path = answer["Location"]
    until(lambda: "data-every-s" not in operator.get(f"{path}progress/").content.decode())
    assert {*raw_words(operator.get(path))} <= {"Unknown"}  # a status of TMS's own


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:2", "The connection to 127.0.0.1:2 was refused"),
        ("https://tms.invalid", "The host name tms.invalid could not be resolved"),
    ],
)
def test_an_attempt_that_reached_nobody_says_why_on_its_page(operator, fetch, tms, settings, url, says):
    settings.TMS_CLUSTERS = {"evian3": url}
    answer = fetch(url=f"{url}/tms/v1/set/action", cids=["a1"]).json()
    page = operator.get(f"/attempts/{answer['attempt_id']}/")
    assert says in text_of(page)
    assert Outcome.NOT_SENT.explanation in text_of(page)
    assert raw_words(page) == []
