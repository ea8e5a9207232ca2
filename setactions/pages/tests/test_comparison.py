"""Compare with live state on the review page: what it shows, and what the audit keeps of it."""

import csv
import io
import json
import re
import zipfile
from zoneinfo import ZoneInfo

import pytest
from django.core import signing

from audit.bodies import comparison_shown
from audit.models import Attempt, AuditEntry
from jobs.live import pace
from jobs.models import LiveReading, StoredReview
from setactions.live import reading
from setactions.pages.sealing import _SALT as SALT
from setactions.pages.tests.batch_pages import started, upload
from setactions.pages.tests.test_new_action import AT, fill_in, hidden_fields, press, proceed, without_token
from setactions.resolving.tests.doubting import reads, tms_does
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import table_missing, text_of

pytestmark = [pytest.mark.usefixtures("small_chunks"), pytest.mark.pages]
CIDS = "n1,n2,t1,t2,a1,s1,u1"
COUNTS = {"next": 2, "there": 2, "ahead": 1, "skips": 1, "unknown": 1}
WORDS = {"next": "will move on", "there": "there already", "ahead": "further on", "skips": "would skip a step"}
WORDS |= {"unknown": "not known to TMS"}


@pytest.fixture
def fleet(tms, settings):
    """Customers wherever they may be, seen from T-Enable."""
    settings.TMS_MAX_CIDS_PER_CALL = 20
    states = {"Trans-Begin": ["s1"], "PE-Enable": ["n1", "n2"], "T-Enable": ["t1", "t2"], "PE-Finalize": ["a1"]}
    for action, cids in states.items():
        tms_does(tms, action, *cids)


def review(client, cids=CIDS, **changes):
    return fill_in(client, cids=cids, **({"action": "T-Enable"} | changes))


def compared(client, page=None, **extra):
    """The page after the button was pressed on a review page."""
    answer = press(client, "compare/", hidden_fields(page or review(client)) | extra)
    assert answer.status_code == 200, text_of(answer)
    return answer


def counts_on(page):
    """The customers that the card counts, by where they stand."""
    summaries = re.findall(r"<summary><strong>([\d,]+)</strong> ([^<]+)</summary>", page.content.decode())
    codes = {word: code for code, word in WORDS.items()}
    return {next(codes[word] for word in codes if label.startswith(word)): int(count) for count, label in summaries}


def intents():
    """The bodies of all INTENTs, the oldest first."""
    return [json.loads(entry.body) for entry in AuditEntry.objects.filter(kind="INTENT").order_by("sequence")]


def test_a_list_is_shown_beside_what_tms_shows_of_its_customers(operator, fleet, tms):
    page = compared(operator)
    assert counts_on(page) == COUNTS
    assert re.search(r"7 customers, read from TMS at 20\d\d-.* for olivia\.", text_of(page))
    assert reads(tms) == [("ALL",)]
    assert not Attempt.objects.exists()
    assert TOKEN not in page.content.decode()


def test_each_number_leads_to_its_customers_with_their_states(operator, fleet):
    address, listed = hidden_fields(compared(operator))[AT], {}
    for standing in COUNTS:
        answer = operator.get(f"{address}customers.csv?standing={standing}")
        assert answer["Content-Disposition"].startswith(f'attachment; filename="{standing}-')
        header, *listed[standing] = csv.reader(io.StringIO(answer.content.decode()))
        assert header == ["customer_id", "state"]
    assert {standing: len(rows) for standing, rows in listed.items()} == COUNTS
    assert listed["ahead"] == [["a1", "PE-Finalize"]]
    assert listed["skips"] == [["s1", "Trans-Begin"]]
    assert listed["unknown"] == [["u1", "not known to TMS"]]
    assert sorted(cid for rows in listed.values() for cid, _ in rows) == sorted(CIDS.split(","))


def test_without_a_comparison_nobody_is_left_out_and_there_is_no_file(operator, oscar, fleet):
    fields = hidden_fields(review(operator))
    answer = press(operator, "leave-out-there/", fields)
    assert (answer.status_code, "Press Compare with live state first" in text_of(answer)) == (409, True)
    assert operator.get(f"{fields[AT]}customers.csv?standing=next").status_code == 404
    page = compared(operator)
    for client, standing in ((operator, "unread"), (signed_in(oscar), "next")):
        assert client.get(f"{hidden_fields(page)[AT]}customers.csv?standing={standing}").status_code == 404


