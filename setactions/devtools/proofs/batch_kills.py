"""The proof for batches: fleets whose command or server is killed at a random moment, and which are then resumed."""

import random
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import Popen
from typing import Any

import psycopg
import requests

from setactions.devtools.proofs.campaign import Remains
from setactions.devtools.proofs.clients import MAIN, TIMEOUT_S
from setactions.devtools.proofs.reconciler import TOKEN, read_report, start_reconcile
from setactions.devtools.proofs.site import (
    OPEN_AFTER_S,
    PASSWORD,
    USER,
    ProofError,
    Server,
    Site,
    kill,
    new_session,
    wait_for,
)
from setactions.devtools.simulator import Simulator

CUSTOMERS, CHUNK = 40, 4
CHUNKS = CUSTOMERS // CHUNK
CALLS_AT_ONCE = 2
LATENCY_S = 0.05
LOG = "fleets"
ACTION = "PE-Enable"
# What TMS does to one call of each fleet, besides the kill.
FAULTS = ("", "", "fault:http:429:0", "fault:reset-after", "fault:reset-before", "fault:http-applied:500")
ENDED = (0, 2, 3)  # exit codes: all accepted, some not, some unknown


@dataclass(frozen=True)
class Fleet:
    """Customers of one batch, and who carries it: the command or the server."""

    batch_id: str
    cids: Sequence[str]
    file: Path
    by_command: bool


def run_batch_kills(folder: Path, *, kills: int, seed: int, say: Callable[[str], None], server: str = "") -> Remains:
    """Kill, `kills` times, the command or the server that carries a fleet, by turns; go on, reconcile, and go on again.

    `folder` is empty, `say` gets a line now and then. Whatever is started is gone afterwards. Raise ProofError if
    something cannot be brought up, or does not end as it may.
    """
    rng = random.Random(f"{seed} fleets")  # noqa: S311 (repeatable, not secret)
    with ExitStack() as stack:
        tms = stack.enter_context(Simulator(latency_s=LATENCY_S))
        settings = {"TMS_BATCH_CHUNK": CHUNK, "TMS_MAX_CIDS_PER_CALL": CHUNK, "TMS_BATCH_CALLS": CALLS_AT_ONCE}
        site = stack.enter_context(Site(folder, {MAIN: tms.url}, server, **settings))
        site.set_up()
        operator = Operator(site, tms, rng)
        say("One server is up.")
        fleets = []
        for number in range(kills):
            tms.script(rng.choice(FAULTS))
            carry = operator.kill_command if number % 2 == 0 else operator.kill_server
            fleets.append(carry())
            say(f"{number + 1:,} of {kills:,} kills")
        time.sleep(OPEN_AFTER_S + 0.5)  # reconcile goes by the age of attempts; there is no event to wait for
        reports = [read_report(site, start_reconcile(site, with_token=True)) for _ in range(2)]
        for fleet in fleets:
            operator.run_rest(fleet)
        say("Reconciled, and resumed with what was found not applied.")
        operator.server.kill()
        # What the server recorded last may have waited for a group of the audit: its Job is there, and closes it.
        reports.append(read_report(site, start_reconcile(site, with_token=True)))
        facts = operator.facts | {"kills": kills, "closed by reconcile": sum(report.closed for report in reports)}
        customers = [cid for fleet in fleets for cid in fleet.cids]
        surprises = site.audit_problems()
        site.leave_files()
        return Remains(folder, tms.calls(), [], facts, surprises, reports[-1], customers)


