"""To where a stream goes by syslog: a server over TCP, or the daemon of this host.

Over TCP, messages are those of RFC 5424, each behind its length in octets (RFC 6587, and with TLS RFC 5425). Nothing in
these answers: what counts is that the system of the other side has everything. If the connection breaks, a server may
have lost what it had not read, so what was sent shortly before is sent again.
"""

import errno
import fcntl
import socket
import ssl
import struct
import sys
import termios
import time
from collections.abc import Sequence

from audit.proof.stored import StoredEntry
from audit.stream.cursor import StreamError
from audit.stream.lines import line_of

PRIORITY = 13 * 8 + 6  # facility "log audit", severity "informational"
APP = "tms-dashboard"
WAIT_S = 30.0  # for a connection, for room in it, and for what was sent to arrive
SENT_AGAIN_S = 60.0
LOOK_S = 0.002  # how often we look whether it has arrived


class TcpSyslog:
    """A server for syslog, by TLS if there is a context for it."""

    comes_back, sent_again_s = True, SENT_AGAIN_S

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.name = f"the syslog server {host}, port {port}"
        self._address, self._tls = (host, port), tls
        self._socket: socket.socket | None = None

    def _open(self) -> socket.socket:
        connection = socket.create_connection(self._address, WAIT_S)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A server that is gone without a word shows in minutes, not in hours.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return self._tls.wrap_socket(connection, server_hostname=self._address[0]) if self._tls else connection
        except BaseException:
            connection.close()
            raise

    def check(self) -> socket.socket:
        """Be connected, and return the connection; raises OSError if the server has closed it."""
        connection = self._socket = self._socket or self._open()
        connection.settimeout(0)
        try:
            while connection.recv(4096):
                pass  # tickets of TLS, for instance; servers have nothing to say
            raise ConnectionResetError(errno.ECONNRESET, "the server has closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError):
            connection.settimeout(WAIT_S)
        return connection

    def take(self, entries: Sequence[StoredEntry]) -> None:
        connection = self.check()
        for entry in entries:
            message = message_of(entry)
            connection.sendall(f"{len(message)} {message}".encode("ascii"))
        until = time.monotonic() + WAIT_S
        while _unconfirmed(connection):
            if time.monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, "the server does not take what is sent")
            self.check()
            time.sleep(LOOK_S)  # the system tells nobody when it has arrived
        self.check()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class LocalSyslog:
    """The daemon that reads a socket of this host, such as /dev/log, in the form that all of them read."""

    comes_back, sent_again_s = True, 0.0

    def __init__(self, path: str) -> None:
        self.name, self._path = path, path
        self._socket: socket.socket | None = None

    def _open(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        connection.settimeout(WAIT_S)
        try:
            connection.connect(self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def check(self) -> socket.socket:
        """Be connected, and return the connection."""
        self._socket = self._socket or self._open()
        return self._socket

    def take(self, entries: Sequence[StoredEntry]) -> None:
        connection = self.check()
        for entry in entries:
            message = f"<{PRIORITY}>{APP}: {line_of(entry)}".encode("ascii")
            try:
                connection.send(message)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise
                raise StreamError(
                    f"Entry {entry.sequence} has {len(message):,} bytes, more than {self._path} takes. Stream to a "
                    "file, or over TCP: --output FILE, --syslog HOST:PORT."
                ) from None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def message_of(entry: StoredEntry) -> str:
    """Return an entry as a message of RFC 5424: its time, this host, and its kind as the message's."""
    at, host, kind = entry.time.replace(" ", "T") + "Z", socket.gethostname(), entry.kind
    return f"<{PRIORITY}>1 {_word(at, 40)} {_word(host, 255)} {APP} - {_word(kind, 32)} - {line_of(entry)}"


def _word(text: str, limit: int) -> str:
    """Return a field of the header: visible ASCII without blanks, whatever somebody wrote into the database."""
    return "".join(letter for letter in text if "!" <= letter <= "~")[:limit] or "-"


def _unconfirmed(connection: socket.socket) -> int:
    """Return how many bytes the other side's system has not confirmed yet; 0 where nobody can tell."""
    if sys.platform != "linux":
        return 0
    [count] = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))
    return int(count)
