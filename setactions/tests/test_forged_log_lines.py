"""Whatever strangers, users, files and TMS write, no line of the log begins with [AUDIT] but the audit's own."""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
import requests
from django.conf import settings as django_settings

from tmsdash.tests.tools import install, run_python, until

pytestmark = [pytest.mark.sqlite, pytest.mark.linux]

FORGED = "[AUDIT] INTENT 00000000-0000-4000-8000-000000000000: anchor=1:0123456789abcdef [INFO x]"
SEPARATORS = ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\0", "\x1b[2K")
TEXTS = [FORGED, *(f"{separator}{FORGED}{separator}" for separator in SEPARATORS)]
PASSWORD = "of no use to anybody else"


class _RejectingTms(BaseHTTPRequestHandler):
    """A TMS that answers every action with what a forger of log lines would have it say."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"success": False, "message": "".join(TEXTS)}).encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def site(tmp_path):
    """A served site with the account adam, and a TMS; yields its address, the TMS's, and a way to run commands."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ThreadingHTTPServer(("127.0.0.1", 0), _RejectingTms) as tms:
        threading.Thread(target=tms.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{tms.server_port}"
        variables = {
            **{"VAR_DIR": str(tmp_path / "var"), "AUDIT_SEAL_DIR": str(tmp_path / "seals"), "PYTHONWARNINGS": "always"},
            **{"TMS_CLUSTERS": f"evian3={origin}", "DJANGO_SUPERUSER_PASSWORD": PASSWORD},
        }

        def run(*arguments, **more):
            environment = {"var_dir": variables["VAR_DIR"], **variables, **more}
            del environment["VAR_DIR"]
            ended = run_python("manage.py", *arguments, **environment)
            with (tmp_path / "log").open("a") as log:
                log.write(ended.stdout + ended.stderr)
            return ended

        install(variables["VAR_DIR"])
        assert run("createsuperuser", "--noinput", "--username", "adam", "--email", "").returncode == 0
        with served(port, variables, tmp_path / "log"):
            yield f"http://127.0.0.1:{port}", origin, run
        tms.shutdown()


@contextmanager
def served(port, variables, log):
    """The production server, whose output goes into a file."""
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull} | variables
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    with log.open("a") as output:
        process = subprocess.Popen(command, env=environment, cwd=django_settings.BASE_DIR, stdout=output, stderr=output)
    try:
        until(lambda: _is_healthy(port))
        yield
    finally:
        process.terminate()
        process.wait()


def _is_healthy(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=60).ok
    except requests.RequestException:
        return False


def raw(site, head):
    """Send a request as it is written here, and wait for the end of the answer."""
    host, _, port = site.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode() + b"\r\nConnection: close\r\n\r\n")
        while connection.recv(65_536):
            pass


def plant_as_a_stranger(site):
    for text in TEXTS:
        quoted = quote(text)
        raw(site, f"GET /{quoted}?q={quoted} HTTP/1.1\r\nHost: localhost")
        raw(site, f"GET /static/{quoted} HTTP/1.1\r\nHost: localhost")
        bare = text.replace("\n", "").replace("\r", "").replace("\0", "")  # what a header may hold at all
        for header in ("User-Agent", "X-Forwarded-For", "X-Forwarded-Proto", "Host", "Cookie", "Content-Type", "Range"):
            raw(site, f"GET /nothing HTTP/1.1\r\nHost: localhost\r\n{header}: {bare}")
        raw(site, f"GET / HTTP/1.1\r\nHost: {bare}")
    for text in TEXTS[1::5]:  # each takes as long as a password is hashed
        session = requests.Session()
        session.get(f"{site}/login/", timeout=30)
        form = {"username": text, "password": text, "csrfmiddlewaretoken": session.cookies["csrftoken"], "next": text}
        session.post(f"{site}/login/", data=form, timeout=30)
        session.post(f"{site}/login/", data=form | {"csrfmiddlewaretoken": text}, timeout=30)
        session.post(f"{site}/login/", files={text: (text, text)}, timeout=30)


def plant_as_a_user(site, tms):
    session = requests.Session()
    session.get(f"{site}/login/", timeout=30)
    form = {"username": "adam", "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    assert session.post(f"{site}/login/", data=form, timeout=30).url == f"{site}/"
    headers = {"X-CSRFToken": session.cookies["csrftoken"]}
    for number, text in enumerate(TEXTS):
        body = {"url": f"{tms}/tms/v1/set/action", "token": "t" * 20, "isPost": True}
        for cids, action in (([text], "PE-Enable"), ([f"c{number}"], "PE-Enable"), (["a"], text)):
            data = body | {"postData": {"action": action, "cids": cids}, "sendAgain": True}
            assert session.post(f"{site}/proxy_fetch", json=data, headers=headers, timeout=60).status_code < 500
        for change in ({"url": text}, {"token": text}, {"contentType": text}):
            session.post(f"{site}/proxy_fetch", json=body | change, headers=headers, timeout=60)
        session.get(f"{site}/customers/{quote(text, safe='')}/", timeout=30)
        form = {"csrfmiddlewaretoken": session.cookies["csrftoken"], "username": text}
        session.post(f"{site}/admin/auth/user/add/", data=form, timeout=30)


def test_nothing_that_others_write_begins_a_line_as_the_audit_does(site, tmp_path):
    address, tms, run = site
    plant_as_a_stranger(address)
    plant_as_a_user(address, tms)
    list_file = tmp_path / f"{FORGED[:60]}\n{FORGED[:60]}.csv"
    list_file.write_bytes("\n".join(["customer_id", *(text.strip("\n") for text in TEXTS)]).encode())
    plain = ("--user", "adam", "--cluster", "evian3", "--action", "PE-Enable", "--yes")
    run("set_action_batch", str(list_file), *plain, TMS_TOKEN="t" * 20)
    run("set_action_batch", f"/none\n{FORGED}", *plain, TMS_TOKEN="t" * 20)
    run("set_action_batch", str(list_file), *plain, "--user", f"\n{FORGED}", TMS_TOKEN="t" * 20)
    run("set_action_batch", str(list_file), *plain, f"--x\n{FORGED}", TMS_TOKEN="t" * 20)
    run("audit_verify", "--anchor", f"\n{FORGED}")
    run("audit_verify", "--anchors-from", f"/none\n{FORGED}")
    run("audit_keys", "--acknowledge-lost", f"\n{FORGED}", "--reason", f"\n{FORGED}", "--yes")
    run("audit_export", "--output", f"/none\n{FORGED}")
    run("backup", f"{tmp_path}/log/none\n{FORGED}")
    run("changepassword", f"\n{FORGED}")
    log = tmp_path / "log"
    lines = log.read_text(errors="replace").splitlines()  # at whatever anybody takes for the end of a line
    assert sum("0123456789abcdef" in line for line in lines) >= 4 * len(TEXTS)
    assert [line for line in lines if line.startswith("[AUDIT]") and "0123456789abcdef" in line] == []
    ended = run("audit_verify", "--json", "--anchors-from", str(log))
    found = json.loads(ended.stdout)
    assert (ended.returncode, found["anchors"]) == (0, found["entries"])
