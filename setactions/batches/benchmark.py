"""What a batch costs beside the bare calls: `manage.py bench batch`."""

import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setactions.measuring import FLEET, compare, report

CALL_S = 0.3  # the quickest that TMS was ever seen
LIMIT = 1.15
USER = "bench"


def batch() -> bool:
    """Compare the command, as a process of its own, with a loop of the same calls that records nothing."""
    import requests
    from django.conf import settings
    from django.contrib.auth.models import User

    from setactions.simulator import Simulator

    User.objects.create_superuser(USER)
    size, workers = settings.TMS_BATCH_CHUNK, settings.TMS_BATCH_CALLS
    file = Path(settings.VAR_DIR) / "fleet.csv"
    with Simulator(latency_s=CALL_S) as tms, requests.Session() as session:
        options = {"user": USER, "cluster": "bench", "action": "PE-Enable", "confirm": FLEET}
        command = [sys.executable, "manage.py", "set_action_batch", str(file), "--yes", "--json"]
        command += [f"--{name}={value}" for name, value in options.items()]
        environment = os.environ | {"TMS_CLUSTERS": f"bench={tms.url}", "TMS_TOKEN": "bench"}

        def new_list() -> None:
            file.write_text("".join(f"{uuid.uuid4().hex}\n" for _ in range(FLEET)))

        def ours() -> None:
            subprocess.run(command, env=environment, cwd=settings.BASE_DIR, capture_output=True, check=True)  # noqa: S603

        def call(cids: list[str]) -> None:
            answer = session.post(
                f"{tms.url}/tms/v1/set/action",
                json={"action": "PE-Enable", "cids": cids},
                headers={"Authorization": "Bearer bench"},
                timeout=30,
            )
            answer.raise_for_status()

        def bare() -> None:
            cids = file.read_text().split()
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(call, [cids[start : start + size] for start in range(0, FLEET, size)]))

        ratio, ours_ms, floor_ms = compare(ours, bare, before=new_list)
    what = f"a batch of {FLEET:,} customers, {size} a call, {workers} calls at once of {CALL_S:g} s"
    report("batch", what, ours_ms, "the bare calls", floor_ms, ratio, LIMIT)
    return ratio <= LIMIT
