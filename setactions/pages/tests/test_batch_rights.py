"""Who sees which batches, who may do what with them, and when."""

import pytest

from audit.actors import Actor
from audit.choices import Action, Source
from jobs.batches import ledger
from jobs.batches.lists import NewBatch
from jobs.batches.scopes import Scope
from jobs.models import Batch
from setactions import limits
from setactions.batches import background, service
from setactions.batches.chunks import chunks_of
from setactions.pages.tests.batch_pages import CIDS, ledger_batch, page_of, start, started, upload
from setactions.pages.tests.test_new_action import hidden_fields, press
from setactions.payload import Submission
from setactions.refusal import Refusal
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of

pytestmark = [pytest.mark.usefixtures("small_chunks"), pytest.mark.pages]


def test_auditors_see_all_batches_and_change_none(operator, audrey, oscar, tms, engine_at_rest):
    batch = started(start(operator))
    engine_at_rest()
    auditor = signed_in(audrey)
    assert str(batch.batch_id) in auditor.get("/batches/").content.decode()
    assert str(batch.batch_id) not in signed_in(oscar).get("/batches/?whose=all").content.decode()
    assert signed_in(oscar).get(f"/batches/{batch.batch_id}/").status_code == 404
    assert "<form" not in auditor.get(f"/batches/{batch.batch_id}/progress/").content.decode()


@pytest.mark.parametrize(
    ("query", "is_listed"),
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
def test_the_list_is_filtered_by_its_address(operator, tms, query, is_listed):
    batch = ledger_batch()
    page = operator.get(f"/batches/?{query}")
    assert (str(batch.batch_id) in page.content.decode()) is is_listed
    assert page.status_code == 200


@pytest.mark.parametrize("query", ["state=odd", "since=never", "user=oscar", "action=a&action=b"])
def test_wrong_filters_are_told(operator, query):
    page = operator.get(f"/batches/?{query}")
    assert page.status_code == 400
    assert "Correct the filters" in text_of(page)


def test_the_list_is_paged(operator):
    batches = [ledger_batch() for _ in range(51)]
    page = operator.get("/batches/").content.decode()
    assert "Older batches" in page
    assert str(batches[0].batch_id) in operator.get("/batches/?page=2").content.decode()


def test_the_admin_lists_batches_and_leads_to_their_pages(audrey, olivia):
    batch = ledger_batch()
    auditor = signed_in(audrey)
    assert str(batch.batch_id) in auditor.get("/admin/jobs/batch/").content.decode()
    assert f"/batches/{batch.batch_id}/" in auditor.get(f"/admin/jobs/batch/{batch.pk}/change/").content.decode()
    matches = auditor.get(f"/admin/jobs/batch/?q={batch.batch_id}").content.decode()
    assert str(batch.batch_id) in matches


def test_others_may_stop_a_batch_and_only_its_owner_goes_on_with_it(operator, adam, tms, engine_at_rest):
    tms.script("fault:slow:3600", "fault:slow:3600")
    batch = started(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    admin = signed_in(adam)
    assert admin.post(f"/batches/{batch.batch_id}/pause/").status_code == 302
    for path in ("resume", "rest"):
        answer = admin.post(f"/batches/{batch.batch_id}/{path}/", {"token": TOKEN})
        assert (answer.status_code, "belongs to olivia, and only they can go on with it" in text_of(answer)) == (
            403,
            True,
        )
    assert admin.post(f"/batches/{batch.batch_id}/stop/").status_code == 302
    tms.release()
    engine_at_rest()
    assert "Stopped by adam." in page_of(operator, batch)
    assert len(tms.calls()) == 2


def test_the_rest_is_not_run_while_it_still_runs(operator, tms, engine_at_rest):
    tms.script("fault:slow:3600", "fault:slow:3600")
    batch = started(start(operator))
    tms.wait_for(lambda calls: len(calls) == 2)
    answer = operator.post(f"/batches/{batch.batch_id}/rest/", {"token": TOKEN})
    assert (answer.status_code, "This batch is still being run" in text_of(answer)) == (409, True)
    tms.release()


def test_a_token_among_the_ids_starts_nothing(operator, tms):
    fields = hidden_fields(upload(operator)) | {"token": CIDS[3]}
    answer = press(operator, "start/", fields)
    assert (answer.status_code, "token is among the customer ids" in text_of(answer)) == (400, True)
    assert (tms.calls(), Batch.objects.count()) == ([], 0)


def test_the_id_of_another_users_batch_starts_nothing(olivia, oscar, tms):
    batch = ledger_batch()
    submission = Submission(cluster_named("evian3"), Action.PE_ENABLE, "PE-Enable", tuple(CIDS))
    new = NewBatch(batch_id=batch.batch_id, chunks=chunks_of(submission, first_only=False))
    with pytest.raises(Refusal, match="belongs to olivia"):
        service.start_batch(user=oscar, actor=Actor(user_id="oscar"), new=new, token=Token(TOKEN))
    assert service.start_batch(user=olivia, actor=Actor(user_id="olivia"), new=new, token=Token(TOKEN)) == batch
    assert tms.calls() == []


def test_a_batch_that_another_process_carries_takes_no_place_here(olivia, tms):
    batch = ledger_batch()
    assert ledger.lease(batch, "elsewhere:1.2:0123", 3600)
    for _ in range(limits.BATCHES_AT_ONCE + 1):
        with pytest.raises(Refusal, match="still being run"):
            background.start(batch, Actor(user_id="olivia", source=Source.BATCH), Token(TOKEN), Scope.WAITING)
