"""Fixtures for all tests: a small cast of users, a TMS over real HTTP, and clients signed in to the site."""

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connections
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.test import Client
from django.test.utils import setup_databases, teardown_databases
from pytest_django.plugin import DjangoDbBlocker

from audit import chain, groups
from audit.models import ChainHead
from audit.proof import append_only
from setactions import handover
from setactions.devtools.simulator import Simulator
from setactions.management.commands.migrate_all import make_groups
from setactions.recording import Recorder
from tmsdash import banners, rates
from tmsdash.db import host_turns, writability
from tmsdash.tests.axe import AXE
from tmsdash.tests.snapshots import Snapshot, snapshot_of
from tmsdash.tests.tools import forget_sessions

TOKEN = "a-token-that-works-0123456789"
PASSWORD = "correct horse battery staple"


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Keep what collection makes, none of which is garbage, out of every search for garbage: they take long with it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that need more than this machine can give."""
    if "TEST_POSTGRES_URL" in os.environ:  # what no database makes a difference to runs beside this anyway
        others = [item for item in items if not _uses_databases(item) or item.get_closest_marker("pages")]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    leave_out(config, items, "postgresql", lambda: "TEST_POSTGRES_URL" in os.environ, "which run on PostgreSQL")
    leave_out(
        config, items, "pgbouncer", lambda: "TEST_POSTGRES_DIRECT_URL" in os.environ, "which run behind PgBouncer"
    )
    leave_out(config, items, "root", _may_mount, "which want root and the right to mount")
    for program in ("nginx", "chromium", "curl", "redis-server"):
        leave_out(config, items, program, partial(shutil.which, program), f"which want {program}")
    leave_out(config, items, "systemd", partial(shutil.which, "systemd-analyze"), "which want systemd-analyze")
    leave_out(config, items, "axe", AXE.exists, "which want axe-core: `make test` installs it where there is npm")
    leave_out(config, items, "timestamps", partial(find_spec, "rfc3161_client"), "which want rfc3161-client")
    leave_out(config, items, "linux", lambda: sys.platform == "linux", "which look into Linux's /proc")
    # Last: from the first of them on, an event loop runs in this thread, and Django's databases refuse to be used, but
    # by those that draw what they made: they are the first, because the databases are set up without that loop.
    items.sort(key=lambda item: bool(item.get_closest_marker("chromium")) * (2 - _uses_databases(item)))


def pytest_sessionfinish() -> None:
    """Remove the semaphores of databases that are gone; whoever still needs one makes it again."""
    table = Path("/proc/sysvipc/sem")
    for line in table.read_text().splitlines()[1:] if table.exists() else ():
        key, semaphore = (int(word) for word in line.split()[:2])
        if key & host_turns.TAG_BITS == host_turns.TAG:
            host_turns.remove_semaphore(semaphore)


def _uses_databases(item: pytest.Item) -> bool:
    return "databases" in getattr(item, "fixturenames", ()) or item.get_closest_marker("postgresql") is not None


def leave_out(
    config: pytest.Config, items: list[pytest.Item], marker: str, possible: Callable[[], object], why: str
) -> None:
    """Deselect the tests with `marker`, and say so, where what they want is not there."""
    marked = [item for item in items if item.get_closest_marker(marker)]
    if marked and not possible():
        config.hook.pytest_deselected(items=marked)
        items[:] = [item for item in items if item not in marked]
        print(f"Left out: {len(marked)} tests, {why}.")  # noqa: T201


def _may_mount() -> bool:
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return False
        subprocess.run(["/bin/umount", folder], check=True)
    return True


_is_durable = False


@receiver(connection_created)
def _write_quickly(connection: Any, **kwargs: Any) -> None:
    """Leave it to the system when it writes SQLite's files to the disk: tests kill processes, not machines."""
    if connection.vendor == "sqlite" and connection.connection and not _is_durable:
        connection.connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture
def durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections as in production."""
    monkeypatch.setattr(f"{__name__}._is_durable", True)


@pytest.fixture(scope="session")
def running_simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def tms(running_simulator: Simulator, settings: Any) -> Simulator:
    """A TMS that has seen nothing yet, as the cluster evian3."""
    running_simulator.reset()
    settings.TMS_CLUSTERS = {"evian3": running_simulator.url, "brooke": "http://127.0.0.1:2"}
    return running_simulator


@pytest.fixture(autouse=True)
def unfinished(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    """What would be finished in the background; there it would go on into the next test."""
    recorders: list[Recorder] = []
    monkeypatch.setattr(Recorder, "finish_later", lambda recorder: recorders.append(recorder))
    return recorders


@pytest.fixture(autouse=True)
def flushed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the audit is to write soon is written at once, in the same thread: it would go on into the next test."""
    monkeypatch.setattr(groups, "see_to_flush", lambda: groups.flush(groups.FLUSH_WAIT_S))


