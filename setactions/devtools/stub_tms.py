"""The least that can stand for TMS: a process that accepts every call after so many seconds.

    python -m setactions.devtools.stub_tms SECONDS

prints its port. It looks at no id and remembers nothing, so that it hardly competes with what is measured.
"""

import asyncio
import re
import sys

from tmsdash.processes import end_with_parent

BODY = b'{"message": "Sending action to migration services", "success": true}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
END_OF_HEAD = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One connection, on which calls may follow each other."""

    latency_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._head, self._missing = b"", 0  # of a call that is still arriving

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            self._head += data
            end = self._head.find(END_OF_HEAD)
            if end < 0:
                return
            length = LENGTH.search(self._head, 0, end + 2)
            self._missing = int(length[1]) if length else 0
            data, self._head = self._head[end + len(END_OF_HEAD) :], b""
        self._missing -= len(data)
        if self._missing <= 0:
            self._missing = 0
            asyncio.get_running_loop().call_later(self.latency_s, self._answer)

    def _answer(self) -> None:
        self._transport.write(ANSWER)  # type: ignore[attr-defined]


async def main(latency_s: float) -> None:
    """Serve for ever."""
    Connection.latency_s = latency_s
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    end_with_parent()
    asyncio.run(main(float(sys.argv[1])))
