"""How many queries pages take: a dozen at most, however many rows they show, and whatever these wait for."""

import uuid

import pytest

from audit.choices import Kind
from audit.tests.making import make_attempt
from jobs.models import BatchChunk
from jobs.tests.making import make_batch, make_job
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import counted_queries

pytestmark = pytest.mark.usefixtures("databases")

MOST = 12
ROWS = 51  # a page, and one


@pytest.fixture
def client(olivia):
    return signed_in(olivia)


def queries_of(client, path):
    client.get(path)  # the first page of a session is a note of its use, too
    with counted_queries() as queries:
        answer = client.get(path)
    assert answer.status_code == 200
    return queries


def test_the_list_of_jobs_takes_a_dozen(client):
    for _ in range(ROWS):
        make_job(job_id=make_attempt(Kind.UNKNOWN).attempt_id)
    assert len(queries_of(client, "/jobs/")) <= MOST


def batches_in_doubt(count):
    """Batches of two chunks whose outcome is not known."""
    batches = [make_batch(batch_id=uuid.uuid4(), cids=[f"{number}a", f"{number}b"], size=1) for number in range(count)]
    for batch in batches:
        for chunk in batch.chunks.all():
            make_attempt(Kind.UNKNOWN, attempt_id=chunk.derived_attempt_id, cids=tuple(chunk.cids))
    BatchChunk.objects.update(state=BatchChunk.State.UNKNOWN)
    return batches


def test_the_list_of_batches_takes_a_dozen_even_if_all_are_in_doubt(client):
    batches_in_doubt(ROWS)
    queries = [query["sql"] for query in queries_of(client, "/batches/")]
    assert len(queries) <= MOST
    assert not [sql for sql in queries if "audit_auditentry" in sql or '"cids"' in sql]


def test_the_page_of_a_batch_takes_a_dozen(client):
    [batch] = batches_in_doubt(1)
    assert len(queries_of(client, f"/batches/{batch.batch_id}/")) <= MOST


@pytest.mark.parametrize("path", ["/", "/jobs/{}/", "/attempts/{}/", "/customers/a1/"])
def test_other_pages_take_a_dozen(client, path):
    attempt = make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=("a1",))
    make_job(job_id=attempt.attempt_id, cids=("a1",))
    assert len(queries_of(client, path.format(attempt.attempt_id))) <= MOST
