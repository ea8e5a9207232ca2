"""A server that freezes in the middle of a transaction, on PostgreSQL: others wait for it for seconds, not for ever."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import psycopg
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connections, transaction

from audit.actors import Actor
from audit.choices import Kind, Outcome
from audit.models import Attempt
from audit.services import record_fact
from jobs.models import Job
from setactions.operations.backups.postgresql import PostgresqlSnapshot
from setactions.resolving.tests.doubting import VARIABLES, environment_of_process
from setactions.tests.test_recording import after_reply
from setactions.word import ANY_WORD
from tmsdash.db import postgresql
from tmsdash.db.transactions import UNUSABLE_DATABASE, read_transaction, transaction_around_call, write_transaction
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import forget_sessions, in_thread, until

pytestmark = [pytest.mark.postgresql, pytest.mark.usefixtures("fresh_sessions")]


# A server's process that stops, as on a machine that is paused, while it holds the head of the audit's chain.
SETTINGS = """
import os, signal
from tmsdash.settings import *
KILL_POINT = "frozen_settings.stop_once"
NAME = "audit: events added, not committed"
stopped = False

def stop_once(name):
    global stopped
    if name == NAME and not stopped:
        stopped = True
        os.kill(os.getpid(), signal.SIGSTOP)
"""
PROGRAM = """
import sys, uuid
import django
django.setup()
from django.db import DatabaseError
from audit.services import record_events
from tmsdash.db import postgresql
postgresql.IDLE_IN_TRANSACTION_S = 2
for number in range(2):
    try:
        record_events(uuid.UUID(sys.argv[1]), [("RECORDED", {"job_id": sys.argv[1]})], wait_s=5)
        print("recorded")
    except DatabaseError as error:
        print(type(error).__name__)
