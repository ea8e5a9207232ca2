"""Time-stamps of checkpoints, by an authority of this test's own: openssl's, behind a server of HTTP."""

import io
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from audit.choices import Kind
from audit.models import Attempt, CheckpointTimestamp, StoredCheckpoint
from audit.proof.evidence import gather
from audit.proof.evidence_pack import pack
from audit.tests.making import make_attempt
from audit.tests.sealing import run
from audit.transparency import timestamps
from tmsdash import env_addresses

pytestmark = [pytest.mark.timestamps, pytest.mark.usefixtures("databases", "empty_seal_dir")]
CONFIGURATION = """
[tsa]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[extensions]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def openssl(words, folder, **options):
    return subprocess.run(
        [shutil.which("openssl"), *words.split()], cwd=folder, check=True, capture_output=True, **options
    ).stdout


def make_authority(folder):
    """An authority with a certificate that a root of its own signed."""
    folder.mkdir()
    folder.joinpath("tsa.cnf").write_text(CONFIGURATION.format(folder=folder))
    folder.joinpath("serial").write_text("01\n")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    root = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
    openssl(f"req -x509 {key} -subj /CN=root -days 2 {root} -keyout root.key -out root.pem", folder)
    openssl(f"req {key} -subj /CN=tsa -keyout tsa.key -out tsa.csr", folder)
    signing = "-CA root.pem -CAkey root.key -days 2 -extfile tsa.cnf -extensions extensions"
    openssl(f"x509 -req -in tsa.csr {signing} -out tsa.pem", folder)
    return folder


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """Two authorities, of which the first one is to be believed."""
    folder = tmp_path_factory.mktemp("authorities")
    return make_authority(folder / "ours"), make_authority(folder / "other")


class Handler(BaseHTTPRequestHandler):
    """Stamps what it is sent, unless its server says what to answer instead."""

    def do_POST(self):
        request = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/timestamp-query"
        self.server.folder.joinpath("query").write_bytes(request)
        reply = openssl("ts -reply -config tsa.cnf -section tsa -queryfile query", self.server.folder)
        status, answer = self.server.change(reply)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def authority(authorities, settings):
    """The first one, which is asked; `change` may make something else of its answer."""
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.folder, server.change = authorities[0], lambda reply: (200, reply)
        settings.AUDIT_TIMESTAMP_URL = f"http://127.0.0.1:{server.server_port}/tsa"
        settings.AUDIT_TIMESTAMP_CA = str(authorities[0] / "root.pem")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_checkpoint_is_stamped_and_openssl_checks_what_the_pack_holds(audited, authority, settings, tmp_path):
    assert run("audit_seal")[0] == 0
    stored, stamp = StoredCheckpoint.objects.get(), CheckpointTimestamp.objects.get()
    assert stamp.size == stored.size
    assert abs((stamp.stamped_at - stored.created_at).total_seconds()) < 60
    assert run("audit_verify")[0] == 0
    content = pack(gather(Attempt.objects.first()), "audrey")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "pack.zip").write_bytes(content)
    said = subprocess.run(
        [sys.executable, "verify.py", "pack.zip"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "\nPROVEN: " in said.stdout, said
    page = (settings.BASE_DIR / "docs" / "audit.md").read_text()
    [command] = re.findall(r"^openssl (ts -verify .*)$", page, re.MULTILINE)
    (tmp_path / "authority.pem").write_bytes(Path(settings.AUDIT_TIMESTAMP_CA).read_bytes())
    assert b"Verification: OK" in openssl(command, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda reply: (503, reply), "answered HTTP 503"),
        (lambda reply: (200, b""), "no time-stamp by an authority"),
        (lambda reply: (200, reply[:-9]), "no time-stamp by an authority"),
        (lambda reply: (200, reply * 100), "too long"),
        (None, "cannot be reached"),
    ],
)
def test_whatever_the_authority_does_the_audit_is_sealed(audited, authority, caplog, settings, change, words):
    if change is None:
        settings.AUDIT_TIMESTAMP_URL = "http://127.0.0.1:9/"
    authority.change = change
    code, printed = run("audit_seal")
    assert (code, printed[:15]) == (0, "Sealed: number ")
    assert any(line.startswith("[STAMP] NOT STAMPED: size=9.") and words in line for line in caplog.messages), (
        caplog.text
    )
    assert not CheckpointTimestamp.objects.exists()
    assert run("audit_verify")[0] == 0


def test_a_stamp_of_something_else_by_somebody_else_or_at_another_time_is_found(
    audited, authority, authorities, settings
):
    replies = []
    authority.change = lambda reply: replies.append(reply) or (200, reply)
    run("audit_seal")
    make_attempt(Kind.ACCEPTED, cids=("f6",))
    run("audit_seal")
    first, second = StoredCheckpoint.objects.order_by("size").values_list("size", flat=True)
    stamps = CheckpointTimestamp.objects.order_by("size")
    own = bytes(stamps[1].answer)
    for values in (
        {"answer": replies[0]},
        {"answer": b""},
        {"answer": own[:-1]},
        {"stamped_at": stamps[1].stamped_at.replace(year=2020)},
        {"size": second + 1},
    ):
        before = stamps.values("answer", "stamped_at").last()
        CheckpointTimestamp.objects.filter(size=second).update(**values)
        code, printed = run("audit_verify")
        assert (code, f"checkpoint {values.get('size', second)}" in printed) == (3, True), printed
        CheckpointTimestamp.objects.filter(size__gte=second).update(size=second, **before)
    assert run("audit_verify")[0] == 0
    settings.AUDIT_TIMESTAMP_CA = str(authorities[1] / "root.pem")
    code, printed = run("audit_verify")
    assert (code, f"checkpoint {first}" in printed) == (3, True)
    settings.AUDIT_TIMESTAMP_CA = ""
    code, printed = run("audit_verify")
    assert (code, "time-stamps of checkpoints" in printed) == (0, True), printed


def test_one_changed_byte_anywhere_is_no_traceback(audited, authority):
    run("audit_seal")
    stamp, note = CheckpointTimestamp.objects.get(), StoredCheckpoint.objects.get().note.encode()
    answer = bytes(stamp.answer)
    assert timestamps.checked(answer, note) == stamp.stamped_at
    fits = 0
    for index in range(len(answer)):
        changed = bytearray(answer)
        changed[index] ^= 1
        try:
            fits += timestamps.checked(bytes(changed), note) == stamp.stamped_at
        except timestamps.TimestampError:
            continue
    assert fits < len(answer) / 10  # words of the authority that nobody signs


@pytest.mark.parametrize(
    "value", ["ftp://tsa.example", "http://tsa example", "https://u:p@tsa.example", "http://h:99999/"]
)
def test_an_address_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv("AUDIT_TIMESTAMP_URL", value)
    with pytest.raises(ImproperlyConfigured, match="AUDIT_TIMESTAMP_URL: write http"):
        env_addresses.authority("AUDIT_TIMESTAMP_URL", needs=("AUDIT_TIMESTAMP_CA", "file"))
    monkeypatch.setenv("AUDIT_TIMESTAMP_URL", "http://tsa.example/x?y=1")
    with pytest.raises(ImproperlyConfigured, match="set AUDIT_TIMESTAMP_CA, too"):
        env_addresses.authority("AUDIT_TIMESTAMP_URL", needs=("AUDIT_TIMESTAMP_CA", ""))