def test_those_who_are_there_are_left_out_with_one_click_and_the_comparison_stays(operator, fleet, tms):
    page = press(operator, "leave-out-there/", hidden_fields(compared(operator)))
    assert counts_on(page) == {standing: count for standing, count in COUNTS.items() if standing != "there"}
    assert "2 who were there already are left out." in text_of(page)
    assert "5 customers, read from TMS" in text_of(page)
    assert "asked for already" not in text_of(page)
    assert proceed(operator, page).status_code == 302
    [intent] = intents()
    assert intent["cids"] == ["n1", "n2", "a1", "s1", "u1"]
    assert (intent["compared"]["counts"], intent["compared"]["left_out"]) == (
        {"next": 2, "ahead": 1, "skips": 1, "unknown": 1},
        2,
    )
    assert reads(tms) == [("ALL",)]


def test_how_many_were_left_out_is_still_said_after_comparing_again(operator, fleet):
    page = press(operator, "leave-out-there/", hidden_fields(compared(operator)))
    assert "2 who were there already are left out." in text_of(compared(operator, page))


def test_if_everybody_is_there_nobody_is_left_to_send(operator, fleet):
    page = compared(operator, review(operator, "t1,t2"))
    assert "Without the 2 there already" not in text_of(page)
    answer = press(operator, "leave-out-there/", hidden_fields(page))
    assert (answer.status_code, "All customers of this list are there already" in text_of(answer)) == (409, True)


def test_those_who_were_asked_for_are_left_out_and_the_comparison_stays(operator, fleet, oscar):
    proceed(others := signed_in(oscar), review(others, "n1,s1"))
    page = press(operator, "leave-out/", hidden_fields(compared(operator)))
    assert "2 customers who were asked for already are left out." in text_of(page)
    assert counts_on(page) == {"next": 1, "there": 2, "ahead": 1, "unknown": 1}


def test_nothing_that_is_shown_keeps_anybody_from_sending(operator, fleet, tms):
    assert proceed(operator, compared(operator)).status_code == 302
    [attempt] = Attempt.objects.all()
    assert attempt.is_accepted
    assert [call.cids for call in tms.calls() if call.method == "POST"][-1] == tuple(CIDS.split(","))


def test_what_was_shown_is_in_the_intent_on_the_page_and_in_the_evidence(operator, fleet):
    proceed(operator, compared(operator))
    [intent] = intents()
    read = LiveReading.objects.get()
    assert intent["compared"] == {
        "read_at": read.began_at.isoformat(),
        "source": "tms",
        "read_for": "olivia",
        "counts": COUNTS,
    }
    attempt = Attempt.objects.get()
    assert comparison_shown(intent) in text_of(operator.get(f"/attempts/{attempt.attempt_id}/"))
    operator.cookies["time_zone"] = "Asia/Kathmandu"  # for pages, and not for files
    there = comparison_shown(intent, ZoneInfo("Asia/Kathmandu"))
    assert "+0545 for olivia" in there
    assert there in text_of(operator.get(f"/attempts/{attempt.attempt_id}/"))
    assert "2 will move on, 2 there already, 1 further on" in comparison_shown(intent)
    pack = zipfile.ZipFile(io.BytesIO(operator.get(f"/attempts/{attempt.attempt_id}/evidence.zip").content))
    assert f"Live state, as shown before: {comparison_shown(intent)}" in pack.read("ticket.txt").decode()


def test_without_the_button_the_audit_says_nothing_of_live_state(operator, fleet):
    page = review(operator)
    attempt = proceed(operator, page).url
    assert "compared" not in intents()[0]
    assert "Live state before" not in text_of(operator.get(attempt))


def test_a_comparison_changes_no_digest_so_the_same_list_is_still_a_repeat(operator, fleet):
    proceed(operator, review(operator, "n1,n2"))
    page = compared(operator, review(operator, "n1,n2"))
    assert proceed(operator, page).status_code == 409
    proceed(operator, page, send_again="1")
    assert len({intent["payload_digest"] for intent in intents()}) == 1
    assert ["compared" in intent for intent in intents()] == [False, True]


def test_what_is_stored_is_shown_in_a_line_without_reading(operator, oscar, fleet, tms):
    assert "No live state of these customers has been read yet." in text_of(review(operator))
    compared(signed_in(oscar))
    page = text_of(review(operator))
    assert "As stored: 2 will move on · 2 there already · 1 further on: would go back · 1 would skip" in page
    assert re.search(r"\(read from TMS [^)]* for oscar\)", page)
    assert len(reads(tms)) == 1
    assert proceed(operator, review(operator)).status_code == 302
    assert "compared" not in intents()[0]


