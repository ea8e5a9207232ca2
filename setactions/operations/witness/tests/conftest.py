"""A real site on loopback, over TLS, that a witness asks."""

import ssl
import threading
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connections

from setactions.operations.notifications.tests.conftest import mail
from setactions.tms.tests.listening import Authority
from tmsdash import rates

__all__ = ["mail"]  # a fixture of notifications

TOKEN = "witness-0123456789abcdef"


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@contextmanager
def serving(application, pem=None):
    """The address of a server of one thread, over TLS with the key and certificate of a file."""
    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
    server.handle_error = lambda *_: None  # handshakes that fail are what is tested
    if pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http{'s' * bool(pem)}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority, and the file of a certificate for loopback."""
    made = Authority(tmp_path_factory.mktemp("authority"))
    return made, made.issue()


@pytest.fixture
def site(databases, settings, authority):
    """The address of the product itself, whose witnesses have TOKEN."""
    settings.AUDIT_WITNESS_TOKEN = TOKEN
    rates.forget()
    product = get_wsgi_application()

    def application(environ, start_response):
        try:
            response = product(environ, start_response)
            content = b"".join(response)
            response.close()
        finally:
            connections.close_all()  # of the server's thread
        return [content]

    with serving(application, authority[1]) as address:
        yield address
    rates.forget()
