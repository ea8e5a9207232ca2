"""The simulator's server: its life, its connections, and its programming interface."""

import ipaddress
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Self

from .calls import Call
from .fleet import fleet_ids
from .handler import Handler
from .state import State

_THREAD_NAME: Final = "TMS simulator"
_MOST_LATENCY_S: Final = 86400.0
_POLL_S: Final = 0.01  # what stopping may take longer; every test that starts a simulator pays it
_STOP_S: Final = 5.0


class Simulator:
    """A fake TMS on loopback. Its methods may be called from any thread, but start and stop only from one."""

    def __init__(self, *, port: int = 0, latency_s: float = 0.0, fleet: int = 0, host: str = "127.0.0.1") -> None:
        """Prepare a simulator; nothing is listening before `start`.

        `port`: 0 picks a free one. `latency_s`: seconds that every TMS call waits before it is applied and
        answered. `fleet`: so many customers exist, those of `fleet_ids`; 0: every id exists. `host`: an
        address of loopback, or "localhost" for 127.0.0.1.

        Raise ValueError for a host beyond loopback and for numbers that make no sense.
        """
        if not 0 <= port <= 65535:
            raise ValueError(f"The port must be between 0 and 65535, not {port}.")
        if not 0 <= latency_s <= _MOST_LATENCY_S:
            raise ValueError(f"The latency must be between 0 and {_MOST_LATENCY_S:.0f} seconds, not {latency_s}.")
        if fleet < 0:
            raise ValueError(f"The size of the fleet must not be negative: {fleet}.")
        self._address = (_loopback_address(host), port)
        self._state = State(cids=fleet_ids(fleet) if fleet else None, latency_s=latency_s)
        self._server: _Server | None = None

    def start(self) -> Self:
        """Start to listen, and return the simulator. Raise OSError when the port cannot be had."""
        if self._server is not None:
            raise RuntimeError("the simulator has been started already")
        self._server = _Server(self._address, self._state)
        self._state.start()
        self._server.start()
        return self

    def stop(self) -> None:
        """End all connections, even those that hang, and free the port. What was recorded remains.

        Do nothing when the simulator is not running. It may be started again.
        """
        if self._server is not None:
            self._state.stop()
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base of all paths, without a slash at its end. Raise RuntimeError when it is not running."""
        if self._server is None:
            raise RuntimeError("the simulator is not running")
        host, port = self._address[0], self._server.server_address[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def calls(self) -> list[Call]:
        """Return the calls received since the last reset, in order; including those still waiting for their answer."""
        return self._state.world.log.snapshot()

    def wait_for(self, condition: Callable[[list[Call]], bool], timeout_s: float = 60.0) -> list[Call]:
        """Wait until the calls fulfil the condition, and return them. Raise TimeoutError when they do not."""
        return self._state.world.log.wait_for(condition, timeout_s)

    def script(self, *lines: str) -> None:
        """Let the next Set Actions take these faults ("fault:...", or "" for none) in order, whatever their tokens."""
        self._state.world.script.extend(lines)

    def reset(self) -> None:
        """Forget all calls, customers' states and the script. Calls under way leave no trace any more."""
        self._state.reset()

    def release(self) -> None:
        """Let all calls go that wait because of a fault or the latency; later calls wait again."""
        self._state.release()


class _Server(socketserver.TCPServer):
    """Serves each connection in a thread of its own, and can end them all."""

    allow_reuse_address = True
    request_queue_size = 1024  # many calls may come at once; a short queue would delay some by a second

    def __init__(self, address: tuple[str, int], state: State) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__(address, partial(Handler, state))
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_S,), name=_THREAD_NAME, daemon=True)

    def start(self) -> None:
        """Start to accept connections."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, end all connections and wait for all threads. Calls must not wait any more."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._lock:
            connections = list(self._connections.items())
        for _, connection in connections:
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + _STOP_S
        for thread, _ in connections:
            thread.join(max(0.0, deadline - time.monotonic()))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand a new connection to its thread."""
        thread = threading.Thread(target=self._serve, args=(request, client_address), name=_THREAD_NAME, daemon=True)
        with self._lock:
            thread.start()
            self._connections[thread] = request

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, without the usual shutdown before: a FIN must not come ahead of a RST."""
        self.close_request(request)

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            with suppress(OSError):  # the caller is gone, or the simulator stops: nobody is left to be told
                self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)
            with self._lock:
                del self._connections[threading.current_thread()]


def _loopback_address(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"  # not looked up, so that nothing can make it point elsewhere
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return host
    raise ValueError(f"The simulator serves loopback addresses only, not {host}.")