@pytest.fixture(autouse=True)
def sent_before_the_next_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a form sends is over when its answer comes, whatever TMS does; it would go on into the next test."""
    monkeypatch.setattr(handover, "WAIT_S", 60)


@pytest.fixture(autouse=True)
def no_refusals_or_exports_yet() -> None:
    """Users of the same name as in the test before start anew."""
    rates.forget()


@pytest.fixture(autouse=True)
def no_banners_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No page reads the banners, whenever that was done last, until a test changes them."""
    kept = banners._Kept()
    kept.until = float("inf")
    monkeypatch.setattr(banners, "_kept", kept)


@pytest.fixture(autouse=True)
def nothing_proven_yet() -> None:
    """What the test before has proven of its databases does not hold for this one's."""
    writability.forget("jobs")


@pytest.fixture(scope="session")
def snapshots(django_test_environment: None, django_db_blocker: DjangoDbBlocker) -> Iterator[list[Snapshot]]:
    """The three databases, migrated, as every test finds them: with the groups and the head of the audit's chain."""
    with django_db_blocker.unblock(), ExitStack() as stack:
        created = setup_databases(verbosity=0, interactive=False, aliases=dict.fromkeys(connections))
        # PostgreSQL drops no database to which a thread of a test that is over may still be connected. Its server is
        # thrown away by .ci/with-postgres; on another one, the next run replaces them.
        if connections["default"].vendor == "sqlite":
            stack.callback(teardown_databases, created, verbosity=0)
        make_groups()
        if not ChainHead.objects.exists():
            chain.begin()
        append_only.install(connections["audit"])
        yield [stack.enter_context(closing(snapshot_of(connection))) for connection in connections.all()]


@pytest.fixture
def databases(snapshots: list[Snapshot], django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """All three databases, with real transactions; what a test writes is gone after it."""
    with django_db_blocker.unblock():
        yield
        connections.close_all()
        for snapshot in snapshots:
            snapshot.restore()


@pytest.fixture
def fresh_sessions(databases: None) -> Iterator[None]:
    """No session of PostgreSQL is left over that was limited otherwise, or was ended."""
    forget_sessions()
    yield
    forget_sessions()


@pytest.fixture
def db(databases: None) -> None:
    """What pytest-django's own fixtures ask for."""


def _user(name: str, group: str | None = None, **kwargs: Any) -> User:
    user = User.objects.create_user(name, password=PASSWORD, **kwargs)
    if group:
        user.groups.add(Group.objects.get(name=group))
    return user


@pytest.fixture
def olivia(databases: None) -> User:
    """An operator."""
    return _user("olivia", "Operators")


@pytest.fixture
def oscar(databases: None) -> User:
    """Another operator."""
    return _user("oscar", "Operators")


@pytest.fixture
def audrey(databases: None) -> User:
    """An auditor, with access to the admin."""
    return _user("audrey", "Auditors", is_staff=True)


@pytest.fixture
def adam(databases: None) -> User:
    """An administrator."""
    return _user("adam", is_staff=True, is_superuser=True)


def signed_in(user: User, **kwargs: Any) -> Client:
    """Return a client with the user's session."""
    client = Client(**kwargs)
    client.force_login(user)
    return client


@pytest.fixture
def fetch(tms: Simulator, olivia: User) -> Callable[..., Any]:
    """Post a Set Action as a script does, by default olivia's of PE-Enable for two customers."""

    def post(
        *,
        client: Client | None = None,
        cids: Any = ("a1", "b2"),
        action: str = "PE-Enable",
        token: str = TOKEN,
        key: uuid.UUID | str | None = None,
        **extra: Any,
    ) -> Any:
        body = {
            "url": f"{tms.url}/tms/v1/set/action",
            "token": token,
            "isPost": True,
            "postData": {"action": action, "cids": list(cids)},
        } | extra
        headers = {"Idempotency-Key": str(key)} if key else {}
        return (client or signed_in(olivia)).post(
            "/proxy_fetch", body, content_type="application/json", headers=headers
        )

    return post
