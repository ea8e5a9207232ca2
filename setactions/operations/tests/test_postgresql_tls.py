"""PostgreSQL over TLS with a certificate of one's own: the site and its backups hold to what the URL says."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from unittest.mock import patch

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connections

from setactions.operations.backups import postgresql
from setactions.operations.backups.engine import BackupError
from tmsdash.db.transactions import own_session
from tmsdash.tests.tools import until

pytestmark = [pytest.mark.postgresql, pytest.mark.usefixtures("databases")]


def openssl(folder, *arguments):
    subprocess.run([shutil.which("openssl") or "openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with a certificate authority, another one, and a server's certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        openssl(
            folder, *f"req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name}".split()
        )
    asking = "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=db -addext"
    openssl(folder, *asking.split(), "subjectAltName=IP:127.0.0.1")
    signing = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.crt -copy_extensions copy"
    openssl(folder, *signing.split())
    return folder


@pytest.fixture
def tls(certificates):
    """The server of the tests speaks TLS; without it again afterwards."""
    with psycopg.connect(f"{os.environ['TEST_POSTGRES_URL']}/postgres", autocommit=True) as session:
        data = Path(session.execute("SHOW data_directory").fetchone()[0])
        for name in ("server.crt", "server.key"):
            (data / name).write_bytes((certificates / name).read_bytes())
            os.chown(data / name, data.stat().st_uid, data.stat().st_gid)
            (data / name).chmod(0o600)
        switch(session, "on")
        yield
        switch(session, "off")


def switch(session, state):
    session.execute(f"ALTER SYSTEM SET ssl = {state}")
    session.execute("SELECT pg_reload_conf()")
    until(lambda: session.execute("SHOW ssl").fetchone() == (state,))


def tries(**options):
    """Whether the site connects to its jobs with these options in the URL, and whether a backup of it does."""
    described = settings.DATABASES["jobs"]["OPTIONS"] | {key: str(value) for key, value in options.items()}
    connection = connections["jobs"]
    with patch.dict(connection.settings_dict, OPTIONS=described):
        try:
            with own_session(connection) as session:
                [site] = session.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        except OperationalError as error:
            site = str(error)
        try:
            with tempfile.NamedTemporaryFile() as file:
                postgresql.PostgresqlDatabase("jobs").dump(Path(file.name), lambda: None)
            backup = True
        except BackupError as error:
            backup = str(error)
    return site, backup


def test_the_server_is_believed_with_the_authority_of_the_url_only(tls, certificates):
    assert tries(sslmode="verify-full", sslrootcert=certificates / "ca.pem") == (True, True)
    for said in tries(sslmode="verify-full", sslrootcert=certificates / "other.pem"):
        assert "certificate verify failed" in said


def test_a_server_without_tls_gets_no_password_of_ours(certificates):
    for said in tries(sslmode="verify-full", sslrootcert=certificates / "ca.pem"):
        assert "server does not support SSL" in said


def test_the_authorities_of_the_system_count_for_backups_by_older_programs_too(tls, certificates, monkeypatch):
    for said in tries(sslmode="verify-full", sslrootcert="system"):
        assert "certificate verify failed" in said  # a certificate of one's own
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))  # what OpenSSL takes the system's to be
    assert tries(sslmode="verify-full", sslrootcert="system") == (True, True)


def test_backups_hold_to_the_other_options_too(tls, certificates):
    [_, said] = tries(sslmode="require", ssl_min_protocol_version="TLSv1.9")
    assert "TLSv1.9" in said