class Operator:
    """Somebody who moves fleets by the command and on the pages of a site with one server, and kills both."""

    def __init__(self, site: Site, tms: Simulator, rng: random.Random) -> None:
        self.facts: Counter[str] = Counter()
        self._site, self._tms, self._random = site, tms, rng
        self.server = Server(site, 1)
        self.server.wait_until_healthy()
        self._session = new_session()
        self.request("GET", "/login/")
        self.request("POST", "/login/", username=USER, password=PASSWORD)

    def kill_command(self) -> Fleet:
        """Start a fleet by the command, kill that, and start it again."""
        fleet = self._new_fleet(str(uuid.UUID(int=self._random.getrandbits(128), version=4)), by_command=True)
        calls = len(self._tms.calls())
        process = self._start_command(fleet)
        self._await_moment(calls, lambda: process.poll() is not None)
        self.facts["commands killed"] += process.poll() is None
        kill(process)
        process.communicate()  # closes the pipe
        self._run_command(fleet)
        return fleet

    def _start_command(self, fleet: Fleet) -> "Popen[str]":
        named = {"user": USER, "cluster": MAIN, "action": ACTION, "batch-id": fleet.batch_id}
        options = [f"--{name}={value}" for name, value in named.items()]
        return self._site.spawn(
            *(LOG, "set_action_batch", str(fleet.file), *options, "--yes", "--json", "--no-check"),
            piped=True,
            TMS_TOKEN=TOKEN,
        )

    def _run_command(self, fleet: Fleet) -> None:
        process = self._start_command(fleet)
        output, _ = process.communicate(timeout=TIMEOUT_S * 2)
        if process.returncode not in ENDED:
            raise ProofError(f"The command ended with {process.returncode}: {output} {self._site.log(LOG)}")

    def kill_server(self) -> Fleet:
        """Start a fleet on the pages, kill the server, start it again, and go on."""
        calls = len(self._tms.calls())
        fleet = self.start_on_pages()
        self._await_moment(calls, lambda: not self.is_carried(fleet))
        self.facts["servers killed in a batch"] += self.is_carried(fleet)
        self.server.kill()
        self.server.start()
        self.server.wait_until_healthy()
        self.go_on(fleet, "resume")
        return fleet

    def start_on_pages(self, customers: int = CUSTOMERS) -> Fleet:
        """Review a new fleet on the pages, and start it."""
        fleet = self._new_fleet("", customers, by_command=False)
        started = self.send("start", *self.review(fleet.cids))
        if started.status_code != 302:
            raise ProofError(f"The batch was not started: HTTP {started.status_code}: {started.text[:500]}")
        return replace(fleet, batch_id=started.headers["Location"].strip("/").rpartition("/")[2])

    def review(self, cids: Sequence[str]) -> tuple[str, dict[str, str]]:
        """Return the address of the review of a list, and what its page hides."""
        kept = self.request("POST", "/review/", cluster=MAIN, action=ACTION, token=TOKEN, cids="\n".join(cids))
        address = kept.headers["Location"]
        page = self.request("GET", address)
        return address, dict(re.findall(r'name="(shown)"\s+value="([^"]*)"', page.text))

    def send(self, step: str, address: str, fields: dict[str, str]) -> requests.Response:
        """Press the button of a review that sends it, or starts it as a batch."""
        return self.request("POST", f"{address}{step}/", **fields)

    def run_rest(self, fleet: Fleet) -> None:
        """Run what turned out not to be applied."""
        if fleet.by_command:
            self._run_command(fleet)
        else:
            self.go_on(fleet, "rest")

    def go_on(self, fleet: Fleet, how: str) -> None:
        """Press "resume" or "rest" on its page, and wait until it ends."""
        answer = self.request("POST", f"/batches/{fleet.batch_id}/{how}/", token=TOKEN)
        if answer.status_code != 302:
            raise ProofError(f"{how}: HTTP {answer.status_code}: {answer.text[:500]}")
        wait_for(lambda: not self.is_carried(fleet), f"Batch {fleet.batch_id} did not end")

    def is_carried(self, fleet: Fleet) -> bool:
        """Tell whether the ledger names somebody who carries it."""
        try:
            return self._is(fleet, "runner <> ''")
        except psycopg.OperationalError:  # PostgreSQL is being restarted
            return True

    def reason_to_stop(self, fleet: Fleet) -> str | None:
        """Return why it ended before everything was sent; None if all was."""
        batch_id = _digits(fleet.batch_id)
        [[state, reason]] = self.read(f"SELECT state, reason FROM jobs_batch WHERE batch_id = '{batch_id}'")  # noqa: S608
        return str(reason) if state == "stopped" else None

    def _is(self, fleet: Fleet, condition: str) -> bool:
        batch_id = _digits(fleet.batch_id)
        return bool(self.read(f"SELECT {condition} FROM jobs_batch WHERE batch_id = '{batch_id}'")[0][0])  # noqa: S608

    def read(self, query: str) -> list[Any]:
        """Return the rows of a query of the database of jobs."""
        with closing(self._site.open_jobs()) as jobs:
            return [*jobs.execute(query).fetchall()]

    def start_app_run(self, cids: Sequence[str]) -> str:
        """Let the apps of these customers be read, and return the id of the run."""
        started = self.request("POST", "/apps/start/", cluster=MAIN, token=TOKEN, cids="\n".join(cids))
        if started.status_code != 302:
            raise ProofError(f"The app status run was not started: HTTP {started.status_code}: {started.text[:500]}")
        return started.headers["Location"].strip("/").rpartition("/")[2]

    def problems_of_app_run(self, run_id: str) -> list[str] | None:
        """Return what is wrong with a run that is over; None if it is not. Each customer is read, and kept, once."""
        condition = f"run_id = (SELECT id FROM jobs_apprun WHERE run_id = '{_digits(run_id)}')"  # noqa: S608
        run = f"SELECT state, reason, runner FROM jobs_apprun WHERE run_id = '{_digits(run_id)}'"  # noqa: S608
        try:
            [[state, reason, runner]] = self.read(run)
            rows = self.read(f"SELECT id, state FROM jobs_appruncustomer WHERE {condition}")  # noqa: S608
            apps = self.read(f"SELECT customer_id, app_name FROM jobs_appstatus WHERE {condition}")  # noqa: S608
        except psycopg.OperationalError:  # PostgreSQL is being restarted
            return None
        if runner:
            return None
        problems = [] if state == "done" else [f"app status run {run_id} is {state}: {reason}"]
        problems += [f"app status run {run_id}: customer {pk} is {state}" for pk, state in rows if state != "read"]
        twice = [app for app, count in Counter(map(tuple, apps)).items() if count > 1]
        return problems + [f"app status run {run_id}: {app} was written twice" for app in twice]

    def request(self, method: str, path: str, **form: str) -> requests.Response:
        """Return the server's answer to a form; redirects are not followed."""
        self._session.headers["X-CSRFToken"] = self._session.cookies.get("csrftoken") or ""
        url = self.server.url + path
        return self._session.request(method, url, data=form, timeout=TIMEOUT_S, allow_redirects=False)

    def new_cids(self, count: int) -> list[str]:
        """Return customers whom nobody has asked for."""
        return [f"{self._random.getrandbits(128):032x}" for _ in range(count)]

    def _new_fleet(self, batch_id: str, customers: int = CUSTOMERS, *, by_command: bool) -> Fleet:
        cids = self.new_cids(customers)
        file = self._site.folder / f"fleet-{cids[0]}.csv"
        file.write_text("\n".join(["customer_id", *cids]))
        return Fleet(batch_id, cids, file, by_command)

    def _await_moment(self, calls: int, is_over: Callable[[], bool]) -> None:
        """Wait until so many more calls have come as chance wants, and a little longer; or until it is over."""
        number = self._random.randrange(CHUNKS)
        wait_for(lambda: len(self._tms.calls()) - calls >= number or is_over(), "No calls came")
        time.sleep(self._random.uniform(0, 2 * LATENCY_S))  # any moment of a call, or between two


def _digits(identifier: str) -> str:
    """Return an id as digits, which need no quoting and fit both engines."""
    return uuid.UUID(identifier).hex
