"""An installation grows from one host to two, and back, by the commands of docs/operating.md, word for word.

`.ci/grow` runs it. A block of that chapter that no step carries out fails the test.
"""

import os
import shlex
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from django.conf import settings as django_settings

from setactions.devtools.simulator import Simulator
from setactions.operations.tests.growing import DOCS, Host, Operator, World, blocks_of, ended
from setactions.operations.tests.nginx import certificate, configuration, nginx_in, session_from
from tmsdash.tests.fixtures import PASSWORD
from tmsdash.tests.tools import free_ports, until

pytestmark = [pytest.mark.postgresql, pytest.mark.nginx, getattr(pytest.mark, "redis-server")]

POSTGRESQL, PGBOUNCER, SECOND = "PostgreSQL on the same host", "PgBouncer", "A second host"
DATABASES = ("DATABASE_URL", "JOBS_DATABASE_URL", "AUDIT_DATABASE_URL")
QUEUE = ("TMS_BATCH_ENGINE", "CELERY_BROKER_URL")


@pytest.fixture
def world(tmp_path):
    with ExitStack() as stack:
        yield World(tmp_path, stack)


@pytest.fixture
def operator():
    with Simulator() as tms:
        yield Operator(tms)


def test_an_installation_grows_as_documented_and_comes_back(world, operator):
    first, session = world.hosts[0], operator.session
    set_up(first, operator)
    works(operator, first)
    make_databases, move, address, move_back = blocks_of("operating.md", POSTGRESQL)
    first.run(make_databases)
    first.run(move)
    first.set(address)
    works(operator, first)
    pooler = put_pgbouncer_between(world, first)
    works(operator, first)
    redis, worker = queue_batches(world, first)
    works(operator, first)
    works_on_two_hosts(world, operator, worker)
    for process in (worker, redis, pooler):
        ended(process)
    first.unset(*DATABASES, *QUEUE)
    first.run(move_back)
    operator.use(session)
    works(operator, first)


def test_the_test_above_carries_out_all_blocks_of_the_chapter():
    chapter = (DOCS / "operating.md").read_text().split("\n## What one host carries", 1)[1].partition("\n## ")[0]
    headings = [section.partition("\n")[0] for section in chapter.split("\n### ") if "\n```" in section]
    assert headings == [POSTGRESQL, PGBOUNCER, SECOND]


def works(operator, *hosts, url=None):
    """A Set Action and a batch succeed, all jobs are there, the audit is whole, and other keys are refused."""
    before = operator.jobs
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(host.serving())
        operator.come_to(url or hosts[0].url)
        operator.act()
        operator.run_batch()
        assert operator.seen_jobs() > before
        with ThreadPoolExecutor() as pool:
            verified = pool.submit(hosts[0].manage, "audit_verify", "--jobs")
            list(pool.map(Host.refuses_another_key, hosts))
            verified.result()  # which fails unless it is whole


def set_up(host, operator):
    """A new installation on SQLite, with made-up data."""
    host.install()
    host.set(
        f"TMS_CLUSTERS=evian3={operator.tms.url}\nTMS_BATCH_CHUNK=2\nTMS_MAX_CIDS_PER_CALL=2\nTRUSTED_PROXIES=127.0.0.1\nWEB_WORKERS=1\n"
    )
    host.manage("migrate_all", "-v0")
    settings = {"ENV_FILE": str(host.folder / ".env"), "VAR_DIR": str(host.folder / "var")}
    host.run(f".venv/bin/python {django_settings.BASE_DIR}/manage.py fill_demo_data --jobs 100", **settings)
    host.manage("audit_seal")
    host.manage("createsuperuser --noinput --username root --email ''", DJANGO_SUPERUSER_PASSWORD=PASSWORD)


def put_pgbouncer_between(world, host):
    limits_and_passwords, configured, address = blocks_of("operating.md", PGBOUNCER)
    host.run(limits_and_passwords)
    file = world.pooler_folder / "pgbouncer.ini"
    file.write_text(f"{world.here(configured)}unix_socket_dir = {world.pooler_folder}\n")
    command = ["pgbouncer", "-q", str(file)]
    if os.geteuid() == 0:  # which PgBouncer refuses to run as
        host.run(f"chown -R postgres {world.pooler_folder}")
        command = [*["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"], *command]
    pooler = world.start(command)
    until(lambda: list(world.pooler_folder.glob(".s.PGSQL.*")) or pooler.poll() is not None)
    host.set(address)
    return pooler


def queue_batches(world, host):
    """Carry out the commands line by line: some of them run until they are ended."""
    [block] = blocks_of("batches.md", "Through a queue")
    install, redis, settings, worker = block.splitlines()
    host.run(f"{install} --dry-run")  # the test's own packages have these among them
    queue = world.start(shlex.split(world.here(redis), comments=True))
    host.set("".join(f"{setting}\n" for setting in shlex.split(settings)[1:]))
    return queue, world.start(shlex.split(worker), host.folder)


def works_on_two_hosts(world, operator, worker):
    """Behind nginx with two servers; when the first one has ended; and when nginx knows the second one alone."""
    first, second = world.hosts
    second.install()
    copy_keys, upstream = blocks_of("operating.md", SECOND)
    second.run(copy_keys)
    [block] = blocks_of("batches.md", "Through a queue")
    world.start([*shlex.split(block.splitlines()[-1]), "--hostname", "second@%h"], second.folder)
    folder = world.folder / "nginx"
    folder.mkdir()
    certificate(folder)
    http_port, https_port = free_ports(2)
    alone = "http://127.0.0.1:8000"
    text = configuration(folder, http_port, https_port, 8000)
    assert text.count(alone) == 2
    text = text.replace("\nserver {", f"\n{world.here(upstream)}\nserver {{", 1).replace(alone, "http://tms_dashboard")
    (folder / "nginx.conf").write_text(text)
    url = f"https://localhost:{https_port}"
    with nginx_in(folder):
        session = session_from("127.0.0.1", folder)
        operator.use(session)
        works(operator, first, second, url=url)
        ended(worker)
        with second.serving():
            until(lambda: session.get(f"{url}/health", timeout=60).status_code == 200)
            (folder / "nginx.conf").write_text(text.replace(f"server 127.0.0.1:{first.port};", ""))
            second.run(f"nginx -e {folder}/nginx.log -p {folder} -c {folder}/nginx.conf -s reload")
            until(lambda: {session.get(f"{url}/health", timeout=60).status_code for _ in range(4)} == {200})
            operator.act()
            operator.run_batch()
