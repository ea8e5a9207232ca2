"""Jobs and batches for tests, made by the services that make them in production."""

import uuid

from django.utils import timezone

from audit.choices import Action, Evidence
from audit.customer_index import add_customers
from audit.models import Attempt
from jobs.batches.creation import create_batch
from jobs.batches.lists import NewBatch, NewChunk
from jobs.models import Job
from jobs.services import AcceptedAttempt, create_job
from tmsdash.db.transactions import write_transaction

CLUSTER = "https://evian3.example"
ANSWER = {"message": "Sending action to migration services", "success": True}


def accepted(
    *,
    cids=("b2", "a1"),
    action=Action.PE_ENABLE,
    action_sent=None,
    job_id=None,
    user_id="olivia",
    batch_id=None,
    cluster_url=CLUSTER,
    source="",
    response_summary=ANSWER,
    http_status=200,
    created_at=None,
    evidence=Evidence.REPLY,
):
    """What a job of olivia's is made from, PE-Enable for two customers, or what is said instead."""
    intent = {
        "action_code": action.value,
        "action_name": action.label,
        "action_sent": action_sent or action.label,
        "batch_id": str(batch_id) if batch_id else None,
        "cids": tuple(cids),
        "cluster_url": cluster_url,
        "source": source,
    }
    return AcceptedAttempt(
        attempt_id=job_id or uuid.uuid4(),
        user_id=user_id,
        intent=intent,
        answer={"data": response_summary, "http_status": http_status},
        evidence=evidence,
        accepted_at=created_at,
    )


def make_job(*, indexed=False, **changes):
    """A job; `indexed` adds the attempt's row and customers, by which the audit finds it."""
    with write_transaction("jobs"):
        job = create_job(accepted(**changes))
    if indexed:
        facts = {"action_code": job.action_code, "cluster_url": job.cluster_url, "customer_count": len(job.cids)}
        times = {"created_at": changes.get("created_at") or timezone.now(), "is_open": False}
        attempt = Attempt.objects.create(
            attempt_id=job.job_id, user_id=job.user_id, outcome="accepted", **facts, **times
        )
        add_customers(attempt.pk, job.cids)
    return Job.objects.get(job_id=job.job_id)


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
    facts = {"batch_id": uuid.uuid4(), "file_name": "fleet.csv", "chunks": chunks} | changes
    # Those of one test may share customers.
    return create_batch(facts.pop("user_id", "olivia"), NewBatch(**facts), covers=lambda *_: True)[0]
