"""What a runner of app status runs does, against the simulator over real HTTP, on a clock that waits for nobody."""

from itertools import pairwise

import pytest
import requests
from django.contrib.auth.models import User

from jobs.app_status import ledger
from jobs.app_status.selectors import next_customer, summary_of
from jobs.app_status.statuses import health_of
from jobs.live import pace
from jobs.models import AppRun, AppRunCustomer, AppStatus, LiveCluster
from setactions.app_status import runner as runner_module
from setactions.app_status.reader import Reader
from setactions.app_status.tests.running import READS, counts, now, reads
from setactions.token import Token
from tmsdash.db import clock as database_clock
from tmsdash.tests.fixtures import TOKEN

pytestmark = pytest.mark.usefixtures("databases")
State = AppRun.State
CUSTOMERS = [f"c{number}" for number in range(500)]


@pytest.fixture
def taken(clock, monkeypatch):
    """When a cluster was read, in seconds of the clock; reads that were put off are not among them."""
    times = []
    take_read = pace.take_read

    def noted(*args):
        wait_s = take_read(*args)
        if not wait_s:
            times.append(clock.now)
        return wait_s

    monkeypatch.setattr("setactions.reads.take_read", noted)
    return times


def shown_by(tms, cid):
    """What TMS shows of the apps of a customer, read past the product."""
    address = f"{tms.url}{READS}?app=ALL&cid={cid}"
    apps = requests.get(address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30).json()
    return {(app["app_name"], app["status"], app.get("reason", "")) for app in apps}


def most_within(times, seconds):
    """How many of these times lie within so many seconds at most."""
    return max(sum(start <= at < start + seconds for at in times) for start in times)


def test_500_customers_are_read_politely_though_every_third_read_is_one_too_many(carry, clock, taken, tms, settings):
    settings.TMS_READS_PER_MINUTE = 60
    run = carry(*CUSTOMERS, token="fault:every:3:http:429:7")
    assert (run.state, run.reason, run.runner) == (State.DONE, "", "")
    assert sum(counts(run).values()) == sum(counts(run)[code] for code in ("ready", "failure", "unsettled")) == 500
    # At the polite rate: half of the reads that the cluster bears, spread over the minute, and each Retry-After obeyed.
    assert len(taken) == len(reads(tms)) == 749
    assert most_within(taken, 60) <= 30
    assert min(later - earlier for earlier, later in pairwise(taken)) >= 2
    assert all(later - earlier >= 7 for earlier, later in list(pairwise(taken))[2::3])
    # No wrong state: all that was kept is what TMS shows, and nothing else.
    kept = {}
    for cid, *app in AppStatus.objects.values_list("customer__cid", "app_name", "status", "reason"):
        kept.setdefault(cid, set()).add(tuple(app))
    assert kept == {cid: shown_by(tms, cid) for cid in CUSTOMERS}
    for customer in AppRunCustomer.objects.all():
        assert (customer.health, customer.problem) == (health_of(status for _, status, _ in kept[customer.cid]), "")


def test_a_run_leaves_room_for_other_readers(begin, clock, settings, tms):
    settings.TMS_READS_PER_MINUTE = 10
    run, runner = begin("a1", "b2", "c3")
    for _ in range(5):  # somebody else has read half of what the cluster bears
        assert pace.take_read(tms.url, settings.TMS_READS_PER_MINUTE) == 0
    began_at = clock.now
    runner.carry(run)
    assert reads(tms) == ["a1", "b2", "c3"]
    assert clock.now - began_at >= 60
    assert pace.take_read(tms.url, settings.TMS_READS_PER_MINUTE) == 0  # which there is room for


def test_runs_of_a_cluster_share_their_half(begin, clock, taken, settings, tms):
    settings.TMS_READS_PER_MINUTE = 10
    runners = [begin(*[f"{letter}{number}" for number in range(6)]) for letter in "ab"]
    readers = {run: Reader(run, runner.name, Token(TOKEN)) for run, runner in runners}
    while unfinished := [reader for run, reader in readers.items() if next_customer(run)]:
        clock.now += min(reader.step() for reader in unfinished)  # as two processes would, in turns
    assert len({*reads(tms)}) == len(taken) == 12
    assert most_within(taken, 60) == 5


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("http:404", "HTTP 404 without a message."),
        ("http:500", "HTTP 500 without a message."),
        ("html", "TMS's answer was not JSON."),
        ("half-body", "TMS's answer was cut short"),
        ("null", "TMS's answer is not a list of apps"),
        ("empty-object", "TMS's answer is not a list of apps"),
        ("empty-list", "TMS listed no apps for this customer."),
    ],
)
def test_a_customer_whose_reads_fail_could_not_be_read_and_has_no_state(carry, tms, fault, problem):
    run = carry("a1", "b2", token=f"fault:{fault}")
    assert (run.state, counts(run)) == (State.DONE, {"failed": 2})
    assert reads(tms) == ["a1", "b2"] * 3
    assert problem in run.customers.first().problem
    assert not AppStatus.objects.exists()


