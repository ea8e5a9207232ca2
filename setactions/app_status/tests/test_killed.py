"""A process that is killed in the middle of a run."""

import os
import signal
import subprocess
import sys

import pytest

from jobs.app_status import ledger
from jobs.models import AppRun, AppRunCustomer
from setactions.app_status.tests.running import READS, now, reads
from setactions.resolving.tests.doubting import environment_of_process
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of, until

pytestmark = pytest.mark.usefixtures("databases")
CUSTOMERS = [f"c{number}" for number in range(60)]
CARRY = """
import sys
import django
django.setup()
from jobs.app_status import ledger
from jobs.models import AppRun
from setactions.app_status.runner import Runner
from setactions.token import Token
runner, run = Runner("olivia", Token(sys.argv[1])), AppRun.objects.get()
assert ledger.lease(run, runner.name, 600)
runner.carry(run)
"""


def test_a_process_that_is_killed_leaves_a_run_that_says_so_and_reads_nobody_twice(
    olivia, tms, settings, app_threads_at_rest
):
    run = ledger.create(
        user_id="olivia",
        cluster_url=tms.url,
        selection="a pasted list",
        cids=CUSTOMERS,
        job_id=None,
        runner="",
        lease_s=0,
    )
    environment = environment_of_process(tms, settings.VAR_DIR) | {"DJANGO_SETTINGS_MODULE": "tmsdash.settings"}
    # Slow enough to be killed in the middle: some eight reads a second.
    environment |= {"TMS_READS_PER_MINUTE": "1000", "TMS_BATCH_LEASE_S": "600"}
    process = subprocess.Popen([sys.executable, "-c", CARRY, TOKEN], cwd=settings.BASE_DIR, env=environment)
    try:
        tms.wait_for(lambda calls: sum(call.path == READS for call in calls) >= 4, 120)
        until(lambda: AppRunCustomer.objects.filter(state="read").count() >= 3)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    kept = set(AppRunCustomer.objects.filter(state="read").values_list("cid", flat=True))
    assert 3 <= len(kept) < len(CUSTOMERS)
    assert now(run).state == AppRun.State.RUNNING  # nobody could say anything else
    client = signed_in(olivia)
    assert "Stopped The process that carried it is gone" in text_of(client.get(f"/apps/{run.run_id}/"))
    settings.TMS_READS_PER_MINUTE = 1_000_000
    before = len(reads(tms))
    assert client.post(f"/apps/{run.run_id}/resume/", {"token": TOKEN}).status_code == 302
    app_threads_at_rest()
    assert now(run).state == AppRun.State.DONE
    assert set(reads(tms)[before:]) == set(CUSTOMERS) - kept
    assert len(reads(tms)) - before == len(CUSTOMERS) - len(kept)
