"""The site as people reach it: the production server behind a real nginx that ends TLS, set up as documented."""

import json
import os
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
from contextlib import ExitStack, closing

import pytest
import requests
from django.conf import settings as django_settings

from setactions.devtools.simulator import Simulator
from setactions.operations.tests.nginx import (
    certificate,
    configuration,
    nginx_in,
    running,
    session_from,
    wait_for_answer,
)
from tmsdash.tests.fixtures import PASSWORD, TOKEN
from tmsdash.tests.tools import free_ports, install, run_python

pytestmark = pytest.mark.nginx

CLIENT = "127.0.0.5"  # an address of the loopback network that is neither nginx's nor the dashboard's


class Site:
    def __init__(self, folder, tms, port, http_port, https_port):
        self.folder, self.tms, self.direct = folder, tms, f"http://127.0.0.1:{port}"
        self.plain, self.url, self.https_port = (
            f"http://localhost:{http_port}",
            f"https://localhost:{https_port}",
            https_port,
        )

    def session(self, address=CLIENT):
        return session_from(address, self.folder)

    def signed_in(self, address=CLIENT):
        session = self.session(address)
        form = {"username": "root", "password": PASSWORD, "csrfmiddlewaretoken": self.form_token(session, "/login/")}
        answer = session.post(f"{self.url}/login/", form, headers={"Referer": self.url, "X-Forwarded-For": "6.6.6.6"})
        assert answer.url == f"{self.url}/"
        return session

    def form_token(self, session, path):
        return re.search(r'csrfmiddlewaretoken" value="(\w+)"', session.get(self.url + path).text)[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nginx")
    port, http_port, https_port = free_ports(3)
    certificate(folder)
    (folder / "nginx.conf").write_text(configuration(folder, http_port, https_port, port))
    with Simulator() as tms:
        environment = {
            "PATH": os.environ["PATH"],
            "ENV_FILE": os.devnull,
            "VAR_DIR": str(folder),
            "TMS_CLUSTERS": f"evian3={tms.url}",
            "ALLOWED_HOSTS": "localhost",
            "HTTPS_ONLY": "true",  # as it would be for any name but localhost
            "TRUSTED_PROXIES": "127.0.0.1",
            "WEB_THREADS": "8",
        }
        install(folder)
        make = ("manage.py", "createsuperuser", "--noinput", "--username", "root", "--email", "")
        assert run_python(*make, var_dir=folder, DJANGO_SUPERUSER_PASSWORD=PASSWORD).returncode == 0
        serve = [sys.executable, "manage.py", "serve", "--port", str(port)]
        with running(serve, folder, **environment), nginx_in(folder):
            site = Site(folder, tms, port, http_port, https_port)
            wait_for_answer(f"{site.url}/health", folder)
            yield site


def audited(site, kind):
    """User and address of the audit's entries of one kind."""
    with closing(sqlite3.connect(site.folder / "audit.db")) as audit:
        query = "SELECT user_id, ip_address FROM audit_auditentry WHERE kind = ? ORDER BY sequence"
        return audit.execute(query, [kind]).fetchall()


def test_plain_http_leads_to_https_and_stays_there(site):
    answer = site.session().get(f"{site.plain}/jobs/?whose=all")
    assert [step.status_code for step in answer.history] == [301, 302]
    assert answer.url == f"{site.url}/login/?next=/jobs/%3Fwhose%3Dall"
    assert (answer.status_code, "Sign in" in answer.text) == (200, True)


def test_a_script_on_plain_http_hears_that_its_token_is_burnt(site):
    body = {"url": f"{site.tms.url}/tms/v1/set/action", "token": TOKEN, "isPost": True, "postData": {}}
    for url, headers in ((site.plain, {}), (site.direct, {"Host": "localhost"})):
        answer = site.session().post(f"{url}/proxy_fetch", json=body, headers=headers, allow_redirects=False)
        assert (answer.status_code, answer.json()["outcome"]) == (403, "refused")
        assert "What you sent has crossed the network unprotected" in answer.json()["message"]
    assert TOKEN not in (site.folder / "log").read_text()


def test_nobody_gets_around_the_proxy_by_plain_http(site):
    answer = requests.get(f"{site.direct}/login/", headers={"Host": "localhost"}, allow_redirects=False, timeout=30)
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://localhost/login/")
    assert requests.get(f"{site.direct}/health", headers={"Host": "localhost"}, timeout=30).ok  # for load balancers


def test_cookies_and_headers_are_those_of_a_secure_site(site):
    session = site.signed_in()
    cookies = {cookie.name: cookie for cookie in session.cookies}
    assert len(cookies) == 4  # each under the site's own name and the plain one
    assert {name.partition(".")[0] for name in cookies} == {"__Host-sessionid", "__Host-csrftoken"}
    for cookie in cookies.values():
        assert (cookie.secure, cookie.path, cookie.domain_specified) == (True, "/", False)
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert cookie.get_nonstandard_attr("SameSite") == "Lax"
    headers = session.get(f"{site.url}/jobs/").headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "no-store" in headers["Cache-Control"]


def test_the_audit_has_the_address_of_the_client_not_what_it_claims(site):
    session = site.signed_in()
    assert audited(site, "SIGNED_IN")[-1] == ("root", CLIENT)
    form = {"csrfmiddlewaretoken": site.form_token(session, "/jobs/")}
    session.post(f"{site.url}/logout/", form, headers={"Referer": site.url})
    assert audited(site, "SIGNED_OUT")[-1] == ("root", CLIENT)


def test_a_set_action_goes_through(site):
    session = site.signed_in()
    body = {
        "url": f"{site.tms.url}/tms/v1/set/action",
        "token": TOKEN,
        "isPost": True,
        "postData": {"action": "PE-Enable", "cids": ["a1", "b2"]},
    }
    headers = {"X-CSRFToken": session.cookies["__Host-csrftoken"], "Referer": f"{site.url}/"}
    answer = session.post(f"{site.url}/proxy_fetch", json=body, headers=headers)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "accepted")
    assert audited(site, "INTENT")[-1] == ("root", CLIENT)
    assert session.get(f"{site.url}/jobs/{answer.json()['job_id']}/").ok


