"""/health: 503 names the database that does not answer, or cannot be written, and nothing is left behind of asking."""

import os
from contextlib import closing, contextmanager

import psycopg
import pytest
from django.db import connections

from audit.models import AuditEntry, ChainHead
from jobs.models import Job
from setactions.operations import health
from setactions.tests.test_database_faults import FAULTS, file_of
from tmsdash.models import Session
from tmsdash.tests.tools import forget_sessions, in_thread, table_missing

ALIASES = ["default", "jobs", "audit"]
by_alias = pytest.mark.parametrize("alias", ALIASES)
pytestmark = pytest.mark.usefixtures("databases")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Prove it each time, and wait for locks as good as not at all."""
    monkeypatch.setattr(health, "WRITABLE_FOR_S", -1)
    monkeypatch.setattr(health, "WRITE_WAIT_S", 0.2)


def unhealthy(alias, **more):
    return {"status": "unhealthy", "service": "TMS Dashboard", "databases": alias} | more


def assert_healthy(client):
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy", "service": "TMS Dashboard"})


def assert_not_writable(client, alias):
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (503, unhealthy(alias, read_only=alias))


@pytest.mark.sqlite
@by_alias
@pytest.mark.parametrize("fault", ["locked", "read-only"])
def test_a_database_that_cannot_be_written_is_named_until_it_can(client, alias, fault):
    with FAULTS[fault](alias):
        assert_not_writable(client, alias)
    assert_healthy(client)


@pytest.mark.sqlite
@by_alias
def test_a_disk_that_is_as_good_as_full_is_named(client, alias, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("tmsdash.db.transactions.MIN_FREE_BYTES", 1 << 62)
        body = client.get("/health").json()
    assert body["read_only"] == body["databases"]
    assert_healthy(client)


@pytest.mark.sqlite
@by_alias
def test_a_file_that_is_gone_is_named_and_not_made_anew(client, alias):
    with FAULTS["missing"](alias):
        answer = client.get("/health")
        assert (answer.status_code, answer.json()) == (503, unhealthy(alias))
        assert not file_of(alias).exists()
    assert_healthy(client)


@contextmanager
def for_reading_only(alias):
    """New sessions may only read, as on a copy that follows another server."""
    name = connections[alias].settings_dict["NAME"]
    with closing(psycopg.connect(f"{os.environ['TEST_POSTGRES_URL']}/postgres", autocommit=True)) as other:
        other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        forget_sessions()
        yield
        other.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    forget_sessions()


@pytest.mark.postgresql
@by_alias
def test_a_server_that_takes_no_writes_is_named(client, alias):
    with for_reading_only(alias):
        assert in_thread(lambda: client.get("/health").json()) == unhealthy(alias, read_only=alias)
    in_thread(assert_healthy, client)


@pytest.mark.postgresql
def test_a_chain_that_somebody_keeps_locked_is_named(client):
    with psycopg.connect(f"{os.environ['TEST_POSTGRES_URL']}/{connections['audit'].settings_dict['NAME']}") as other:
        other.execute("SELECT * FROM audit_chainhead FOR UPDATE")
        assert_not_writable(client, "audit")
    assert_healthy(client)


@pytest.mark.sqlite
def test_a_stand_by_has_to_read_only(client, settings):
    settings.TMS_PASSIVE = True
    with FAULTS["read-only"]("audit"):
        assert_healthy(client)


@pytest.mark.sqlite
def test_a_proof_holds_for_a_while_for_everybody(client, monkeypatch):
    assert_healthy(client)
    with FAULTS["read-only"]("audit"), monkeypatch.context() as patch:
        patch.setattr(health, "WRITABLE_FOR_S", 3600)
        assert_healthy(client)


def test_a_site_where_nobody_can_sign_in_is_not_healthy(client):
    with table_missing("default", "tmsdash_session"):
        assert_not_writable(client, "default")
    assert_healthy(client)


def test_asking_leaves_nothing_behind(client):
    before = ChainHead.objects.values().get()
    assert_healthy(client)
    assert ChainHead.objects.values().get() == before
    assert [model.objects.count() for model in (Session, Job, AuditEntry)] == [0, 0, 0]


def test_health_answers_under_any_host_name_and_everything_else_does_not(client, caplog):
    """Load balancers, and the server's own watchdog, ask an address."""
    assert client.get("/health", headers={"host": "10.0.0.7:8000"}).status_code == 200
    assert caplog.records == []
    assert client.get("/login/", headers={"host": "10.0.0.7:8000"}).status_code == 400
    [record] = [record for record in caplog.records if record.name == "django.security.DisallowedHost"]
    assert record.exc_info is None
