"""granian, as `python -m granian` runs it, but on a listening socket that it inherits.

`python -m tmsdash.server.on_given_socket DESCRIPTOR ARGUMENTS...`: the arguments are granian's. Its address and port are
not used, as the socket has them.
"""

import socket
import sys

from granian import cli
from granian.net import SocketHolder
from granian.server import MPServer


class _Server(MPServer):
    """All workers accept from one socket, which stays open when they end."""

    descriptor = -1

    def _init_shared_socket(self) -> None:
        self._ssp = None
        self._sfd = self.descriptor
        self._shd = SocketHolder(self.descriptor, False, self.backlog)
        self._sso = socket.socket(fileno=self.descriptor)


def main() -> None:
    """Run granian's command line."""
    _Server.descriptor = int(sys.argv.pop(1))
    cli.Server = _Server
    cli.entrypoint()


if __name__ == "__main__":
    main()
