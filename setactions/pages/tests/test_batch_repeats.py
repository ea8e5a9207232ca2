"""Customers of a batch that were asked for already: when it starts, goes on, and while it runs."""

import json

import pytest

from audit.models import AuditEntry
from jobs.batches import ledger
from jobs.models import Batch, BatchChunk
from setactions.batches.tests.commanding import sent
from setactions.pages.tests.batch_pages import CIDS, start, started
from setactions.resolving.tests.doubting import hidden_fields
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of, until

State = BatchChunk.State
pytestmark = [pytest.mark.usefixtures("small_chunks"), pytest.mark.pages]


def press(client, batch, verb, **fields):
    return client.post(f"/batches/{batch.batch_id}/{verb}/", {"token": TOKEN} | fields)


def press_again(client, batch, verb):
    """Press it once, read whose customers were asked for since, and say on that page that they are meant."""
    page = press(client, batch, verb)
    assert page.status_code == 409
    return press(client, batch, verb, repeats="send_again", named=hidden_fields(page)["named"])


def words_given():
    bodies = AuditEntry.objects.filter(kind="INTENT").order_by("pk").values_list("body", flat=True)
    return {tuple(intent["cids"]): intent["send_again"] for intent in map(json.loads, bodies)}


@pytest.fixture
def stopped(operator, tms, engine_at_rest, oscar, fetch):
    """A batch that stopped after its first customer; oscar sent one of those that are left since, c3 of c3 and c4."""
    batch = started(start(operator, first_only="1"))
    until(lambda: Batch.objects.get().state == Batch.State.PAUSED)
    assert press(operator, batch, "stop").status_code == 302
    engine_at_rest()
    assert fetch(cids=["c3", "new"], client=signed_in(oscar)).status_code == 200
    return batch


def test_the_page_names_whom_somebody_sent_since_and_asks_what_to_do(operator, tms, stopped, settings):
    settings.TMS_DUPLICATE_WINDOW_S = 0
    for verb in ("resume", "rest"):
        page = press(operator, stopped, verb)
        assert page.status_code == 409
        assert "1 customer of this list was asked for already. 1 customer: PE-Enable of oscar was" in text_of(page)
        assert page.content.decode().count('type="radio" name="repeats"') == 2
    assert len(tms.calls()) == 2
    assert 'name="repeats"' not in operator.get(f"/batches/{stopped.batch_id}/").content.decode()


def test_it_goes_on_without_their_chunks_and_offers_them_later(operator, tms, stopped, engine_at_rest):
    assert press(operator, stopped, "resume", repeats="skip").status_code == 302
    engine_at_rest()
    [skipped] = BatchChunk.objects.exclude(state=State.ACCEPTED)
    assert (skipped.cids, skipped.state, Batch.objects.get().state) == (["c3", "c4"], State.REFUSED, Batch.State.DONE)
    page = text_of(operator.get(f"/batches/{stopped.batch_id}/"))
    assert "Run the rest: 2 customers" in page
    assert "1 customer of this list was asked for already." in page
    assert set(sent(tms).values()) == {1}
    assert press_again(operator, stopped, "rest").status_code == 302
    engine_at_rest()
    assert sent(tms) == dict.fromkeys([*CIDS, "new"], 1) | {"c3": 2}
    assert {cids for cids, is_again in words_given().items() if is_again} == {("c3", "c4")}


def test_a_word_to_send_again_covers_no_more_than_the_page_named(operator, tms, stopped, fetch, oscar):
    page = press(operator, stopped, "resume")
    assert fetch(cids=["c4"], client=signed_in(oscar)).status_code == 200
    for named in (hidden_fields(page)["named"], "", "0 0", "all of them"):
        answer = press(operator, stopped, "resume", repeats="send_again", named=named)
        assert answer.status_code == 409
    assert set(sent(tms).values()) == {1}


def test_a_paused_batch_that_nobody_carries_can_be_stopped_and_then_keeps_nobody(operator, tms, engine_at_rest, fetch):
    tms.script("", "fault:unauthorized")
    batch = started(start(operator))
    engine_at_rest()
    assert Batch.objects.get().state == Batch.State.PAUSED
    left = BatchChunk.objects.filter(state=State.WAITING).first().cids
    assert fetch(cids=left).status_code == 409
    page = operator.get(f"/batches/{batch.batch_id}/")
    assert 'id="batch_stop"' in page.content.decode()
    assert "it no longer keeps others from sending its customers" in text_of(page)
    assert press(operator, batch, "stop").status_code == 302
    assert fetch(cids=left).status_code == 200


def test_a_word_to_send_again_ends_with_the_process_that_got_it(operator, tms, stopped, engine_at_rest):
    tms.script("", "", "fault:http:401")
    assert press_again(operator, stopped, "resume").status_code == 302
    engine_at_rest()
    BatchChunk.objects.exclude(state=State.ACCEPTED).exclude(number=2).update(state=State.ACCEPTED)
    BatchChunk.objects.filter(number=2).update(state=State.NOT_SENT)
    assert press(operator, stopped, "rest").status_code == 409


def test_what_somebody_sends_while_it_is_paused_is_skipped_and_stops_nobody(
    operator, tms, engine_at_rest, oscar, fetch
):
    batch = started(start(operator, cids=[f"c{number}" for number in range(20)], first_only="1"))
    until(lambda: Batch.objects.get().state == Batch.State.PAUSED)
    shared = [f"c{number}" for number in (1, 3, 5, 7, 9, 11, 13)]  # of seven chunks that follow each other
    for start_at in (0, 3, 6):
        part = shared[start_at : start_at + 3]
        refused = fetch(cids=part, client=signed_in(oscar))
        assert (refused.status_code, refused.json()["overlap"]["batches"]) == (409, [str(batch.batch_id)])
        assert fetch(cids=part, client=signed_in(oscar), sendAgain=True).status_code == 200
    assert operator.post(f"/batches/{batch.batch_id}/resume/").status_code == 302
    engine_at_rest()
    assert Batch.objects.get().state == Batch.State.DONE
    assert [*batch.chunks.filter(state=State.REFUSED).values_list("number", flat=True)] == [1, 2, 3, 4, 5, 6, 7]
    assert set(sent(tms).values()) == {1}


def test_a_batch_counts_as_open_as_soon_as_it_is_written(operator, tms, settings, engine_at_rest, oscar):
    first = started(start(operator, first_only="1"))
    until(lambda: Batch.objects.get().state == Batch.State.PAUSED)
    again = start(signed_in(oscar), cids=["new", *reversed(CIDS)], first_only="1")
    assert again.status_code == 409
    assert str(first.batch_id) in text_of(again)
    assert Batch.objects.count() == 1
    ledger.stop(first, "Stopped by olivia.")
    engine_at_rest()
    settings.TMS_DUPLICATE_WINDOW_S = 0
    assert start(signed_in(oscar), cids=["new", *reversed(CIDS)]).status_code == 302  # that it stopped is known