def test_what_is_too_large_is_refused_in_our_words(site):
    session = site.signed_in()
    headers = {"Referer": f"{site.url}/"}
    answer = session.post(f"{site.url}/review/", files={"file": b"x" * (5 * 1024 * 1024 + 1)}, headers=headers)
    assert (answer.status_code, "The request is larger than 5 MiB." in answer.text) == (413, True)
    assert session.post(f"{site.url}/review/", files={"file": b"x" * (7 << 20)}, headers=headers).status_code == 413


def test_bodies_that_never_end_reach_no_thread(site):
    """More of them than the server has threads; without nginx in between they would take all that receive."""
    trust = ssl.create_default_context(cafile=site.folder / "cert.pem")
    head = f"POST /login/ HTTP/1.1\r\nHost: localhost:{site.https_port}\r\nContent-Length: 1000\r\n\r\na"
    with ExitStack() as half_sent:
        for _ in range(20):
            address = ("127.0.0.7", 0)  # so that its sign-ins are nobody else's
            plain = half_sent.enter_context(
                socket.create_connection(("127.0.0.1", site.https_port), source_address=address)
            )
            half_sent.enter_context(trust.wrap_socket(plain, server_hostname="localhost")).sendall(head.encode())
        site.signed_in()


def test_a_burst_of_sign_ins_is_cut_off_while_pages_go_on(site):
    address = "127.0.0.6"
    session = site.signed_in(address)
    stranger = site.session(address)
    codes = [stranger.post(f"{site.url}/login/", {"username": "x"}).status_code for _ in range(30)]
    assert codes[0] == 403  # of the dashboard, for want of a form's security token
    assert codes.count(429) >= 10
    for path in ("/", "/jobs/", "/api/jobs/mine", "/health") * 5:
        assert session.get(site.url + path).status_code == 200


# -- Where one request ends and the next begins ----------------------------------------------------------------------

