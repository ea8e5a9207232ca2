"""The process is killed at every named point, under everything that TMS may do: nothing is lost, doubled or made up.

After the death the databases hold what was committed, the process starts again, `reconcile` runs, the
user sends the same form once more, and a judge compares the databases with what TMS saw.
"""

import uuid
from pathlib import Path

import pytest
from django.db import connections
from django.test import override_settings

from audit.actors import Actor
from audit.choices import ACCEPTED_OUTCOMES
from audit.models import Attempt
from jobs.models import Job
from setactions.devtools.proofs.evidence import read_evidence
from setactions.devtools.proofs.judge import judge
from setactions.resolving.reconcile import reconcile
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.killing import dying_at, reached
from tmsdash.tests.tools import run_python

OPERATIONS = Actor(user_id="ops@host")
CIDS = ("a1", "b2", "c3")

# What TMS does -> whether it applied the action, by the simulator's faults.
BEHAVIOURS = {
    "accepted": TOKEN,
    "rejected": "fault:not-ready",
    "applied, then cut": "fault:reset-after",
    "cut before applying": "fault:reset-before",
    "applied, then hanging": "fault:timeout-applied",
    "500 after applying": "fault:http-applied:500",
    "401": "fault:unauthorized",
}
GROUP_COMMITTED = "jobs: group committed, not answered"  # on SQLite; on PostgreSQL each job has its own transaction
SERVICE_POINTS = (
    "service: checked, nothing written",
    "audit: attempt added, not committed",
    "audit: group written, not committed",
    "audit: group committed, not answered",
    "service: intent in the audit",
    "service: transaction open, nothing sent",
    "service: answered, nothing written",
    "audit: events added, not committed",
    "service: answer in the audit",
    "jobs: job without its customers, not committed",
    "service: job inserted, not committed",
    GROUP_COMMITTED,
    "service: job committed",
    "service: all written, not answered",
)
RECONCILE_POINTS = (
    "reconcile: owed jobs recorded",
    "reconcile: read once",
    "reconcile: read twice",
    "reconcile: verdict written",
    "audit: events added, not committed",
    "jobs: job without its customers, not committed",
    "reconcile: jobs inserted, not committed",
    "reconcile: jobs committed",
    "reconcile: jobs noted in the audit",
)


@pytest.fixture(autouse=True)
def impatient(settings):
    settings.TMS_OPEN_AFTER_S = settings.TMS_READBACK_INTERVAL_S = 0


def assert_promise_kept(tms):
    """One form, sent as often as one likes: at most one call, a Job exactly if it was applied, nothing open."""
    calls = [call for call in tms.calls() if call.method == "POST"]
    applied = sum(call.applied for call in calls)
    assert len(calls) <= 1
    assert [tuple(job.customers.values_list("cid", flat=True)) for job in Job.objects.all()] == [CIDS] * applied
    attempt = Attempt.objects.get()
    assert (attempt.outcome in ACCEPTED_OUTCOMES, attempt.is_open) == (bool(applied), False)
    if connections["jobs"].vendor == "sqlite":  # the judge reads files
        files = [Path(connections[alias].settings_dict["NAME"]) for alias in ("jobs", "audit")]
        verdict = judge(read_evidence(tms.calls(), *files))
        assert verdict.passed, verdict


@pytest.fixture
def send_and_die(carry_out):
    """Send until the process dies at a point. Only a call that hangs is given up soon."""

    def send(point, key, token):
        deadline_s = 0.3 if token == BEHAVIOURS["applied, then hanging"] else 30
        with override_settings(TMS_DEADLINE_S=deadline_s), dying_at(point):
            carry_out(cids=CIDS, attempt_id=key, token=token)

    return send


def restart_and_send_again(carry_out, key):
    connections.close_all()
    reconcile(OPERATIONS, Token(TOKEN))
    result = carry_out(cids=CIDS, attempt_id=key)
    connections.close_all()
    report = reconcile(OPERATIONS, Token(TOKEN))
    assert (report.need_token, report.need_person) == ([], [])
    return result


@pytest.mark.parametrize("token", BEHAVIOURS.values(), ids=BEHAVIOURS)
@pytest.mark.parametrize("point", SERVICE_POINTS)
def test_a_death_of_the_server_breaks_no_promise(carry_out, send_and_die, tms, point, token):
    key = uuid.uuid4()
    send_and_die(point, key, token)
    restart_and_send_again(carry_out, key)
    assert_promise_kept(tms)


@pytest.mark.parametrize("token", BEHAVIOURS.values(), ids=BEHAVIOURS)
@pytest.mark.parametrize("left_at", ["service: answered, nothing written", "service: answer in the audit", ""])
@pytest.mark.parametrize("point", RECONCILE_POINTS)
def test_a_death_of_reconcile_breaks_no_promise(carry_out, send_and_die, tms, point, left_at, token):
    key = uuid.uuid4()
    send_and_die(left_at, key, token)
    with dying_at(point):
        reconcile(OPERATIONS, Token(TOKEN))
    restart_and_send_again(carry_out, key)
    assert_promise_kept(tms)


def test_every_named_point_is_one_at_which_something_dies(carry_out, tms):
    """A point that was renamed or is never reached would prove nothing."""
    reached.clear()
    deaths = []
    for number, point in enumerate(SERVICE_POINTS):
        with dying_at(point) as died:
            carry_out(cids=(f"s{number}",))
        deaths += died
    carry_out(cids=("x1",), token="fault:reset-after")
    carry_out(cids=("y1",), token="fault:reset-before")
    for point in RECONCILE_POINTS:
        carry_out(cids=(point[-9:].replace(" ", "").replace(",", ""),), token="fault:reset-after")
        carry_out(cids=(f"{point[-9:]}-".replace(" ", "").replace(",", ""),), token="fault:reset-before")
        with dying_at(point) as died:
            reconcile(OPERATIONS, Token(TOKEN))
        deaths += died
    points = [*SERVICE_POINTS, *RECONCILE_POINTS]
    if connections["jobs"].vendor == "postgresql":
        points.remove(GROUP_COMMITTED)
    assert deaths == points
    assert reached == {*points}


def test_outside_the_tests_a_kill_point_does_nothing_whatever_the_environment_says(tmp_path):
    code = (
        "import django, os; os.environ['DJANGO_SETTINGS_MODULE'] = 'tmsdash.settings'; django.setup();"
        "from tmsdash.kill_points import kill_point; print(kill_point.__name__, kill_point('service: job committed'))"
    )
    ended = run_python("-c", code, var_dir=tmp_path, KILL_POINT="tmsdash.tests.killing.kill_point")
    assert (ended.returncode, ended.stdout) == (0, "_do_nothing None\n")
