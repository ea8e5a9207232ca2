"""The pages of batches, from the uploaded list to the report, against the simulator over real HTTP."""

import csv
import io
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.models import Batch, BatchChunk, Job
from setactions import limits
from setactions.devtools.simulator import Simulator
from setactions.pages.tests.batch_pages import CIDS, ledger_batch, page_of, start, started, upload
from setactions.pages.tests.test_new_action import fill_in, hidden_fields, press
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import free_ports, text_of, until

State = BatchChunk.State
pytestmark = [pytest.mark.usefixtures("small_chunks"), pytest.mark.pages]


def test_a_list_longer_than_one_call_runs_to_its_end(operator, tms, engine_at_rest):
    batch = started(start(operator))
    engine_at_rest()
    page = page_of(operator, batch)
    assert "Done: TMS accepted every customer" in page
    assert "7 of 7 customers accepted" in page
    assert "PE-Enable for 7 customers on evian3" in page
    assert "fleet.csv" in page
    assert sorted(cid for call in tms.calls() for cid in call.cids) == CIDS
    assert set(Job.objects.values_list("batch_id", "customer_count")) == {(batch.batch_id, 2), (batch.batch_id, 1)}
    assert Job.objects.count() == 4


def test_pressing_twice_makes_one_batch(operator, tms, engine_at_rest):
    fields = hidden_fields(upload(operator))
    first, second = (started(press(operator, "start/", fields)) for _ in range(2))
    engine_at_rest()
    assert (first, len(tms.calls())) == (second, 4)


def test_a_review_of_somebody_else_starts_nothing(operator, oscar, tms):
    fields = hidden_fields(fill_in(operator, cids="\n".join(CIDS)))
    assert press(signed_in(oscar), "start/", fields).status_code == 404
    assert not Batch.objects.exists()


@pytest.mark.parametrize("typed", ["", "6", "77", "seven"])
def test_a_long_list_wants_its_number_typed(operator, tms, settings, typed):
    settings.TMS_CONFIRM_ABOVE = 7
    answer = start(operator, confirm=typed)
    assert answer.status_code == 400
    assert "number of customers" in text_of(answer)
    assert 'name="token"' not in answer.content.decode()  # the token need not be typed again
    assert (tms.calls(), Batch.objects.count()) == ([], 0)


def test_the_number_may_be_typed_as_it_is_shown(operator, tms, settings, engine_at_rest):
    settings.TMS_CONFIRM_ABOVE = 7
    assert started(start(operator, confirm=" 7 "))
    engine_at_rest()
    assert len(tms.calls()) == 4


def test_a_production_cluster_wants_the_number_typed_of_short_lists_too(operator, tms, settings):
    settings.TMS_PRODUCTION_CLUSTERS = ["evian3"]
    page = fill_in(operator, cids="a1,b2")
    assert "production" in text_of(page)
    fields = hidden_fields(page)
    assert press(operator, "send/", fields).status_code == 400
    assert press(operator, "send/", fields | {"confirm": "3"}).status_code == 400
    assert tms.calls() == []
    assert press(operator, "send/", fields | {"confirm": "2"}).status_code == 302
    assert len(tms.calls()) == 1


def test_first_one_then_the_rest_waits_for_its_operator(operator, tms, engine_at_rest):
    batch = started(start(operator, first_only="1"))
    until(lambda: Batch.objects.get().state == Batch.State.PAUSED)
    assert [call.cids for call in tms.calls()] == [("c0",)]
    page = page_of(operator, batch)
    assert "The first customer was accepted" in page
    assert 'name="token"' not in operator.get(f"/batches/{batch.batch_id}/").content.decode()
    assert operator.post(f"/batches/{batch.batch_id}/resume/").status_code == 302
    engine_at_rest()
    assert [len(call.cids) for call in tms.calls()] == [1, 2, 2, 2]


