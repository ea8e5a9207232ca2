"""Jobs and batches for tests, made by the services that make them in production."""

import uuid

from audit.choices import Action
from jobs.batches.creation import NewChunk, create_batch
from jobs.services import create_job
from tmsdash.db.transactions import write_transaction

CLUSTER = "https://evian3.example"
ANSWER = {"message": "Sending action to migration services", "success": True}


def values(*, cids=("b2", "a1"), action=Action.PE_ENABLE, **changes):
    """What a job of olivia's is made from, PE-Enable for two customers, or what `changes` say."""
    defaults = {
        "job_id": uuid.uuid4(),
        "user_id": "olivia",
        "batch_id": None,
        "action_code": action.value,
        "action_name": action.label,
        "cluster_url": CLUSTER,
        "request_payload": {"action": action.label, "cids": list(cids)},
        "response_summary": ANSWER,
        "http_status": 200,
        "cids": tuple(cids),
    }
    return defaults | changes


def make_job(**changes):
    with write_transaction("jobs"):
        return create_job(**values(**changes))


def make_batch(*, cids=("c0", "c1", "c2"), size=2, clusters=(CLUSTER,), actions=(Action.PE_ENABLE,), **changes):
    """A batch of olivia's, for each of `clusters` and `actions` the `cids` in chunks of `size`, or as `changes` say."""
    chunks = [
        NewChunk(
            cluster_url=cluster, action_code=action.value, action_sent=action.label, cids=cids[start : start + size]
        )
        for cluster in clusters
        for action in actions
        for start in range(0, len(cids), size)
    ]
    defaults = {
        "batch_id": uuid.uuid4(),
        "user_id": "olivia",
        "file_name": "fleet.csv",
        "repeated": 0,
        "chunks": chunks,
    }
    return create_batch(**(defaults | changes))[0]
