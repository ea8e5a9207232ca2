"""What the review page says and refuses before a batch is started."""

import json

import pytest

from audit.models import AuditEntry
from jobs.batches import ledger
from jobs.models import Batch
from setactions.batches.tests.commanding import sent
from setactions.pages.tests.batch_pages import CIDS, form_with_file, start, started, upload
from setactions.pages.tests.test_new_action import fill_in, hidden_fields, press, proceed
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of, until

pytestmark = [pytest.mark.usefixtures("small_chunks"), pytest.mark.pages]


def test_customers_of_an_open_batch_are_named_before_another_one_is_started(operator, oscar, tms):
    batch = started(start(operator, first_only="1"))
    for cids in (["new", *reversed(CIDS)], CIDS[2:]):
        others = upload(signed_in(oscar), cids)
        assert f": batch {batch.batch_id} of olivia, of " in text_of(others)
        assert "Ask olivia first." in text_of(others)
        assert f'href="/batches/{batch.batch_id}/"' not in others.content.decode()
    page = upload(operator)
    assert "All 7 customers were asked for already" in text_of(page)
    assert f'href="/batches/{batch.batch_id}/"' in page.content.decode()


def test_what_was_started_in_between_stops_the_whole_list(operator, oscar, tms, engine_at_rest):
    others = signed_in(oscar)
    reviews = {client: hidden_fields(upload(client, cids)) for client, cids in ((operator, CIDS), (others, CIDS[3:]))}
    started(press(operator, "start/", reviews[operator]))
    engine_at_rest()
    answer = press(others, "start/", reviews[others] | {"first_only": "1"})
    assert answer.status_code == 409
    assert "All 4 customers were asked for already" in text_of(answer)
    assert "4 customers: batch " in text_of(answer)
    assert "(done)" in text_of(answer)
    assert Batch.objects.count() == 1
    refused = AuditEntry.objects.get(kind="REFUSED")
    assert (refused.user_id, json.loads(refused.body)["cids"]) == ("oscar", CIDS[3:])
    assert sorted(cid for call in tms.calls() for cid in call.cids) == CIDS


def test_a_batch_that_stopped_is_named_and_keeps_nobody_from_sending(operator, oscar, tms, engine_at_rest):
    batch = started(start(operator, first_only="1"))
    until(lambda: Batch.objects.get().state == Batch.State.PAUSED)
    operator.post(f"/batches/{batch.batch_id}/stop/")
    engine_at_rest()
    page = upload(others := signed_in(oscar), CIDS[1:])
    assert "6 of these customers are left to send in a batch that stopped" in text_of(page)
    assert f"6 customers: batch {batch.batch_id} of olivia" in text_of(page)
    assert "send_again" not in page.content.decode()
    assert f'href="/batches/{batch.batch_id}/"' in upload(operator, CIDS[1:]).content.decode()
    assert started(press(others, "start/", hidden_fields(page)))


def test_of_many_batches_that_stopped_the_first_are_named_and_the_others_counted(operator, tms, make_batch):
    for _ in range(12):
        ledger.explain(make_batch(count=4), "Stopped by olivia.")
    page = text_of(upload(operator, ["c0", "c1", "c2", "c3"]))
    assert "4 of these customers are left to send in batches that stopped" in page
    assert page.count("customers: batch ") == 10
    assert "2 more like these." in page


def test_a_tick_starts_a_batch_with_everybody_again_and_every_chunk_says_so(operator, oscar, tms, engine_at_rest):
    proceed(others := signed_in(oscar), fill_in(others, cids="c1,c5"))
    fields = hidden_fields(upload(operator))
    assert press(operator, "start/", fields).status_code == 409
    started(press(operator, "start/", fields | {"send_again": "1"}))
    engine_at_rest()
    assert sent(tms) == dict.fromkeys(CIDS, 1) | {"c1": 2, "c5": 2}
    bodies = map(json.loads, AuditEntry.objects.filter(kind="INTENT").values_list("body", flat=True))
    again = [tuple(body["cids"]) for body in bodies if body["send_again"]]
    assert sorted(again) == [("c0", "c1"), ("c2", "c3"), ("c4", "c5"), ("c6",)]


def test_those_who_were_asked_for_are_left_out_of_a_batch(operator, oscar, tms, engine_at_rest):
    proceed(others := signed_in(oscar), fill_in(others, cids="c1,c5"))
    rest = press(operator, "leave-out/", hidden_fields(upload(operator)))
    assert "2 customers who were asked for already are left out." in text_of(rest)
    batch = started(press(operator, "start/", hidden_fields(rest)))
    engine_at_rest()
    assert (batch.customer_count, batch.file_name) == (5, "fleet.csv")
    assert sent(tms) == dict.fromkeys(CIDS, 1)


@pytest.mark.parametrize(
    ("header", "row", "sentence"),
    [
        ("id,action", "c1,T-Enable", "The column action names another action than is chosen here"),
        ("cluster,id", "brooke,c1", "The column cluster names another cluster than is chosen here"),
        ("id,cluster", "c1,zz", "This cluster is not known. Choose from: evian3, brooke."),
    ],
)
def test_a_file_that_asks_for_something_else_than_the_form_is_refused(operator, tms, header, row, sentence):
    page = operator.post("/review/", form_with_file(f"{header}\n{row}"), follow=True)
    assert page.status_code == 400
    assert f"Line 2: {sentence}" in text_of(page)


@pytest.mark.parametrize("text", ["id,action\nc1,pe-enable\nc2,", "cluster,id,action\nevian3,c1,PE-Enable\n"])
def test_a_file_that_asks_for_the_same_as_the_form_is_taken(operator, tms, text):
    assert operator.post("/review/", form_with_file(text), follow=True).status_code == 200
