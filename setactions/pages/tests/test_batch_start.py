"""What the review page says and refuses before a batch is started."""

import pytest

from setactions.pages.tests.batch_pages import CIDS, form_with_file, start, started, upload
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("small_chunks")


def test_the_same_list_again_is_noticed_before_it_is_started(operator, oscar, tms, engine_at_rest):
    batch = started(start(operator))
    engine_at_rest()
    page = upload(operator)
    assert "The same list was already run as a batch" in text_of(page)
    assert f'href="/batches/{batch.batch_id}/"' in page.content.decode()
    others = upload(signed_in(oscar))
    assert f"Ask them first; the id of their batch is {batch.batch_id}" in text_of(others)
    assert f'href="/batches/{batch.batch_id}/"' not in others.content.decode()
    assert "The same list" not in text_of(upload(operator, CIDS[:-1]))


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
