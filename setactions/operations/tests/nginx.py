"""A real nginx for tests, set up as documented."""

import os
import re
import subprocess
from contextlib import contextmanager, suppress

import requests
from django.conf import settings as django_settings
from requests.adapters import HTTPAdapter

from tmsdash.tests.tools import until

DOCUMENTED = django_settings.BASE_DIR / "deploy" / "nginx.conf"
# As files of /etc/nginx/sites-enabled/ are included; everything that it writes goes into its folder.
AROUND = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; {user}
events {{ worker_connections 16384; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/1; uwsgi_temp_path {folder}/2; scgi_temp_path {folder}/3;
    {site}
}}
"""


def certificate(folder):
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    command = f"{request} -addext subjectAltName=DNS:localhost"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)


def below_a_path(text):
    """The configuration as docs/operating.md says to change it for a site below /tms."""
    page = (django_settings.BASE_DIR / "docs" / "operating.md").read_text()
    command = ["sed", re.search(r"^sed -i '(.*tms_base.*)' ", page, re.MULTILINE)[1]]
    return subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout


def configuration(folder, http_port, https_port, port):
    """The documented site, with nothing changed but names, ports and files."""
    site = DOCUMENTED.read_text()
    for documented, here in {
        "listen 80;": f"listen 127.0.0.1:{http_port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{https_port} ssl;",
        "dash.example;": "localhost;",
        "/etc/ssl/dash.example.pem": f"{folder}/cert.pem",
        "/etc/ssl/dash.example.key": f"{folder}/key.pem",
        "/var/log/nginx/": f"{folder}/",
        "https://dash.example$": f"https://localhost:{https_port}$",
        "127.0.0.1:8000": f"127.0.0.1:{port}",
    }.items():
        assert documented in site
        site = site.replace(documented, here)
    return AROUND.format(folder=folder, site=site, user="user root;" if os.geteuid() == 0 else "")


@contextmanager
def running(command, folder, **environment):
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(command, env=environment, cwd=django_settings.BASE_DIR, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def nginx_in(folder):
    """nginx with the configuration and the certificate in `folder`."""
    command = f"nginx -e {folder}/nginx.log -p {folder} -c {folder}/nginx.conf".split()
    with running(command, folder, PATH=os.environ["PATH"]):
        yield


class FromAddress(HTTPAdapter):
    """Connects from an address of the loopback network."""

    def __init__(self, address):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, source_address=(self.address, 0), **kwargs)


def session_from(address, folder):
    """A session of requests that connects from `address` and trusts the certificate in `folder`."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(folder / "cert.pem")
    for scheme in ("http://", "https://"):
        session.mount(scheme, FromAddress(address))
    return session


def wait_for_answer(url, folder, status=200):
    """Return once what stands behind the nginx of `folder` answers at `url` with this status."""

    def answers():
        with session_from("127.0.0.1", folder) as session, suppress(requests.RequestException):
            return session.get(url, timeout=60).status_code == status
        return False

    until(answers)