"""


@contextmanager
def frozen_server(tms, tmp_path, attempt_id):
    """The process, stopped with the lock; it is let go on if nobody has."""
    (tmp_path / "frozen_settings.py").write_text(SETTINGS)
    environment = environment_of_process(tms, tmp_path) | {
        "PYTHONPATH": f"{tmp_path}:{django_settings.BASE_DIR}",
        "DJANGO_SETTINGS_MODULE": "frozen_settings",
    }
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(attempt_id)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            yield process
        finally:
            process.send_signal(signal.SIGCONT)


def test_others_go_on_once_the_frozen_one_has_had_its_time_and_it_goes_on_too(carry_out, tms, tmp_path, quick):
    frozen = carry_out(cids=["frozen"], token="fault:timeout-applied:0.1").attempt_id
    with frozen_server(tms, tmp_path, frozen) as process:
        assert carry_out(cids=["a"]).refusal_code == 503  # for now
        until(lambda: carry_out(cids=["b"], word=ANY_WORD).outcome == Outcome.ACCEPTED)
        os.kill(process.pid, signal.SIGCONT)
        # Its transaction is lost, which it notices; the next one is on a fresh connection.
        assert process.communicate(timeout=60)[0].split() == ["InternalError", "recorded"]
    assert tms.calls()[-1].cids == ("b",)
    call_command("audit_verify")


def end_sessions():
    """The server ends all sessions of the three databases, those of this process, too."""
    with other_session() as session:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = ANY(%s)",
            [[connection.settings_dict["NAME"] for connection in connections.all()]],
        )


def other_session():
    return psycopg.connect(f"{os.environ['TEST_POSTGRES_URL']}/postgres", autocommit=True)


def test_an_action_whose_connections_ended_during_the_call_is_recorded_on_fresh_ones(carry_out, tms):
    with pytest.MonkeyPatch.context() as patch:
        after_reply(patch, end_sessions)
        result = carry_out()
    assert (result.outcome, result.job_recorded) == (Outcome.ACCEPTED, True)
    assert Attempt.objects.get().outcome == Outcome.ACCEPTED
    assert Job.objects.get().job_id == result.attempt_id


def test_no_transaction_is_open_while_tms_thinks(carry_out, tms):
    seen = []
    forget_sessions()  # of the user's account

    def look():
        with other_session() as session:
            rows = session.execute("SELECT datname, state FROM pg_stat_activity WHERE datname LIKE 'test_%'")
            seen.extend(rows.fetchall())

    with pytest.MonkeyPatch.context() as patch:
        after_reply(patch, look)
        patch.setattr(postgresql, "IDLE_IN_TRANSACTION_S", 0.1)
        in_thread(lambda: carry_out(token="fault:slow:1"))
    assert {name for name, _ in seen} >= {connections["jobs"].settings_dict["NAME"]}
    assert {state for _, state in seen} == {"idle"}
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    "block", [lambda: write_transaction("jobs"), lambda: transaction.atomic(using="jobs")], ids=["ours", "Django's"]
)
def test_after_a_transaction_that_idled_too_long_the_next_statement_is_on_a_fresh_connection(block, monkeypatch):
    monkeypatch.setattr(postgresql, "IDLE_IN_TRANSACTION_S", 0.1)
    in_thread(idle_too_long, block)


def idle_too_long(block):
    with pytest.raises(UNUSABLE_DATABASE, match="idle-in-transaction timeout"), block():
        assert Job.objects.count() == 0
        wait_until_ended(connections["jobs"])
        Job.objects.count()
    assert Job.objects.count() == 0


def wait_until_ended(connection):
    pid = connection.connection.info.backend_pid
    with other_session() as session:
        until(lambda: not session.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchall())


def test_a_transaction_that_reads_may_idle_longer(monkeypatch):
    monkeypatch.setattr(postgresql, "IDLE_IN_TRANSACTION_S", 0.1)

    def read():
        with read_transaction("jobs"), connections["jobs"].cursor() as cursor:
            cursor.execute("SELECT current_setting('idle_in_transaction_session_timeout'), pg_sleep(0)")
            assert cursor.fetchone()[0] == "10min"

    in_thread(read)


def test_a_lock_that_is_not_given_back_ends_a_page_with_a_sentence(olivia, monkeypatch):
    monkeypatch.setattr(postgresql, "LOCK_S", 0.2)
    name = connections["jobs"].settings_dict["NAME"]
    client = signed_in(olivia, raise_request_exception=False)
    with psycopg.connect(f"{os.environ['TEST_POSTGRES_URL']}/{name}") as other:
        other.execute("LOCK TABLE jobs_job IN ACCESS EXCLUSIVE MODE")
        answer = in_thread(client.get, "/jobs/")
    assert answer.status_code == 503
    assert "A database does not answer." in answer.content.decode()


def setting(alias, name):
    def ask():
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_setting(%s)", [name])
            return cursor.fetchone()[0]

    return in_thread(ask)


@pytest.mark.parametrize("alias", list(VARIABLES))
def test_the_limits_are_in_force_on_every_connection(alias):
    names = ["idle_in_transaction_session_timeout", "lock_timeout", "tcp_user_timeout", "statement_timeout"]
    assert [setting(alias, name) for name in names] == ["15s", "20s", "15000", "0"]


def test_what_the_installation_says_itself_wins(monkeypatch):
    described = connections["jobs"].settings_dict["OPTIONS"]
    monkeypatch.setitem(described, "options", "-c idle_in_transaction_session_timeout=77s -c lock_timeout=3s")
    assert setting("jobs", "idle_in_transaction_session_timeout") == "77s"
    assert setting("jobs", "lock_timeout") == "3s"

    def within():
        with write_transaction("jobs", 5):
            return setting_here("idle_in_transaction_session_timeout"), setting_here("lock_timeout")

    def setting_here(name):
        with connections["jobs"].cursor() as cursor:
            cursor.execute("SELECT current_setting(%s)", [name])
            return cursor.fetchone()[0]

    limits = in_thread(within)
    assert (limits[0], limits[1] == "5s" or "4000ms" < limits[1] < "5000ms") == ("77s", True)


def test_a_backup_whose_locks_were_lost_is_none(tmp_path, monkeypatch):
    original = PostgresqlSnapshot.begin

    def lose_locks(snapshot):
        original(snapshot)
        with other_session() as session:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE % IN SHARE MODE'"
            )

    monkeypatch.setattr(PostgresqlSnapshot, "begin", lose_locks)
    with pytest.raises(CommandError, match="Nothing was kept"):
        call_command("backup", str(tmp_path))


def test_a_transaction_around_a_call_survives_a_call_that_lasts_longer_than_it_may_idle(monkeypatch):
    monkeypatch.setattr(postgresql, "IDLE_IN_TRANSACTION_S", 0.1)

    def call():
        with transaction_around_call("jobs") as after_answer, other_session() as session:
            session.execute("SELECT pg_sleep(0.5)")
            after_answer(5)
            return Job.objects.count()

    in_thread(call)


def test_a_fact_can_be_written_after_the_connection_was_ended():
    connections["audit"].ensure_connection()
    end_sessions()
    with pytest.raises(DatabaseError):
        record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="olivia"), wait_s=5)
    record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="olivia"), wait_s=5)
