"""What the review page says and refuses before a batch is started."""

import pytest

from jobs.models import Batch
from setactions.pages.tests.batch_pages import CIDS, form_with_file, start, started, upload
from setactions.pages.tests.test_new_action import hidden_fields
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("small_chunks")


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
    started(operator.post("/batches/start/", reviews[operator]))
    engine_at_rest()
    answer = others.post("/batches/start/", reviews[others] | {"first_only": "1"})
    assert answer.status_code == 409
    assert "All 4 customers were asked for already" in text_of(answer)
    assert "PE-Enable of olivia was accepted a moment ago" in text_of(answer)
    assert Batch.objects.count() == 1
    assert sorted(cid for call in tms.calls() for cid in call.cids) == CIDS


@pytest.mark.parametrize(
    ("header", "row", "sentence"),
    [
        ("id,action", "c1,T-Enable", "The column action names another action than is chosen here"),
        ("cluster,id", "brooke,c1", "The column cluster names another cluster than is chosen here"),
        ("id,cluster", "c1,zz", "This cluster is not known. Choose from: evian3, brooke."),
    ],
)
def test_a_file_that_asks_for_something_else_than_the_form_is_refused(operator, tms, header, row, sentence):
    page = operator.post("/review/", form_with_file(f"{header}\n{row}"))
    assert page.status_code == 400
    assert f"Line 2: {sentence}" in text_of(page)


@pytest.mark.parametrize("text", ["id,action\nc1,pe-enable\nc2,", "cluster,id,action\nevian3,c1,PE-Enable\n"])
def test_a_file_that_asks_for_the_same_as_the_form_is_taken(operator, tms, text):
    assert operator.post("/review/", form_with_file(text)).status_code == 200
