"""Many look at the states of a cluster at once, on the several processes of a server: TMS is read once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from setactions.operations.tests.test_serve import serving
from setactions.operations.tests.test_workers import FLEET, resident_mb, workers_of
from setactions.resolving.tests.doubting import reads, tms_does
from tmsdash.server.tests.test_watchdog import signed_in as signed_in_over_http
from tmsdash.tests.tools import until

pytestmark = [pytest.mark.sqlite, pytest.mark.linux]
VIEWERS = 20
MOST_MB = 150  # of a worker
ESTABLISHED = "01"


def connected(process):
    """How many connections the server has of clients."""
    port = f":{int(process.url.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(local.endswith(port) and state == ESTABLISHED for _, local, _, state, *_ in rows)


def test_twenty_viewers_on_two_processes_cause_one_read_of_a_whole_fleet(tmp_path, running_simulator):
    running_simulator.reset()
    tms_does(running_simulator, "PE-Enable", *[f"c{number:031}" for number in range(FLEET)])
    environment = {"WEB_WORKERS": "2", "TMS_CLUSTERS": f"evian3={running_simulator.url}"}
    with serving(tmp_path, **environment) as (process, _), ThreadPoolExecutor(VIEWERS) as crowd:
        until(lambda: len(workers_of(process)) == 2)
        operator = signed_in_over_http(process.url, tmp_path)
        cookies, headers = operator.cookies.get_dict(), {"X-CSRFToken": operator.cookies["csrftoken"]}
        operator.close()

        def view(number):
            form = {"token": f"fault:slow:{3600 + number}"}  # a token for each
            url = f"{process.url}/status/evian3/read/"
            return requests.post(url, data=form, headers=headers, cookies=cookies, timeout=120)

        answers = [crowd.submit(view, number) for number in range(VIEWERS)]
        try:
            until(lambda: reads(running_simulator) and connected(process) >= VIEWERS)
        finally:
            running_simulator.release()
        pages = [answer.result() for answer in answers]
        assert {page.status_code for page in pages} == {200}
        assert all(f"<strong>{FLEET:,}</strong>" in page.text for page in pages)
        assert reads(running_simulator) == [("ALL",)]
        assert max(resident_mb(worker)[1] for worker in workers_of(process).values()) < MOST_MB
