"""The topics of `doctor`, each wrong in its own ways, with the words and the command that mend it."""

import os
import threading
import time
import uuid
from collections import namedtuple
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from email.utils import format_datetime

import pytest
from cryptography import x509
from django.db import connections
from django.utils import timezone

from setactions.batches.tests.queue.queueing import RedisServer
from setactions.operations.doctor import (
    clocks,
    clusters,
    diagnosis,
    disk,
    files,
    notices,
    own_settings,
    program,
    queue,
    timers,
)
from setactions.operations.doctor import databases as topic_of_databases
from setactions.operations.doctor import sign_in as topic_of_sign_in
from setactions.operations.doctor.diagnosis import Topic, diagnose
from setactions.operations.doctor.faults import _NAMES, MENDS
from setactions.operations.doctor.findings import Level, Well
from setactions.operations.doctor.site import Site
from setactions.operations.doctor.wrong_settings import Loaded
from setactions.tms import unsent
from setactions.tms.tests import listening
from setactions.tms.tests.listening import Authority
from tmsdash import broker
from tmsdash.models import Notice, TimerRun
from tmsdash.tests.openid_provider import OpenIdProvider
from tmsdash.tests.tools import free_ports, until

OTHER_NAME = [x509.DNSName("other.example")]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """What does not answer is given up at once."""
    monkeypatch.setattr(clusters, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(clusters, "WAIT_S", 20)


# -- Clusters -----------------------------------------------------------------------------------------------------


def test_each_way_in_which_a_cluster_cannot_be_reached_has_its_own_name_and_mend(found, settings, authority, tmp_path):
    """All at once, as `doctor` does it; only `HEAD /` is asked for."""
    stranger = Authority(tmp_path)
    settings.TMS_CA_BUNDLE = str(authority.file)
    with ExitStack() as stack:
        serve = stack.enter_context
        pems = {
            "certificate_expired": authority.issue(from_day=-3, to_day=-1),
            "certificate_not_yet_valid": authority.issue(from_day=1, to_day=3),
            "certificate_name": authority.issue(OTHER_NAME),
            "certificate_self_signed": authority.issue(is_self_signed=True),
            "authority_unknown": stranger.issue(),
            "well": authority.issue(to_day=90),
            "certificate_expires": authority.issue(to_day=5),
        }
        servers = {name: serve(listening.listening(pem)) for name, pem in pems.items()}
        servers["no_tls"] = serve(listening.listening())
        addresses = {name: f"127.0.0.1:{server.server_port}" for name, server in servers.items()}
        addresses |= {"closed": serve(listening.closing()), "timeout": serve(listening.full())}
        addresses |= {"refused": f"127.0.0.1:{free_ports(1)[0]}", "name": "tms.invalid"}
        settings.TMS_CLUSTERS = {name: f"https://{address}" for name, address in addresses.items()}
        looked = found(clusters.look)
        asked = [request for server in servers.values() for request in server.requests]
    expected = {f"cluster.{name}" for name in addresses if name != "well"}
    assert {name for name in looked if name != "cluster.authority_expires"} - {"cluster.no_name_server"} >= expected - {
        "cluster.name"
    }
    assert {"cluster.name", "cluster.no_name_server"} & looked.keys()  # as DNS answers here
    for name in expected & looked.keys():
        assert looked[name].sentence.startswith(f"Cluster {name.partition('.')[2]}: ")
        assert "so nothing was sent" not in looked[name].sentence
    assert "TMS_CA_BUNDLE=" in looked["cluster.authority_unknown"].mend
    assert f"openssl s_client -connect {addresses['certificate_self_signed']}" in (
        looked["cluster.certificate_self_signed"].mend
    )
    assert looked["cluster.certificate_expires"].level == Level.NOTE
    assert {(method, path) for method, path, _ in asked} == {("HEAD", "/")}
    assert not any("Authorization" in headers for *_, headers in asked)


def test_the_reasons_of_a_set_action_that_was_not_sent_all_have_a_mend():
    sentences = [text for text in vars(unsent).values() if isinstance(text, str)]
    causes = {text for text in sentences if ", so nothing was sent" in text}
    assert causes == set(_NAMES)
    assert {*_NAMES.values(), "cluster.no_answer", "proxy.unreachable"} == set(MENDS)


@pytest.mark.parametrize(("status", "name"), [(407, "proxy.sign_in"), (403, "proxy.refused"), (502, "proxy.failed")])
def test_a_proxy_that_does_not_connect_is_named_instead_of_the_cluster(found, settings, status, name):
    with listening.listening(status=status) as proxy:
        settings.TMS_PROXY = f"http://user:secret-4711@127.0.0.1:{proxy.server_port}"
        settings.TMS_CLUSTERS = {"evian3": "https://tms.example"}
        looked = found(clusters.look)
    assert "(TMS_PROXY)" in looked[name].sentence
    assert "secret-4711" not in str(looked)


def test_a_proxy_that_is_away_is_not_taken_for_the_cluster(found, settings):
    [port] = free_ports(1)
    settings.TMS_PROXY, settings.TMS_CLUSTERS = f"http://127.0.0.1:{port}", {"evian3": "https://tms.example"}
    assert "Correct TMS_PROXY" in found(clusters.look)["proxy.unreachable"].mend


def test_a_gateway_without_its_tms_and_a_clock_that_differs_are_worth_knowing(found, settings, monkeypatch):
    far = timezone.now() + timedelta(minutes=10)
    monkeypatch.setattr(listening._Answers, "date_time_string", lambda *_: format_datetime(far, usegmt=False))
    with listening.listening(status=503) as server:
        settings.TMS_CLUSTERS = {"evian3": f"http://127.0.0.1:{server.server_port}"}
        looked = found(clusters.look)
    assert "HTTP 503" in looked["cluster.gateway"].sentence
    assert "timedatectl set-ntp true" in looked["clock.cluster"].mend
    assert " behind that of the cluster evian3" in looked["clock.cluster"].sentence


def test_a_cluster_that_takes_a_connection_and_says_nothing_is_given_up(found, settings):
    with listening.socket.create_server(("127.0.0.1", 0)) as silent:
        settings.TMS_CLUSTERS = {"evian3": f"https://127.0.0.1:{silent.getsockname()[1]}"}
        assert set(found(clusters.look)) == {"cluster.handshake_timeout"}
        settings.TMS_CLUSTERS = {"evian3": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        assert "does not answer: timed out." in found(clusters.look)["cluster.no_answer"].sentence


def test_a_bundle_that_cannot_be_read_and_one_that_expires_soon(found, settings, authority, tmp_path):
    settings.TMS_CLUSTERS = {}
    settings.TMS_CA_BUNDLE = str(authority.file)  # of nine days
    assert set(found(clusters.look)) == {"cluster.authority_expires"}
    settings.TMS_CA_BUNDLE = str(tmp_path / "gone.pem")
    assert set(found(clusters.look)) == {"cluster.bundle"}


# -- Files and disks ----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(settings, tmp_path):
    """A folder of an installation whose databases are elsewhere."""
    settings.VAR_DIR, settings.AUDIT_SEAL_DIR = tmp_path / "var", tmp_path / "seals"
    for made in (settings.VAR_DIR, settings.AUDIT_SEAL_DIR):
        made.mkdir(mode=0o700)
    settings.DATABASE_FILES, settings.ENV_PATH = [settings.VAR_DIR / "app.db"], None
    settings.DATABASE_FILES[0].touch(mode=0o600)
    return settings.VAR_DIR


def test_files_that_a_command_of_root_has_left_are_named_with_the_command_that_gives_them_back(
    found, folder, settings, monkeypatch
):
    """Made as they are seen: where the tests are root's, the folder is another user's; elsewhere all is the tests'."""
    (folder / "audit_key").touch(mode=0o600)
    if os.geteuid() == 0:
        os.chown(folder, 65_534, -1)
        looked = found(files.look)
        assert f"{folder / 'audit_key'}" in looked["files.foreign"].sentence
        assert looked["files.foreign"].mend.startswith("chown ")
        assert str(settings.DATABASE_FILES[0]) in looked["files.foreign"].mend
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    assert "sudo -u " in found(files.look)["files.other_user"].mend


def test_a_folder_that_its_own_user_cannot_write_is_named_and_a_missing_one(found, folder, settings, monkeypatch):
    monkeypatch.setattr(files, "_may", _as_user)
    settings.AUDIT_SEAL_DIR.chmod(0o500)
    looked = found(files.look)
    assert looked["files.closed"].mend == f"chmod u+rwX {settings.AUDIT_SEAL_DIR}"
    settings.AUDIT_SEAL_DIR.chmod(0o755)
    assert set(found(files.look)) - {"files.root"} == {"seals.readable"}
    settings.AUDIT_SEAL_DIR = folder / "unmounted" / "seals"
    assert "seals.missing" not in found(files.look)  # the first seal makes it
    folder.chmod(0o500)
    assert found(files.look)["seals.missing"].mend.startswith("install -d -o ")
    settings.VAR_DIR = folder / "gone"
    assert set(found(files.look)) == {"var_dir.missing"}


def _as_user(uid, path, access):
    """What the modes say that its owner may; root may do everything."""
    wanted = access & ~files.ENTER if path.is_file() else access
    return (path.stat().st_mode >> 6) & wanted == wanted


Room = namedtuple("Room", "f_bavail f_frsize f_files f_favail")


@pytest.mark.parametrize(
    ("free", "inodes", "name"),
    [(10 << 20, 10_000, "disk.full"), (500 << 20, 10_000, "disk.little"), (9 << 30, 5, "disk.files")],
)
def test_a_disk_without_room_is_named(found, folder, monkeypatch, free, inodes, name):
    monkeypatch.setattr(os, "statvfs", lambda path: Room(free // 4096, 4096, 1_000_000, inodes))
    assert set(found(disk.look)) == {name}


# -- Everything else ----------------------------------------------------------------------------------------------


def test_packages_other_than_the_locked_ones_are_named_with_the_command(found, settings, tmp_path):
    settings.BASE_DIR = tmp_path
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1"\n')
    lock = "django==1.0 \\\n    --hash=sha256:00\nno-such-package==2.0 \\\ncolorama==0.4 ; sys_platform == 'win32' \\\n"
    (tmp_path / "requirements.lock").write_text(lock)
    differ = found(program.look)["packages.differ"]
    assert "django is 5" in differ.sentence
    assert "not 1.0, no-such-package 2.0 is missing." in differ.sentence
    assert differ.mend.endswith(f"-m pip install --require-hashes -r {tmp_path / 'requirements.lock'}")


def test_timers_that_are_late_failed_or_never_ran_are_named_with_their_units(found, databases, settings):
    now = timezone.now()
    long_ago = now - timedelta(days=9)
    TimerRun.objects.create(name="backup", ended_at=long_ago, succeeded=True, succeeded_at=long_ago)
    TimerRun.objects.create(name="verify", ended_at=now, succeeded=False, succeeded_at=now - timedelta(hours=1))
    looked = found(timers.look)
    assert "tms-dashboard-backup.timer" in looked["timer.late"].mend
    assert "manage.py audit_verify" in looked["timer.failed"].mend
    assert looked["timer.never"].level == Level.NOTE


def test_an_audit_from_the_future_tells_that_a_clock_was_wrong(found, carry_out, monkeypatch):
    carry_out()
    assert found(clocks.look) == {}
    monkeypatch.setattr(clocks.clock, "now", lambda alias: timezone.now() - timedelta(hours=1))
    assert "in the future" in found(clocks.look)["clock.audit"].sentence


def test_a_provider_that_is_gone_or_another_and_groups_that_do_not_exist_are_named(found, settings, databases):
    look = topic_of_sign_in.look
    assert found(look) == {}
    settings.OIDC_GROUPS = [("ops", "Operators"), ("ops", "staff"), ("audit", "Auditor")]
    assert found(look)["sign_in.no_issuer"].level == Level.NOTE
    provider = OpenIdProvider()
    settings.OIDC_ISSUER_URL = provider.issuer
    try:
        assert {*found(look)} == {"sign_in.groups"}
        assert "nobody gets into them: Auditor." in found(look)["sign_in.groups"].sentence
        provider.config = {"issuer": "https://elsewhere.example"}
        assert f"curl {provider.issuer}/.well-known/openid-configuration" in found(look)["sign_in.provider"].mend
    finally:
        provider.stop()
    assert "sign_in.provider" in found(look)


def test_a_queue_that_does_not_answer_is_named(found, settings):
    settings.TMS_BATCH_ENGINE = "celery"
    settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{free_ports(1)[0]}/0"
    assert "systemctl start redis-server" in found(queue.look)["tmsdash.W052"].mend


@getattr(pytest.mark, "redis-server")
def test_work_that_is_queued_and_that_no_worker_takes_is_named(found, settings, tmp_path):
    server = RedisServer(tmp_path, "--save", "")
    settings.TMS_BATCH_ENGINE, settings.CELERY_BROKER_URL = "celery", server.url
    try:
        with broker.client() as session:
            assert found(queue.look)["queue.no_worker"].level == Level.NOTE
            session.lpush(broker.QUEUE, "a batch")
            assert "queue (1), and no worker" in found(queue.look)["queue.no_worker"].sentence
            thread = threading.Thread(target=server.client.brpop, args=(["another"], 60))
            thread.start()
            until(lambda: any(client["cmd"] == "brpop" for client in session.client_list()))
            assert found(queue.look) == {}
            session.lpush("another", "the end")
            thread.join()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("hosts", "https", "proxies", "names"),
    [
        (["localhost"], False, [], {"hosts.loopback"}),
        (["tms.example"], False, ["127.0.0.1"], {"https.off"}),
        (["tms.example"], True, [], {"https.no_proxy"}),
        (["tms.example"], True, ["127.0.0.1"], set()),
    ],
)
def test_who_can_reach_the_site_and_how(found, settings, hosts, https, proxies, names):
    settings.ALLOWED_HOSTS, settings.HTTPS_ONLY, settings.TRUSTED_PROXIES = hosts, https, proxies
    looked = found(own_settings.look)
    assert set(looked) - {"setting.misspelt"} == names
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    assert all(finding.level == Level.WRONG for finding in found(own_settings.look).values())


@pytest.mark.postgresql
def test_what_a_role_of_postgresql_may_not_do_or_need_not_be_able_to_is_named(found, databases):
    with connections["jobs"].cursor() as cursor:
        cursor.execute("CREATE ROLE tms_reader; GRANT SELECT ON ALL TABLES IN SCHEMA public TO tms_reader")
        try:
            cursor.execute("SET default_transaction_read_only = on")
            looked = found(only_role)
            assert {"database.read_only", "database.superuser"} == set(looked)
            cursor.execute("SET ROLE tms_reader; SET default_transaction_read_only = off")
            assert found(only_role)["database.role"].mend.startswith("psql -v server=tms_reader -f docs/postgresql.sql")
        finally:
            cursor.execute("RESET ROLE; SET default_transaction_read_only = off")
            cursor.execute("DROP OWNED BY tms_reader; DROP ROLE tms_reader")


def only_role(site):
    return topic_of_databases._role(connections["jobs"])


def test_receivers_of_notices_that_are_away_and_what_they_have_not_taken(found, databases, settings):
    assert found(notices.look) == {}
    [port] = free_ports(1)
    settings.NOTIFY_WEBHOOK_URL = f"http://127.0.0.1:{port}/hooks/secret-4711"
    long_ago = timezone.now() - timedelta(hours=2)
    told = {"notice_id": uuid.uuid4(), "channel": "webhook", "kind": "test", "content": "{}", "created_at": long_ago}
    Notice.objects.create(**told, due_at=long_ago, tries=3, problem="It answered HTTP 500.")
    looked = found(notices.look)
    assert f"127.0.0.1:{port}: Connection refused." in looked["notices.unreachable"].sentence
    assert "HTTP 500." in looked["notices.waiting"].sentence
    assert "secret-4711" not in str(looked)


# -- What cannot be looked at -------------------------------------------------------------------------------------


@contextmanager
def frozen():
    """A topic that does not end before the block does."""
    ended = threading.Event()

    def look(site):
        ended.wait()
        yield Well("never said")

    yield look
    ended.set()


def test_what_hangs_and_what_fails_is_named_and_keeps_nothing_else_from_being_looked_at(monkeypatch):
    def fail(site):
        raise RuntimeError("out of order")
        yield

    def is_well(site):
        yield Well("as it should be")

    with frozen() as look:
        looks = {"frozen": look, "broken": fail, "sound": is_well}
        topics = [Topic(name, function, frozenset()) for name, function in looks.items()]
        monkeypatch.setattr(diagnosis, "TOPICS", [*topics, Topic("left", is_well, frozenset({"TMS_PROXY"}))])
        started = time.monotonic()
        results = diagnose(Site(Loaded(wrong={"TMS_PROXY"})), wait_s=0.2)
        assert time.monotonic() - started < 20
    stopped, failed, well, left = results
    assert [finding.id for finding in stopped.findings] == ["frozen.timeout"]
    assert "RuntimeError: out of order" in failed.findings[0].sentence
    assert (well.well, left.looked) == (["as it should be"], False)
