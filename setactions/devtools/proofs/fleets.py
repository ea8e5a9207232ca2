"""What the judge says of fleets, customer by customer. It shares no code with what it judges."""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path

from setactions.devtools.proofs.evidence import open_read_only
from setactions.devtools.simulator import Call

FLEET_KINDS = {
    "twice": "a customer to whom TMS applied the action more than once",
    "left_out": "a customer to whom TMS did not apply it, and who is not listed as unknown",
    "unfiled": "a Job without the id of its batch",
}


def judge_fleets(customers: Collection[str], calls: Iterable[Call], jobs_file: Path) -> dict[str, list[str]]:
    """Return a sentence for each case of FLEET_KINDS; each customer is to get one action, by one call."""
    applied = Counter(cid for call in calls if call.applied for cid in call.cids)
    with closing(open_read_only(jobs_file)) as jobs:
        chunks = jobs.execute("SELECT cids FROM jobs_batchchunk WHERE state IN ('unknown', 'calling')")
        unknown = {cid for (cids,) in chunks for cid in json.loads(cids)}
        unfiled = [f"job {job_id}" for (job_id,) in jobs.execute("SELECT job_id FROM jobs_job WHERE batch_id IS NULL")]
    return {
        "twice": [f"customer {cid}: {applied[cid]} times" for cid in customers if applied[cid] > 1],
        "left_out": [f"customer {cid}" for cid in customers if not applied[cid] and cid not in unknown],
        "unfiled": unfiled,
    }
