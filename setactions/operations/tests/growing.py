"""Installations that follow the pages word for word: commands go to bash, settings into `.env`.

Hosts, ports and folders of the examples are replaced by those of the test; `sudo` and `scp` have stand-ins.
"""

import csv
import os
import re
import secrets
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import requests
from django.conf import settings as django_settings

from tmsdash.tests.fixtures import PASSWORD, TOKEN
from tmsdash.tests.tools import free_ports, until

DOCS = django_settings.BASE_DIR / "docs"
STAND_INS = """
set -euo pipefail
sudo() { [ "$1" != -u ] || shift 2; "$@"; }
scp() { cp -p "$@"; }
"""
OTHER_KEY = "a key that some other host has made for itself, and no database knows"


def blocks_of(page, heading):
    """The fenced blocks below a heading, up to the next one."""
    text = (DOCS / page).read_text()
    section = re.split(r"^#+ ", text.split(f" {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```\w*\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


class World:
    """The folders, ports and processes of this test, in the place of those that the pages name."""

    def __init__(self, folder, stack):
        self.folder, self._stack = folder, stack
        self.postgresql = os.environ["TEST_POSTGRES_URL"].rpartition(":")[2]
        self.pooler, self.queue, first, second = free_ports(4)
        # PostgreSQL's own user writes the list of passwords, and PgBouncer runs as that user.
        self.pooler_folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.hosts = [Host(self, folder / "first", first), Host(self, folder / "second", second)]
        self.replacements = {
            "dash1.example:/opt/tms-dashboard": str(self.hosts[0].folder),
            "/backups/": f"{folder}/backups/",
            "/etc/pgbouncer": str(self.pooler_folder),
            "db.example:6432": f"127.0.0.1:{self.pooler}",
            "db.example/": f"127.0.0.1:{self.postgresql}/",
            "listen_addr = *": "listen_addr = 127.0.0.1",
            "listen_port = 6432": f"listen_port = {self.pooler}",
            "port=5432": f"port={self.postgresql}",
            "redis-server ": f"redis-server --bind 127.0.0.1 --port {self.queue} --dir {folder} ",
            "queue.example:6379": f"127.0.0.1:{self.queue}",
            "10.0.0.1:8000": f"127.0.0.1:{first}",
            "10.0.0.2:8000": f"127.0.0.1:{second}",
        }

    def here(self, text):
        """What a page says, with what is here in the place of its examples."""
        for example, replacement in self.replacements.items():
            text = text.replace(example, replacement)
        return text

    def start(self, command, cwd=None):
        """Start a program that runs until the test is over, or is ended before."""
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(command, cwd=cwd, env=self.environment, stdout=log, stderr=log)
        self._stack.callback(ended, process)
        return process

    @property
    def environment(self):
        of_psql = {"PGHOST": "127.0.0.1", "PGPORT": self.postgresql, "PGUSER": "tms", "PGDATABASE": "postgres"}
        return {"PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(self.folder)} | of_psql


def ended(process):
    process.terminate()
    assert process.wait(60) is not None


class Host:
    """An installation in a folder of its own."""

    def __init__(self, world, folder, port):
        self.world, self.folder, self.port = world, folder, port
        self.url = f"http://127.0.0.1:{port}"

    def run(self, commands, cwd=None, **environment):
        """Carry out commands as they stand on a page."""
        text = self.world.here(commands).replace("/opt/tms-dashboard", str(self.folder))
        ended = subprocess.run(
            ["/bin/bash", "-c", STAND_INS + text],
            cwd=cwd or self.folder,
            env=self.world.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, (text, ended.stdout, ended.stderr)
        return ended.stdout

    def install(self):
        self.folder.mkdir()
        self.run(blocks_of("install.md", "By hand")[0], cwd=django_settings.BASE_DIR)
        (self.folder / ".venv").symlink_to(sys.prefix)

    def set(self, lines):
        """Put settings into `.env`, in the place of those of the same names."""
        self.unset(*re.findall(r"^(\w+)=", lines, re.MULTILINE))
        with (self.folder / ".env").open("a") as file:
            file.write(self.world.here(lines))

    def unset(self, *names):
        file = self.folder / ".env"
        lines = file.read_text().splitlines() if file.exists() else []
        file.write_text("".join(f"{line}\n" for line in lines if line.partition("=")[0] not in names))

    def manage(self, *arguments, **environment):
        return self.run(f".venv/bin/python manage.py {' '.join(arguments)}", **environment)

    @contextmanager
    def serving(self):
        command = [self.folder / ".venv/bin/python", "manage.py", "serve", "--port", str(self.port)]
        server = self.world.start(command, self.folder)
        try:
            until(lambda: server.poll() is not None or self.is_healthy())
            assert server.poll() is None, (self.world.folder / "log").read_text()[-3000:]
            yield
        finally:
            ended(server)

    def is_healthy(self):
        try:
            return requests.get(f"{self.url}/health", timeout=60).status_code == 200
        except requests.ConnectionError:
            return False

    def refuses_another_key(self):
        """A server whose key is not that of the databases does not start, and says which key it is."""
        command = [self.folder / ".venv/bin/python", "manage.py", "serve", "--port", str(free_ports(1)[0])]
        environment = self.world.environment | {"AUDIT_KEY": OTHER_KEY}
        server = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert server.returncode != 0
        assert "AUDIT_KEY is not this site's: " in server.stderr
        assert OTHER_KEY not in server.stderr


def new_cids(count):
    return [f"c{secrets.token_hex(15)}a" for _ in range(count)]


class Operator:
    """Somebody who performs Set Actions, one by one and in batches, at whatever address the site has."""

    def __init__(self, tms):
        self.tms, self.jobs = tms, set()
        self.use(requests.Session())

    def use(self, session):
        """Ask with these cookies from now on, as requests' Session keeps them."""
        self.session = session
        session.trust_env = False

    def come_to(self, url):
        """Use the site at this address; sign in unless the session there goes on."""
        self.url = url
        if "/login/" in self.session.get(f"{url}/jobs/", timeout=60).url:
            self.session.get(f"{url}/login/", timeout=60)
            signed_in = self._post("/login/", {"username": "root", "password": PASSWORD})
            assert signed_in.ok, signed_in.text
            assert "/login/" not in signed_in.url

    def act(self):
        """One Set Action for two customers."""
        cids = new_cids(2)
        body = {"url": f"{self.tms.url}/tms/v1/set/action", "token": TOKEN, "isPost": True}
        answer = self._post("/proxy_fetch", json=body | {"postData": {"action": "PE-Enable", "cids": cids}})
        assert (answer.status_code, answer.json()["outcome"]) == (200, "accepted"), answer.text

    def run_batch(self):
        """A batch of three chunks, to its end."""
        cids = new_cids(6)
        form = {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "cids": "\n".join(cids)}
        page = self._post("/review/", form)
        shown = dict(re.findall(r'name="(shown)"\s+value="([^"]*)"', page.text))
        started = self._post(f"{page.url.removeprefix(self.url)}start/", shown)
        assert re.search("/batches/[0-9a-f-]{36}/$", started.url), started.text
        until(lambda: "data-every-s" not in self.session.get(started.url, timeout=60).text)
        report = [*csv.DictReader(self.session.get(f"{started.url}report.csv", timeout=60).text.splitlines())]
        assert [row["outcome"] for row in report] == ["accepted"] * len(cids), report
        assert sorted(row["customer_id"] for row in report) == sorted(cids)

    def seen_jobs(self):
        """The ids of all jobs of this operator."""
        answer = self.session.get(f"{self.url}/api/jobs/mine?limit=500", timeout=60)
        self.jobs = {job["job_id"] for job in answer.json()["jobs"]}
        return self.jobs

    def _post(self, path, form=None, **options):
        headers = {"X-CSRFToken": next(c.value for c in self.session.cookies if c.name.endswith("csrftoken"))}
        headers["Referer"] = self.url
        return self.session.post(self.url + path, data=form, headers=headers, timeout=60, **options)