def test_a_batch_is_paused_and_resumed_from_any_browser(operator, olivia, tms, engine_at_rest):
    tms.script("fault:slow:3600", "fault:slow:3600")
    batch = started(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    other = signed_in(olivia)
    assert "Running" in page_of(other, batch)
    assert other.post(f"/batches/{batch.batch_id}/pause/").status_code == 302
    tms.release()
    until(lambda: not BatchChunk.objects.filter(state=State.CALLING).exists())
    assert "Paused by olivia." in page_of(operator, batch)
    assert "Resume: 3 customers left in 2 chunks" in page_of(operator, batch)
    assert len(tms.calls()) == 2
    assert operator.post(f"/batches/{batch.batch_id}/resume/").status_code == 302
    engine_at_rest()
    assert "Done: TMS accepted every customer" in page_of(other, batch)


def test_a_stopped_batch_ends_after_its_running_calls_and_asks_for_a_token(operator, tms, engine_at_rest):
    tms.script("fault:slow:3600", "fault:slow:3600")
    batch = started(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    assert operator.post(f"/batches/{batch.batch_id}/stop/").status_code == 302
    tms.release()
    engine_at_rest()
    page = page_of(operator, batch)
    assert "Stopped by olivia." in page
    assert "4 of 7 customers accepted" in page
    assert "Resume: 3 customers left in 2 chunks" in page
    answer = operator.post(f"/batches/{batch.batch_id}/resume/")
    assert (answer.status_code, len(tms.calls())) == (400, 2)
    assert "Enter your bearer token" in text_of(answer)
    assert operator.post(f"/batches/{batch.batch_id}/resume/", {"token": TOKEN}).status_code == 302
    engine_at_rest()
    assert sorted(cid for call in tms.calls() for cid in call.cids) == CIDS


def test_a_batch_whose_process_is_gone_shows_as_stopped(operator, tms):
    batch = ledger_batch()
    Batch.objects.update(state="running", runner="elsewhere:0123", runner_until=timezone.now() - timedelta(seconds=1))
    page = page_of(operator, batch)
    assert "Stopped" in page
    assert "The process that ran it is gone" in page
    assert "Bearer token" in page


def test_what_tms_does_not_know_is_left_out_of_the_rest(operator, tms, engine_at_rest):
    tms.script("fault:unknown-ids:1")
    batch = started(start(operator, cids=CIDS[:6]))
    engine_at_rest()
    page = operator.get(f"/batches/{batch.batch_id}/")
    assert "Run the rest without them: 1 customer" in text_of(page)
    unknown = operator.get(f"/batches/{batch.batch_id}/unknown.csv").content.decode().split()
    assert (unknown[0], len(unknown)) == ("customer_id", 2)
    fields = {"token": TOKEN, "without_unknown": "1"}
    assert operator.post(f"/batches/{batch.batch_id}/rest/", fields).status_code == 302
    engine_at_rest()
    assert "5 of 6 customers accepted" in page_of(operator, batch)
    sent = [cid for call in tms.calls()[-1:] for cid in call.cids]
    assert (len(sent), unknown[1] in sent) == (1, False)


def test_what_is_unknown_is_never_sent_again(operator, tms, engine_at_rest):
    tms.script("fault:reset-after")
    batch = started(start(operator, cids=CIDS[:4]))
    engine_at_rest()
    page = page_of(operator, batch)
    assert "2 customers have no known outcome" in page
    assert "What has an unknown outcome is never sent again" not in page  # which stands where the rest can be sent
    assert operator.post(f"/batches/{batch.batch_id}/rest/", {"token": TOKEN}).status_code == 302
    engine_at_rest()
    assert len(tms.calls()) == 2


def test_what_never_left_is_sent_with_the_rest(operator, tms, settings, engine_at_rest):
    [port] = free_ports(1)
    settings.TMS_CLUSTERS = {"evian3": f"http://127.0.0.1:{port}"}
    batch = started(start(operator, cids=CIDS[:4]))
    engine_at_rest()
    assert "Run the rest: 4 customers" in page_of(operator, batch)
    with Simulator(port=port) as back:
        assert operator.post(f"/batches/{batch.batch_id}/rest/", {"token": TOKEN}).status_code == 302
        engine_at_rest()
        assert "4 of 4 customers accepted" in page_of(operator, batch)
        assert len(back.calls()) == 2


def test_the_report_tells_of_every_customer(operator, tms, engine_at_rest):
    tms.script("fault:unknown-ids:1", "fault:http:500")
    batch = started(start(operator, cids=["=1", *CIDS[:5]]))
    engine_at_rest()
    answer = operator.get(f"/batches/{batch.batch_id}/report.csv")
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert sorted(row["customer_id"] for row in rows) == sorted(["'=1", *CIDS[:5]])
    outcomes = sorted(row["outcome"] for row in rows)
    assert outcomes == sorted(["unknown_to_tms", "rejected", "unknown", "unknown", "accepted", "accepted"])
    jobs = {row["job_id"] for row in rows if row["outcome"] == "accepted"}
    assert jobs == {str(job_id) for job_id in Job.objects.values_list("job_id", flat=True)}


def test_the_page_asks_for_its_changing_part_while_it_runs_and_no_longer(operator, tms, engine_at_rest):
    tms.script("fault:slow:3600", "fault:slow:3600")
    batch = started(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    path = f"/batches/{batch.batch_id}/progress/"
    polled = operator.get(path, headers={"HX-Request": "true"}).content.decode()
    assert f'data-live="{path}"' in polled
    assert 'data-every-s="2"' in polled
    assert "<html" not in polled
    tms.release()
    engine_at_rest()
    assert "data-every-s" not in operator.get(path).content.decode()


def test_the_token_is_nowhere_but_in_memory(operator, tms, engine_at_rest):
    batch = started(start(operator))
    engine_at_rest()
    for path in ("", "progress/", "report.csv"):
        assert TOKEN.encode() not in operator.get(f"/batches/{batch.batch_id}/{path}").getvalue()
    rows = [*Batch.objects.values_list(), *BatchChunk.objects.values_list()]
    assert TOKEN not in str(rows)


def test_more_batches_than_a_server_carries_wait_for_their_operator(operator, tms, monkeypatch):
    monkeypatch.setattr(limits, "BATCHES_AT_ONCE", 0)
    batch = started(start(operator))
    page = page_of(operator, batch)
    assert "batches are running here already" in page
    assert "Bearer token" in page
    assert tms.calls() == []


def test_a_stand_by_runs_no_batches(operator, tms, settings):
    settings.TMS_PASSIVE = True
    assert "passive mode" in page_of(operator, started(start(operator)))
    assert tms.calls() == []


def test_an_account_that_is_switched_off_sends_nothing_more(operator, olivia, tms, engine_at_rest):
    tms.script("fault:slow:3600", "fault:slow:3600")
    started(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    olivia.is_active = False
    olivia.save()
    tms.release()
    engine_at_rest()
    assert (len(tms.calls()), Batch.objects.get().state) == (2, Batch.State.STOPPED)


def test_a_batch_survives_the_sign_out_of_its_operator(operator, tms, engine_at_rest):
    tms.script("fault:slow:3600", "fault:slow:3600")
    batch = started(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    operator.post("/logout/")
    tms.release()
    engine_at_rest()
    assert Batch.objects.get(pk=batch.pk).state == Batch.State.DONE


def test_a_refused_token_can_be_followed_by_stop(operator, tms, engine_at_rest):
    tms.script("fault:http:401")
    batch = started(start(operator))
    engine_at_rest()
    page = operator.get(f"/batches/{batch.batch_id}/")
    assert "TMS does not accept the token (HTTP 401)" in text_of(page)
    assert f'formaction="/batches/{batch.batch_id}/stop/"' in page.content.decode()
    assert operator.post(f"/batches/{batch.batch_id}/stop/").status_code == 302
    page = operator.get(f"/batches/{batch.batch_id}/")
    assert "Stopped by olivia." in text_of(page)
    assert "data-every-s" not in page.content.decode()
    assert operator.post(f"/batches/{batch.batch_id}/resume/", {"token": TOKEN}).status_code == 302
    engine_at_rest()
    assert "Done: TMS accepted every customer" in page_of(operator, batch)


def test_a_stopping_batch_says_how_many_calls_are_being_finished(operator, tms, engine_at_rest):
    tms.script("fault:slow:3600", "fault:slow:3600")
    batch = started(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    assert operator.post(f"/batches/{batch.batch_id}/stop/").status_code == 302
    page = operator.get(f"/batches/{batch.batch_id}/")
    assert "Stopping: 2 calls are being finished" in text_of(page)
    assert 'data-every-s="2"' in page.content.decode()
    assert "Stopping" in text_of(operator.get("/batches/"))
    tms.release()
    engine_at_rest()
    assert "Stopping" not in page_of(operator, batch)


def test_chunks_of_one_state_or_with_problems_are_shown_alone_on_every_page(operator, tms, engine_at_rest):
    tms.script("fault:http:400", "fault:http:400")
    batch = started(start(operator))
    engine_at_rest()
    path = f"/batches/{batch.batch_id}/"
    for query, shown in (
        ("", 4),
        ("?only=problems", 2),
        ("?state=accepted", 2),
        ("?state=unknown", 0),
        ("?state=odd", 4),
    ):
        page = operator.get(f"{path}{query}").content.decode()
        assert page.count('<tr id="chunk-') == shown
        kept = "" if "odd" in query else query
        assert f'data-live="{path}progress/{kept}"' in page
    assert text_of(operator.get(f"{path}?only=problems")).count("HTTP 400 without a message.") >= 2
    assert "There are no such chunks now." in text_of(operator.get(f"{path}?state=unknown"))


def test_a_chunk_of_which_tms_knows_no_id_is_not_said_to_hold_no_customers(operator, tms, engine_at_rest):
    tms.script("fault:unknown-ids:2")
    batch = started(start(operator, cids=CIDS[:4]))
    engine_at_rest()
    page = page_of(operator, batch)
    assert "1 chunk without an id that TMS knows" in page
    assert "0 customer" not in page
