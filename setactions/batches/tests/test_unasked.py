"""Batches made before anybody was asked about ids that look damaged: these are not sent without somebody's word."""

import json

import pytest

from audit.models import AuditEntry
from jobs.models import Batch, BatchChunk
from jobs.tests import making
from setactions.batches.tests.commanding import GO, command, go_on, sent
from setactions.inputs.csv_table import read_table
from setactions.tms.clusters import cluster_named
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import text_of

CIDS = ["1000003", "1000053", "#N/A", "TRUE", "1000073", "1000083"]
UNASKED = "Some of its ids look damaged, and nobody gave their word for them when this batch was made."


@pytest.fixture
def before(tms, olivia):
    """Make a paused batch of three chunks, of which one holds damaged ids, with or without the word for them."""

    def make(*, allow_unusual=False):
        batch = making.make_batch(
            cids=CIDS, size=2, clusters=(cluster_named("evian3").origin,), allow_unusual=allow_unusual
        )
        Batch.objects.filter(pk=batch.pk).update(state=Batch.State.PAUSED)
        return Batch.objects.get(pk=batch.pk)

    return make


def said():
    bodies = [json.loads(entry.body) for entry in AuditEntry.objects.filter(kind="INTENT")]
    return {tuple(body["cids"]): body.get("allow_unusual") for body in bodies}


@pytest.mark.parametrize("verb", ["resume", "rest"])
def test_the_page_does_not_go_on_with_it_and_says_what_to_do(before, operator, tms, engine_at_rest, verb):
    batch = before()
    page = operator.post(f"/batches/{batch.batch_id}/{verb}/", {"token": TOKEN})
    engine_at_rest()
    assert (page.status_code, sent(tms)) == (409, {})
    assert f"Nothing was sent. {UNASKED} Make a new batch of the customers that are left" in text_of(page)


def test_a_batch_whose_left_chunks_are_sound_goes_on(before, operator, tms, engine_at_rest):
    batch = before()
    BatchChunk.objects.filter(batch=batch, number=1).update(state=BatchChunk.State.ACCEPTED)
    operator.post(f"/batches/{batch.batch_id}/resume/", {"token": TOKEN})
    engine_at_rest()
    assert sent(tms) == dict.fromkeys(CIDS[:2] + CIDS[4:], 1)


def test_a_runner_refuses_their_chunk_and_sends_the_others(before, run, tms):
    after = run(before())
    states = list(BatchChunk.objects.order_by("number").values_list("state", flat=True))
    assert states == ["accepted", "refused", "accepted"]
    assert UNASKED in BatchChunk.objects.get(number=1).message
    assert (after.state, sent(tms)) == (Batch.State.DONE, dict.fromkeys(CIDS[:2] + CIDS[4:], 1))


def test_the_command_sends_them_on_its_users_word_which_the_audit_keeps(ready, tms, fleet, monkeypatch):
    file = fleet(CIDS)
    tms.script("fault:unauthorized")
    with monkeypatch.context() as old:
        old.setattr("setactions.batches.options.read_table", lambda *a, **k: _unasked(read_table(*a, **k)))
        ended = command(file, *GO, "--allow-unusual")
    assert not Batch.objects.get().allow_unusual
    assert go_on(file, ended, monkeypatch).code == 1  # its list is refused
    assert go_on(file, ended, monkeypatch, "--allow-unusual").code == 0
    assert set(said().values()) == {None, True}
    assert said()["#N/A", "TRUE"] is True


def _unasked(table):
    table.allow_unusual = False
    return table


def test_a_batch_with_the_word_goes_on_and_its_page_says_so(before, operator, tms, engine_at_rest):
    batch = before(allow_unusual=True)
    assert "6 customers in 3 chunks; with ids that look damaged" in text_of(operator.get(f"/batches/{batch.batch_id}/"))
    operator.post(f"/batches/{batch.batch_id}/resume/", {"token": TOKEN})
    engine_at_rest()
    assert sent(tms) == dict.fromkeys(CIDS, 1)
    assert said()["#N/A", "TRUE"] is True
