"""The pages of batches, from the uploaded list to the report, against the simulator over real HTTP."""

import csv
import io
import re
import uuid
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from jobs.models import Batch, BatchChunk, Job
from jobs.new_batches import NewChunk, create_batch
from setactions.batches import engine
from setactions.tests.test_pages import fill_in, hidden_fields
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of, until

State = BatchChunk.State
CIDS = [f"c{number}" for number in range(7)]


@pytest.fixture(autouse=True)
def small(settings, engine_at_rest):
    """Chunks of two customers; more than three make a batch."""
    settings.TMS_BATCH_CHUNK, settings.TMS_MAX_CIDS_PER_CALL = 2, 3


@pytest.fixture
def operator(tms, olivia):
    return signed_in(olivia)


def start(client, *, cids=CIDS, confirm="", **changes):
    """Upload a list and press the button of the review page; returns the answer."""
    return client.post("/batches/start/", hidden_fields(upload(client, cids)) | {"confirm": confirm} | changes)


def upload(client, cids=CIDS):
    """Upload a list as a file; returns the review page."""
    file = SimpleUploadedFile("fleet.csv", "\n".join(["customer_id", *cids]).encode())
    return client.post(
        "/review/", {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "cids": "", "csv_file": file}
    )


def of(answer):
    """The batch that an answer leads to."""
    assert answer.status_code == 302, text_of(answer)
    return Batch.objects.get(batch_id=re.fullmatch("/batches/([0-9a-f-]{36})/", answer["Location"])[1])


def page_of(client, batch):
    return text_of(client.get(f"/batches/{batch.batch_id}/"))


def test_a_list_longer_than_one_call_runs_to_its_end(operator, tms, engine_at_rest):
    batch = of(start(operator))
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
    first, second = (of(operator.post("/batches/start/", fields)) for _ in range(2))
    engine_at_rest()
    assert (first, len(tms.calls())) == (second, 4)


def test_a_review_of_somebody_else_starts_nothing(operator, oscar, tms):
    fields = hidden_fields(fill_in(operator, cids="\n".join(CIDS)))
    assert signed_in(oscar).post("/batches/start/", fields).status_code == 400
    assert not Batch.objects.exists()


@pytest.mark.parametrize("typed", ["", "6", "77", "seven"])
def test_a_long_list_wants_its_number_typed(operator, tms, settings, typed):
    settings.TMS_CONFIRM_ABOVE = 7
    answer = start(operator, confirm=typed)
    assert answer.status_code == 400
    assert "number of customers" in text_of(answer)
    assert 'name="sealed"' in answer.content.decode()  # the token need not be typed again
    assert (tms.calls(), Batch.objects.count()) == ([], 0)


def test_the_number_may_be_typed_as_it_is_shown(operator, tms, settings, engine_at_rest):
    settings.TMS_CONFIRM_ABOVE = 7
    assert of(start(operator, confirm=" 7 "))
    engine_at_rest()
    assert len(tms.calls()) == 4


def test_a_production_cluster_wants_the_number_typed_of_short_lists_too(operator, tms, settings):
    settings.TMS_PRODUCTION_CLUSTERS = ["evian3"]
    page = fill_in(operator, cids="a1,b2")
    assert "production" in text_of(page)
    fields = hidden_fields(page)
    assert operator.post("/send/", fields).status_code == 400
    assert operator.post("/send/", fields | {"confirm": "3"}).status_code == 400
    assert tms.calls() == []
    assert operator.post("/send/", fields | {"confirm": "2"}).status_code == 302
    assert len(tms.calls()) == 1