def test_a_line_less_when_the_jobs_database_cannot_tell(operator, fleet):
    with table_missing("jobs", "jobs_livecluster"):
        page = review(operator)
    assert (page.status_code, "Compare with live state" in text_of(page)) == (200, True)
    assert "As stored" not in text_of(page)


def test_a_fresh_reading_of_somebody_else_is_shared(operator, oscar, fleet, tms):
    compared(signed_in(oscar))
    assert re.search(r"read from TMS .* for oscar\.", text_of(compared(operator)))
    assert reads(tms) == [("ALL",)]


def test_a_page_that_lost_its_token_asks_for_it_and_takes_it(operator, fleet, tms):
    fields = hidden_fields(review(operator))
    without_token(operator)
    answer = press(operator, "compare/", fields)
    assert (answer.status_code, "Enter your bearer token" in text_of(answer), reads(tms)) == (400, True, [])
    page = press(operator, "compare/", hidden_fields(answer) | {"token": TOKEN})
    assert counts_on(page) == COUNTS
    assert proceed(operator, page).status_code == 302


@pytest.mark.parametrize("fault", ["http:500", "html", "half-body", "empty-object"])
def test_a_reading_that_fails_is_said_and_counts_nobody(operator, fleet, monkeypatch, fault):
    page = review(operator, token=f"fault:{fault}")
    answer = press(operator, "compare/", hidden_fields(page))
    assert (answer.status_code, counts_on(answer)) == (409, {})
    assert re.search(r"evian3 (could not be read|listed no customers)", text_of(answer))
    assert 'name="token"' not in answer.content.decode()  # it is kept


def test_a_token_that_is_not_taken_is_asked_for_once_more(operator, fleet):
    answer = press(operator, "compare/", hidden_fields(review(operator, token="fault:unauthorized")))
    assert (answer.status_code, 'name="token"' in answer.content.decode()) == (409, True)


def test_a_failed_reading_leaves_the_comparison_that_was_there(operator, fleet, monkeypatch):
    page = compared(operator)
    monkeypatch.setattr(reading, "FRESH_S", -60)
    monkeypatch.setattr(pace, "_asked_wait_s", lambda _: 0)
    answer = press(operator, "compare/", hidden_fields(page) | {"token": "fault:http:500"})
    assert (answer.status_code, counts_on(answer)) == (409, COUNTS)


def test_a_cluster_that_is_read_too_often_is_left_alone(operator, fleet, settings):
    settings.TMS_READS_PER_MINUTE = 0
    answer = press(operator, "compare/", hidden_fields(review(operator)))
    assert (answer.status_code, "evian3 was read too often" in text_of(answer)) == (503, True)


def test_a_forged_comparison_is_refused(operator, fleet, tms):
    fields = hidden_fields(compared(operator))
    kept = StoredReview.objects.get()
    state = signing.loads(kept.signed, salt=SALT)
    state["compared"]["codes"] = [2] * 7
    for forged in (signing.dumps(state, salt="another"), kept.signed[:-2]):
        StoredReview.objects.update(signed=forged)
        for step in ("send/", "compare/", "leave-out-there/"):
            assert press(operator, step, fields).status_code == 400
        assert operator.get(f"{fields[AT]}customers.csv?standing=next").status_code == 404
    assert not Attempt.objects.exists()


def test_a_review_of_the_version_before_has_no_comparison_and_is_sent(operator, fleet):
    fields = hidden_fields(review(operator))
    assert "compared" not in signing.loads(StoredReview.objects.get().signed, salt=SALT)
    assert press(operator, "send/", fields).status_code == 302


def test_a_review_that_was_sent_leads_to_its_attempt_whatever_is_pressed(operator, fleet):
    page = compared(operator)
    address = proceed(operator, page).url
    for step in ("compare/", "leave-out-there/"):
        assert press(operator, step, hidden_fields(page)).url == address


def test_what_was_shown_of_a_long_list_is_in_the_intent_of_each_chunk(operator, fleet, settings, engine_at_rest):
    settings.TMS_MAX_CIDS_PER_CALL = 3
    page = compared(operator, upload(operator, CIDS.split(",")))
    assert "This runs as a batch" in text_of(page)
    started(press(operator, "start/", hidden_fields(page)))
    engine_at_rest()
    shown = [intent["compared"]["counts"] for intent in intents()]
    assert shown == [{"next": 1, "there": 2, "ahead": 3, "unknown": 1} | shown[0]] * 4
    assert sum(shown[0].values()) == 7
