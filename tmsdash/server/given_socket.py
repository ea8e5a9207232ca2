"""A listening socket that systemd holds open while the server is restarted, by the protocol of sd_listen_fds(3)."""

import os
import socket

FIRST = 3  # the descriptor of the first socket
VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class SocketError(Exception):
    """What was passed cannot be served on; the text says why, and what to change."""


def take() -> socket.socket | None:
    """Return the socket that this process was started with, None if with none; no child is told of it.

    Raises SocketError if there are several, or one that is no listening socket of TCP.
    """
    count, pid = (os.environ.get(name, "") for name in VARIABLES[:2])
    for name in VARIABLES:
        os.environ.pop(name, None)
    if pid != str(os.getpid()) or not count.isdecimal() or count == "0":
        return None  # what is meant for another process, such as a shell above this one, is left alone
    if count != "1":
        raise SocketError(f"systemd passes {count} sockets. Leave one ListenStream= in the socket unit.")
    try:
        given = socket.socket(fileno=FIRST)
        is_listening = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SocketError(f"What systemd passes is no socket ({error.strerror}). Use ListenStream=.") from None
    if given.family not in (socket.AF_INET, socket.AF_INET6) or given.type != socket.SOCK_STREAM or not is_listening:
        given.close()
        raise SocketError(
            "What systemd passes is no listening socket of TCP. Write ListenStream=127.0.0.1:8000 or the like, and "
            "Accept=no, into the socket unit."
        )
    given.set_inheritable(False)
    given.setblocking(False)
    return given