def test_first_one_then_the_rest_waits_for_its_operator(operator, tms, engine_at_rest):
    batch = of(start(operator, first_only="1"))
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
    batch = of(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    other = signed_in(olivia)
    assert "Running" in page_of(other, batch)
    assert other.post(f"/batches/{batch.batch_id}/pause/").status_code == 302
    tms.release()
    until(lambda: not BatchChunk.objects.filter(state=State.CALLING).exists())
    assert "Paused by olivia." in page_of(operator, batch)
    assert len(tms.calls()) == 2
    assert operator.post(f"/batches/{batch.batch_id}/resume/").status_code == 302
    engine_at_rest()
    assert "Done: TMS accepted every customer" in page_of(other, batch)


def test_a_stopped_batch_ends_after_its_running_calls_and_asks_for_a_token(operator, tms, engine_at_rest):
    tms.script("fault:slow:3600", "fault:slow:3600")
    batch = of(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    assert operator.post(f"/batches/{batch.batch_id}/stop/").status_code == 302
    tms.release()
    engine_at_rest()
    page = page_of(operator, batch)
    assert "Stopped by olivia." in page
    assert "4 of 7 customers accepted" in page
    answer = operator.post(f"/batches/{batch.batch_id}/resume/")
    assert (answer.status_code, len(tms.calls())) == (400, 2)
    assert "Enter your bearer token" in text_of(answer)
    assert operator.post(f"/batches/{batch.batch_id}/resume/", {"token": TOKEN}).status_code == 302
    engine_at_rest()
    assert sorted(cid for call in tms.calls() for cid in call.cids) == CIDS


def test_a_batch_whose_process_is_gone_shows_as_stopped(operator, tms):
    batch = of_ledger()
    Batch.objects.update(state="running", runner="elsewhere:0123", runner_until=timezone.now() - timedelta(seconds=1))
    page = page_of(operator, batch)
    assert "Stopped" in page
    assert "The process that ran it is gone" in page
    assert "Bearer token" in page


def of_ledger(**changes):
    chunk = NewChunk(cluster_url="http://127.0.0.1:2", action_code=2, action_sent="PE-Enable", cids=["a", "b"])
    facts = {"user_id": "olivia", "file_name": "", "repeated": 0, "chunks": [chunk]}
    return create_batch(batch_id=uuid.uuid4(), **(facts | changes))[0]


def test_what_tms_does_not_know_is_left_out_of_the_rest(operator, tms, engine_at_rest):
    tms.script("fault:unknown-ids:1")
    batch = of(start(operator, cids=CIDS[:6]))
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
    batch = of(start(operator, cids=CIDS[:4]))
    engine_at_rest()
    page = page_of(operator, batch)
    assert "1 chunk has no known outcome" in page
    assert "Bearer token" not in page
    assert operator.post(f"/batches/{batch.batch_id}/rest/", {"token": TOKEN}).status_code == 302
    engine_at_rest()
    assert len(tms.calls()) == 2


def test_what_never_left_is_sent_with_the_rest(operator, tms, settings, engine_at_rest):
    url, settings.TMS_CLUSTERS = tms.url, {"evian3": "http://127.0.0.1:2"}
    batch = of(start(operator, cids=CIDS[:4]))
    engine_at_rest()
    assert "Run the rest: 4 customers" in page_of(operator, batch)
    settings.TMS_CLUSTERS = {"evian3": url}
    BatchChunk.objects.update(cluster_url=url)  # as if it were at its old address again
    assert operator.post(f"/batches/{batch.batch_id}/rest/", {"token": TOKEN}).status_code == 302
    engine_at_rest()
    assert "4 of 4 customers accepted" in page_of(operator, batch)
    assert len(tms.calls()) == 2


def test_the_report_tells_of_every_customer(operator, tms, engine_at_rest):
    tms.script("fault:unknown-ids:1", "fault:http:500")
    batch = of(start(operator, cids=["=1", *CIDS[:5]]))
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
    batch = of(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    path = f"/batches/{batch.batch_id}/progress/"
    polled = operator.get(path, headers={"HX-Request": "true"}).content.decode()
    assert f'hx-get="{path}"' in polled
    assert "<html" not in polled
    tms.release()
    engine_at_rest()
    assert "hx-get" not in operator.get(path).content.decode()


def test_the_token_is_nowhere_but_in_memory(operator, tms, engine_at_rest):
    batch = of(start(operator))
    engine_at_rest()
    for path in ("", "progress/", "report.csv"):
        assert TOKEN.encode() not in operator.get(f"/batches/{batch.batch_id}/{path}").getvalue()
    rows = [*Batch.objects.values_list(), *BatchChunk.objects.values_list()]
    assert TOKEN not in str(rows)


def test_more_batches_than_a_process_carries_wait_for_their_operator(operator, tms, monkeypatch):
    monkeypatch.setattr(engine._places, "acquire", lambda blocking: False)
    batch = of(start(operator))
    page = page_of(operator, batch)
    assert "batches are running here already" in page
    assert "Bearer token" in page
    assert tms.calls() == []


def test_a_stand_by_runs_no_batches(operator, tms, settings):
    settings.TMS_PASSIVE = True
    assert "passive mode" in page_of(operator, of(start(operator)))
    assert tms.calls() == []


def test_an_account_that_is_switched_off_sends_nothing_more(operator, olivia, tms, engine_at_rest):
    tms.script("fault:slow:3600", "fault:slow:3600")
    of(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    olivia.is_active = False
    olivia.save()
    tms.release()
    engine_at_rest()
    assert (len(tms.calls()), Batch.objects.get().state) == (2, Batch.State.STOPPED)


def test_auditors_see_all_batches_and_change_none(operator, audrey, oscar, tms, engine_at_rest):
    batch = of(start(operator))
    engine_at_rest()
    auditor = signed_in(audrey)
    assert str(batch.batch_id) in auditor.get("/batches/").content.decode()
    assert str(batch.batch_id) not in signed_in(oscar).get("/batches/?whose=all").content.decode()
    assert "<form" not in auditor.get(f"/batches/{batch.batch_id}/progress/").content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", True),
        ("state=stopped", True),
        ("state=running", False),
        ("action=PE-Enable", True),
        ("action=T-Enable", False),
        ("cluster=brooke", True),
        ("cluster=evian3", False),
        ("until=2020-01-01", False),
        ("since=2020-01-01", True),
    ],
)
def test_the_list_is_filtered_by_its_address(operator, tms, query, found):
    batch = of_ledger()
    page = operator.get(f"/batches/?{query}")
    assert (str(batch.batch_id) in page.content.decode()) is found
    assert page.status_code == 200


@pytest.mark.parametrize("query", ["state=odd", "since=never", "user=oscar", "action=a&action=b"])
def test_wrong_filters_are_told(operator, query):
    page = operator.get(f"/batches/?{query}")
    assert page.status_code == 400
    assert "correct the filters" in text_of(page)


def test_the_list_is_paged(operator):
    batches = [of_ledger() for _ in range(51)]
    page = operator.get("/batches/").content.decode()
    assert "Older batches" in page
    assert str(batches[0].batch_id) in operator.get("/batches/?page=2").content.decode()


def test_the_admin_lists_batches_and_leads_to_their_pages(audrey, olivia):
    batch = of_ledger()
    auditor = signed_in(audrey)
    assert str(batch.batch_id) in auditor.get("/admin/jobs/batch/").content.decode()
    assert f"/batches/{batch.batch_id}/" in auditor.get(f"/admin/jobs/batch/{batch.pk}/change/").content.decode()
    found = auditor.get(f"/admin/jobs/batch/?q={batch.batch_id}").content.decode()
    assert str(batch.batch_id) in found


def test_a_batch_survives_the_sign_out_of_its_operator(operator, tms, engine_at_rest):
    tms.script("fault:slow:3600", "fault:slow:3600")
    batch = of(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    operator.post("/logout/")
    tms.release()
    engine_at_rest()
    assert Batch.objects.get(pk=batch.pk).state == Batch.State.DONE


def test_the_same_list_again_is_noticed_before_it_is_started(operator, oscar, tms, engine_at_rest):
    batch = of(start(operator))
    engine_at_rest()
    page = upload(operator)
    assert "The same list was given to a batch already" in text_of(page)
    assert f'href="/batches/{batch.batch_id}/"' in page.content.decode()
    others = upload(signed_in(oscar))
    assert f"Ask them first; their batch's id is {batch.batch_id}" in text_of(others)
    assert f'href="/batches/{batch.batch_id}/"' not in others.content.decode()
    assert "The same list" not in text_of(upload(operator, CIDS[:-1]))


@pytest.mark.parametrize(
    ("header", "row", "column"),
    [
        ("id,action", "c1,T-Enable", "action"),
        ("cluster,id", "brooke,c1", "cluster"),
        ("id,cluster", "c1,zz", "cluster"),
    ],
)
def test_a_file_that_asks_for_something_else_than_the_form_is_refused(operator, tms, header, row, column):
    page = operator.post("/review/", form_with_file(f"{header}\n{row}"))
    assert page.status_code == 400
    assert f"Line 2: the column {column} names another {column} than is chosen here" in text_of(page)


@pytest.mark.parametrize("text", ["id,action\nc1,pe-enable\nc2,", "cluster,id,action\nevian3,c1,PE-Enable\n"])
def test_a_file_that_asks_for_the_same_as_the_form_is_taken(operator, tms, text):
    assert operator.post("/review/", form_with_file(text)).status_code == 200


def form_with_file(text):
    file = SimpleUploadedFile("fleet.csv", text.encode())
    return {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "cids": "", "csv_file": file}