# Headers on which two servers can disagree; behind each comes the body that one of them sees, and a second request.
AMBIGUOUS = {
    "both lengths": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, the other way": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths in one": b"Content-Length: 0, 5\r\n\r\n0\r\n\r\n",
    "a length with a sign": b"Content-Length: +5\r\n\r\n0\r\n\r\n",
    "a spaced name": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "an unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "an encoding twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a folded header": b"Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
}
SMUGGLED = b"GET /smuggled/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def statuses(connection, headers):
    """What a server answers to a POST with these headers and what follows them, until it has no more to say."""
    connection.settimeout(3)  # long after it answered; nothing more will come
    connection.sendall(b"POST /health HTTP/1.1\r\nHost: localhost\r\n" + headers + SMUGGLED)
    answered = b""
    try:
        while part := connection.recv(1 << 16):
            answered += part
    except (TimeoutError, ConnectionResetError):
        pass
    return re.findall(rb"HTTP/1\.1 (\d+)", answered)


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_request_whose_end_is_in_doubt_is_refused_and_nothing_is_smuggled_behind_it(site, name):
    port = int(site.direct.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as direct:
        given = statuses(direct, AMBIGUOUS[name])
        assert given in ([b"400"], [b"411"]), given
    context = ssl.create_default_context(cafile=str(site.folder / "cert.pem"))
    with socket.create_connection(("127.0.0.1", site.https_port)) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as behind_nginx:
            given = statuses(behind_nginx, AMBIGUOUS[name])
            assert given in ([b"400"], [b"411"], [b"501"]), given


def test_a_second_request_behind_one_whose_end_is_clear_is_answered(site):
    with socket.create_connection(("127.0.0.1", int(site.direct.rpartition(":")[2]))) as direct:
        assert len(statuses(direct, b"Content-Length: 5\r\n\r\n0\r\n\r\n")) == 2


# -- The examples of docs/api.md, as they stand -----------------------------------------------------------------------

API_PAGE = (django_settings.BASE_DIR / "docs" / "api.md").read_text(encoding="utf-8")


def blocks(language):
    """The fenced blocks of the page that are in `language`, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", API_PAGE, re.MULTILINE | re.DOTALL)


def run_example(site, *command):
    """Run an example with nothing but the variables that the page names; return what it printed."""
    variables = {
        "DASHBOARD_URL": site.url,
        "DASHBOARD_USER": "root",
        "DASHBOARD_PASSWORD": PASSWORD,
        "DASHBOARD_CA": str(site.folder / "cert.pem"),
        "CLUSTER_URL": site.tms.url,
        "TMS_TOKEN": TOKEN,
    }
    assert all(f"`{name}`" in API_PAGE for name in variables)
    done = subprocess.run(
        command, env=variables | {"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def with_gaps(answer, shown):
    """The answer, with what the page shows as "…" in the places where it does."""
    if shown == "…":
        return shown
    if isinstance(answer, dict) and isinstance(shown, dict):
        return {name: with_gaps(value, shown.get(name)) for name, value in answer.items()}
    if isinstance(answer, list) and isinstance(shown, list) and len(answer) == len(shown):
        return [with_gaps(value, gap) for value, gap in zip(answer, shown, strict=True)]
    return answer


@pytest.mark.curl
def test_the_curl_examples_of_the_page_run_and_get_the_answers_that_it_shows(site):
    before = len(site.tms.calls())
    printed = run_example(site, "bash", "-c", "\n".join(blocks("bash")))
    decoder, answers = json.JSONDecoder(), []
    while printed:  # one answer right behind the other
        answer, end = decoder.raw_decode(printed)
        answers, printed = [*answers, answer], printed[end:].lstrip()
    shown = [json.loads(block) for block in blocks("json")]
    assert [with_gaps(answer, gaps) for answer, gaps in zip(answers, shown, strict=True)] == shown
    assert answers[0]["attempt_id"] == answers[0]["job_id"] == answers[1]["job_id"] == answers[2]["job_id"]
    assert [call.path for call in site.tms.calls()[before:]] == ["/tms/v1/set/action", "/tms/v1/get/action"]


def test_the_python_example_of_the_page_runs_and_sends_its_action_once(site):
    before = len(site.tms.calls())
    printed = run_example(site, sys.executable, "-c", "\n".join(blocks("python")))
    assert printed.startswith("T-Enable success ['1000003', '1000053'] ['accepted'")
    assert len(site.tms.calls()) == before + 1


def test_a_download_whose_rows_break_off_is_not_taken_for_a_whole_one(site):
    """The server ends what it sends in good order, whatever the rows do; so the last line has to say it."""
    make = "from jobs.tests.making import make_batch; print(make_batch(cids=[f'c{n}' for n in range(60)]).batch_id)"
    made = run_python("manage.py", "shell", "--no-imports", "-c", make, var_dir=site.folder)
    batch_id = made.stdout.split()[-1]
    with closing(sqlite3.connect(site.folder / "jobs.db")) as jobs, jobs:
        jobs.execute("UPDATE jobs_batchchunk SET cids = '5' WHERE number = 25")
    with site.signed_in() as session:
        answer = session.get(f"{site.url}/batches/{batch_id}/report.csv")
    *rows, last = answer.text.splitlines()
    assert (answer.status_code, rows[-1].split(",")[0]) == (200, "c49")
    assert "INCOMPLETE: the rest could not be read" in last
    log = (site.folder / "log").read_text()
    assert log.count(f"[DOWNLOAD] EXCEPTION: batch-{batch_id}.csv was sent incomplete") == 1
    assert "Traceback" not in log
