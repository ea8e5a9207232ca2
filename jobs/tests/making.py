"""Jobs for tests, made by the service that makes them in production."""

import uuid

from audit.models import Action
from jobs.services import create_job
from tmsdash.databases import write_transaction

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
