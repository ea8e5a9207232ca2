"""What is left open stays in sight: on User Jobs, above the form, and in /health for staff."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission

from audit.choices import Kind
from audit.models import Attempt
from audit.tests.making import make_attempt
from jobs.tests.making import make_job
from setactions.resolving.tests.doubting import LOST_BEFORE, run, send, send_and_die
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import table_missing, text_of

pytestmark = [pytest.mark.usefixtures("databases", "tms"), pytest.mark.pages]
RUNNING, OWED = "service: intent in the audit", "service: answer in the audit"


def unfinished(client, path="/jobs/"):
    """The section Unfinished of User Jobs as a reader sees it; empty if there is none."""
    before, heading, after = text_of(client.get(path)).partition(" Unfinished ")
    return after.partition("What TMS accepted")[0] if heading else ""


def reminder(client):
    """What the start page says of attempts in doubt; empty if it says nothing."""
    before, heading, after = text_of(client.get("/")).partition("Outcome still unknown")
    return after.partition("Cluster ")[0]


def started(attempt, seconds_ago):
    Attempt.objects.filter(pk=attempt.pk).update(created_at=attempt.created_at - timedelta(seconds=seconds_ago))


# -- User Jobs ----------------------------------------------------------------------------------------------------


def test_user_jobs_tells_of_each_open_attempt_what_it_waits_for(fetch, olivia):
    client = signed_in(olivia)
    assert unfinished(client) == ""
    running, owed = send_and_die(fetch, RUNNING, "r"), send_and_die(fetch, OWED, "o", "p")
    died, lost = send_and_die(fetch, RUNNING, "d", "e", "f"), send(fetch, "l", token=LOST_BEFORE, action="T-Enable")
    started(died, 3600)
    shown = re.sub(r" \((now|[^()]* ago)\)", "", unfinished(client))  # how long ago depends on the machine
    for words in (
        "PE-Enable for 1 customer on evian3 , ",
        "UTC : being sent.",
        "PE-Enable for 2 customers on evian3 , ",
        "UTC : accepted; its job is being recorded.",
        "PE-Enable for 3 customers on evian3 , ",
        "T-Enable for 1 customer on evian3 , ",
        "UTC : unknown. Do not send it again: open it and check.",
    ):
        assert words in shown
    assert shown.count("unknown.") == 2
    for attempt in (running, owed, died, lost):
        assert f'href="/attempts/{attempt.attempt_id}/"' in client.get("/jobs/").content.decode()


@pytest.mark.usefixtures("impatient")
def test_what_is_finished_leaves_the_list(fetch, olivia):
    client = signed_in(olivia)
    send_and_die(fetch, OWED, "o")
    send(fetch, "l", token=LOST_BEFORE)
    send(fetch, "n", token="fault:not-ready")
    send(fetch, "a")
    assert unfinished(client).count("customer") == 2
    run()
    assert unfinished(client) == ""


def test_open_attempts_of_others_are_for_who_may_see_them_and_asks(fetch, olivia, oscar, audrey, adam):
    attempt = send(fetch, token=LOST_BEFORE)
    for user in (oscar, audrey, adam):
        assert unfinished(signed_in(user)) == ""
    assert unfinished(signed_in(oscar), "/jobs/?whose=all") == ""
    for user in (audrey, adam):
        assert "by olivia" in unfinished(signed_in(user), "/jobs/?whose=all")
    assert "by olivia" not in unfinished(signed_in(olivia))
    oscar.user_permissions.add(Permission.objects.get(codename="view_job"))  # of jobs, not of attempts
    assert str(attempt.attempt_id) not in signed_in(oscar).get("/jobs/?whose=all").content.decode()


def test_older_pages_of_jobs_do_not_repeat_it(fetch, olivia):
    send(fetch, token=LOST_BEFORE)
    jobs = [make_job() for _ in range(51)]
    assert unfinished(signed_in(olivia))
    assert unfinished(signed_in(olivia), f"/jobs/?before={jobs[1].pk}") == ""


def test_a_long_list_of_open_attempts_is_cut_and_the_oldest_come_first(olivia, tms):
    attempts = [make_attempt(Kind.UNKNOWN, cids=(f"c{number}",), cluster_url=tms.url) for number in range(51)]
    page = signed_in(olivia).get("/jobs/").content.decode()
    shown = [attempt for attempt in attempts if str(attempt.attempt_id) in page]
    assert shown == attempts[:50]
    assert page.index(str(attempts[0].attempt_id)) < page.index(str(attempts[49].attempt_id))


def test_user_jobs_and_the_form_work_without_the_audit(fetch, olivia):
    client = signed_in(olivia)
    job = send(fetch)
    with table_missing("audit", "audit_attempt"):
        assert str(job.attempt_id) in text_of(client.get("/jobs/"))
        assert client.get("/").status_code == 200


# -- The reminder above the form ----------------------------------------------------------------------------------


def test_the_start_page_reminds_of_what_is_in_doubt_and_of_nothing_else(fetch, olivia, oscar):
    client = signed_in(olivia)
    send(fetch, "a")
    send(fetch, "n", token="fault:not-ready")
    send_and_die(fetch, OWED, "o")
    running = send_and_die(fetch, RUNNING, "r", "s", "t")
    assert reminder(client) == ""
    lost = send(fetch, "l", "m", token=LOST_BEFORE)
    assert "PE-Enable for 2 customers" in reminder(client)
    assert reminder(client).count("customer") == 1
    started(running, 3600)
    assert reminder(client).count("customer") == 2
    page = client.get("/").content.decode()
    assert {str(attempt.attempt_id) in page for attempt in (lost, running)} == {True}
    assert reminder(signed_in(oscar)) == ""


def test_what_is_owed_or_running_does_not_hide_what_is_in_doubt(olivia, tms):
    for number in range(12):
        make_attempt(*[Kind.ACCEPTED] * (number % 2), cids=(f"o{number}",), cluster_url=tms.url)
    lost = make_attempt(Kind.UNKNOWN, cids=("l",), cluster_url=tms.url)
    assert str(lost.attempt_id) in signed_in(olivia).get("/").content.decode()


def test_a_form_that_comes_back_reminds_too(fetch, olivia):
    send(fetch, token=LOST_BEFORE)
    assert "Outcome still unknown" in text_of(signed_in(olivia).post("/review/", {}))


# -- /health ------------------------------------------------------------------------------------------------------


def test_health_tells_staff_how_much_is_open_and_since_when(fetch, audrey, adam):
    for user in (audrey, adam):
        assert signed_in(user).get("/health").json() == {
            "status": "healthy",
            "service": "TMS Dashboard",
            "open_attempts": 0,
            "oldest_open_s": 0,
        }
    oldest = send(fetch, "a", token=LOST_BEFORE)
    send_and_die(fetch, OWED, "b")
    send(fetch, "c")
    started(oldest, 5000)
    body = signed_in(adam).get("/health").json()
    assert body["open_attempts"] == 2
    assert 5000 <= body["oldest_open_s"] < 6000


def test_health_tells_others_nothing_of_it(fetch, client, olivia):
    send(fetch, token=LOST_BEFORE)
    for other in (client, signed_in(olivia)):
        assert other.get("/health").json() == {"status": "healthy", "service": "TMS Dashboard"}
