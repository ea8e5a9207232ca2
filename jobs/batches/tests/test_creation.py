"""New batches: what is written of a list that is cut into chunks, and what tells two lists apart."""

import uuid

import pytest

from audit.choices import Action
from jobs.batches.lists import ListDigest, NewChunk
from jobs.models import BatchChunk
from jobs.tests.making import CLUSTER, make_batch
from tmsdash.tests.tools import at_once

pytestmark = pytest.mark.usefixtures("databases")
CIDS = [f"c{number}" for number in range(8)]
OTHER = "https://brooke.example"


def test_the_same_id_again_is_the_same_batch():
    batch_id = uuid.uuid4()
    first, second = make_batch(batch_id=batch_id, cids=CIDS), make_batch(batch_id=batch_id, cids=["x"])
    assert (first.pk, first.customer_count) == (second.pk, 8)
    assert BatchChunk.objects.count() == 4


def test_of_two_that_are_written_at_once_one_is_new():
    batch_id = uuid.uuid4()
    made = at_once(4, lambda _: make_batch(batch_id=batch_id, cids=CIDS))
    assert len({batch.pk for batch in made}) == 1
    assert BatchChunk.objects.count() == 4


def test_it_sums_up_what_its_chunks_ask_for():
    one = make_batch(cids=CIDS, size=3)
    assert (one.customer_count, one.chunk_count, one.cluster_url, one.action_code) == (8, 3, CLUSTER, 2)
    several = make_batch(cids=CIDS, clusters=(CLUSTER, OTHER), actions=(Action.PE_ENABLE, Action.T_ENABLE))
    assert (several.customer_count, several.cluster_url, several.action_code) == (32, "", None)


def new_chunk(cids, cluster=CLUSTER, action=2):
    return NewChunk(cluster_url=cluster, action_code=action, action_sent="PE-Enable", cids=cids)


def test_the_digest_tells_lists_apart_however_they_are_cut():
    whole = str(ListDigest([new_chunk(CIDS)]))
    assert str(ListDigest([new_chunk(CIDS[:3]), new_chunk(CIDS[3:])])) == whole
    others = [
        [new_chunk(CIDS[:-1])],
        [new_chunk(CIDS[::-1])],
        [new_chunk(CIDS, cluster=OTHER)],
        [new_chunk(CIDS, action=3)],
        [new_chunk(CIDS[:3]), new_chunk(CIDS[3:], action=3)],
        [new_chunk(["c0c1", *CIDS[2:]])],
    ]
    assert whole not in {str(ListDigest(chunks)) for chunks in others}
