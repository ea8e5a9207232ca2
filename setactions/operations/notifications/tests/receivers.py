"""Real receivers on loopback: a webhook that answers as it is told, and a mail server that keeps what it is sent."""

import socketserver
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Webhook(ThreadingHTTPServer):
    """Keeps path, headers and body of each request; `answers` are the statuses of the next ones, 200 after that."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken, self.answers = [], []
        self.url = f"http://127.0.0.1:{self.server_port}/hook/a-secret-path?team=1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, dict(self.headers), body))
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == "drip":  # a head that never ends, with a byte now and then
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            with suppress(OSError):
                while not self.server.is_closing.wait(0.05):
                    self.wfile.write(b"x")
            return
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Say nothing."""


class MailServer(socketserver.ThreadingTCPServer):
    """Keeps each mail; `refuses` is a command that it answers with 550, and it drips at what it `drips` at."""

    daemon_threads = allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.mails, self.refuses, self.drips = [], "", ""

    def handle_error(self, *args):
        """Say nothing of handshakes that fail: they are what is tested."""


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        self.drip("CONNECT")
        self.say("220 ready")
        while line := self.rfile.readline().decode().strip():
            command = line.partition(" ")[0].upper()
            self.drip(command)
            if command == self.server.refuses:
                self.say("550 no")
            elif command == "DATA":
                self.say("354 go on")
                self.server.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                self.say("250 taken")
            else:
                self.say("250 fine")
            if command == "QUIT":
                return

    def drip(self, command):
        with suppress(OSError):  # the client has hung up
            while command == self.server.drips and not self.server.is_closing.wait(0.02):
                self.say("250-wait")

    def say(self, line):
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def running(server):
    """Serve until the block ends."""
    server.is_closing = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.is_closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
