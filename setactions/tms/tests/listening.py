"""Servers that nothing can be sent to, each for a reason of its own, and the certificates that some of them have."""

import http.server
import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LOOPBACK = x509.IPAddress(ip_address("127.0.0.1"))


class Authority:
    """A certificate authority of its own; `file` holds its certificate in PEM, as TMS_CA_BUNDLE names it."""

    def __init__(self, folder):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("authority")
        builder = _builder(self._key, self._key, -9, 9).subject_name(self._name).issuer_name(self._name)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        certificate = builder.add_extension(usage, critical=True).sign(self._key, SHA256())
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, names=(LOOPBACK,), *, from_day=-1, to_day=1, is_self_signed=False):
        """A file with a key and its certificate, valid between two days from now."""
        key, subject = ec.generate_private_key(ec.SECP256R1()), _named("tms")
        signer, issuer = (key, subject) if is_self_signed else (self._key, self._name)
        builder = _builder(key, signer, from_day, to_day).subject_name(subject).issuer_name(issuer)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(signer, SHA256())
        file = self._folder / f"{certificate.serial_number}.pem"
        pem_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(pem_key + certificate.public_bytes(Encoding.PEM))
        return file


def _named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(key, signer, from_day, to_day):
    """What all certificates have. Python 3.13 and later insist on the identifiers of both keys."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(from_day))
        .not_valid_after(now + timedelta(to_day))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request with the server's status, and notes that there was one."""

    def do_POST(self):
        self.server.requests.append((self.command, self.path, str(self.headers)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_CONNECT = do_GET = do_HEAD = do_POST  # noqa: N815

    def log_message(self, *args):
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *args):
        """Say nothing of handshakes that fail: they are what is tested."""


@contextmanager
def listening(pem=None, status=500, **tls):
    """A server on loopback: plain, or with the key and certificate of a file and attributes of its TLS context."""
    with _Server(("127.0.0.1", 0), _Answers) as server:
        server.requests, server.status = [], status
        if pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            for name, value in tls.items():
                setattr(context, name, value)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def full():
    """The address of a listener that accepts nobody, and whose queue is full: whoever connects waits in vain."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        for connection in waiting:
            connection.close()


@contextmanager
def closing():
    """The address of a listener that takes connections and closes them at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                connection, _ = listener.accept()
                with connection:
                    if not connection.recv(1):  # the one with which the test ends
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        socket.create_connection(listener.getsockname()).close()
        thread.join()