def test_a_read_that_failed_is_made_again_later_and_shows_its_reason_until_then(begin, clock, tms):
    run, runner = begin("a1", "b2", "c3", token="fault:every:2:http:500")
    shown = []
    clock.on_wait = lambda: shown.extend(run.customers.exclude(problem="").values_list("cid", "state", "problem"))
    runner.carry(run)
    assert reads(tms) == ["a1", "b2", "c3", "b2", "b2"]
    assert set(shown) == {("b2", "waiting", "HTTP 500 without a message.")}
    assert summary_of(run).read == 3


def test_a_cluster_that_fails_again_and_again_is_left_alone(carry, go_on, tms):
    run = carry(*CUSTOMERS[:30], token="fault:http:503:0")
    assert (run.state, counts(run), len(reads(tms))) == (State.STOPPED, {"waiting": 30}, 20)
    assert run.reason == "20 reads in a row failed, the last one like this: HTTP 503 without a message. Go on later."
    assert go_on(run).state == State.DONE
    assert len(reads(tms)) == 50


@pytest.mark.parametrize("fault", ["unauthorized", "http:403"])
def test_a_token_that_is_not_taken_stops_the_run_with_the_reason(carry, go_on, tms, fault):
    run = carry("a1", "b2", token=f"fault:{fault}")
    assert (run.state, counts(run), len(reads(tms))) == (State.STOPPED, {"waiting": 2}, 1)
    assert run.reason.startswith("evian3 could not be read: ")
    assert run.reason.endswith("Use a token that is valid there. Then go on.")
    assert go_on(run).state == State.DONE


def test_a_runner_that_died_is_followed_by_one_that_reads_nobody_twice(begin, clock, go_on, tms, settings):
    run, runner = begin(*CUSTOMERS[:9])
    reader = Reader(run, runner.name, Token(TOKEN))
    while len(reads(tms)) < 4:
        clock.now += reader.step()
    runner._mark.take_down()  # as when its process is killed: the lease is still its own
    assert now(run).has_runner
    after = go_on(run)
    assert (after.state, sum(counts(after).values())) == (State.DONE, 9)
    assert reads(tms) == CUSTOMERS[:9]


def test_a_runner_that_was_not_dead_after_all_changes_nothing_of_what_another_one_read(begin, go_on, clock, tms):
    run, runner = begin("a1")
    customer = run.customers.get()
    runner._mark.take_down()
    go_on(run)
    apps = [*AppStatus.objects.values_list("pk", flat=True)]
    Reader(run, runner.name, Token(TOKEN))._read_next(run, customer, database_clock.now("jobs"))
    assert len(reads(tms)) == 2
    assert [*AppStatus.objects.values_list("pk", flat=True)] == apps
    ledger.release(run, runner.name, "late")
    assert (now(run).state, now(run).reason) == (State.DONE, "")


def test_operators_pause_a_run_and_let_it_go_on(begin, clock, tms):
    run, runner = begin("a1", "b2", "c3")
    waits = []

    def press():
        waits.append(len(reads(tms)))
        if len(waits) == 1:
            ledger.pause(run, "Paused by oscar.")
        elif len(waits) == 4:
            ledger.resume(now(run))

    clock.on_wait = press
    runner.carry(run)
    assert waits[:4] == [1, 1, 1, 1]
    assert now(run).state == State.DONE


def test_a_run_that_is_paused_for_long_forgets_the_token(begin, clock, tms):
    run, runner = begin("a1", "b2")
    clock.on_wait = lambda: ledger.pause(run, "Paused by oscar.")
    runner.carry(run)
    assert (now(run).state, now(run).runner, counts(now(run))["waiting"]) == (State.STOPPED, "", 1)
    assert now(run).reason == "It was paused for 10 minutes, so your token was forgotten. Go on with it."


def test_a_run_that_is_stopped_reads_nothing_more(begin, clock, tms):
    run, runner = begin("a1", "b2", "c3")
    clock.on_wait = lambda: ledger.stop(run, "Stopped by oscar.")
    runner.carry(run)
    assert (now(run).state, now(run).reason, now(run).runner) == (State.STOPPED, "Stopped by oscar.", "")
    assert reads(tms) == ["a1"]


def test_nothing_more_is_read_for_a_user_who_may_not_any_more(begin, clock, tms):
    run, runner = begin("a1", "b2")
    clock.on_wait = lambda: User.objects.filter(username="olivia").update(is_active=False)
    runner.carry(run)
    assert now(run).state == State.STOPPED
    assert now(run).reason == "olivia may not trigger Set Actions any more, so nothing more is read."
    assert reads(tms) == ["a1"]


def test_a_server_that_ends_leaves_a_run_that_says_so(begin, clock, tms, monkeypatch):
    run, runner = begin("a1", "b2")
    clock.on_wait = lambda: monkeypatch.setattr(runner_module, "is_ending", lambda: True)
    runner.carry(run)
    assert (now(run).state, now(run).runner) == (State.STOPPED, "")
    assert now(run).reason == "The server that carried it was stopped. Go on with your token."


def test_a_cluster_that_is_not_configured_any_more_is_not_read(begin, clock, tms, settings):
    run, runner = begin("a1")
    settings.TMS_CLUSTERS = {}
    runner.carry(run)
    assert now(run).state == State.STOPPED
    assert "not configured" in now(run).reason
    assert not LiveCluster.objects.exists()
