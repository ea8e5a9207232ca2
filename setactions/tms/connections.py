"""Connections to clusters: always fresh, always verified, and under the gate of the exchange that they are made for.

requests' adapter and urllib3's pools are made once and shared by all calls; no connection is. Nothing is taken from
the environment.
"""

import socket
import ssl
import threading
from functools import cache
from typing import Any, Protocol

import certifi
from django.conf import settings
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from setactions.tms.unsent import BundleError


class Exchange(Protocol):
    """What is told how far its connection has got."""

    def connected(self, connection: socket.socket) -> None: ...
    def tunnelled(self) -> None: ...
    def pass_gate(self, ready: socket.socket) -> None: ...


class _Thread(threading.local):
    exchange: Exchange  # that the thread carries out


of_thread = _Thread()


TOGETHER_BYTES = 64 << 10  # of head and body that leave in one piece; a longer body is not copied for that


class _Gated:
    """A connection that tells its thread's exchange about its socket, and asks it before the first byte leaves."""

    _parts: list[bytes] | None = None  # of the request that is being made

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send head and body in one piece: one packet and one record of TLS, after which the server is woken once."""
        parts = self._parts = []
        super().request(*args, **kwargs)  # type: ignore[misc]
        self._parts = None
        for data in [b"".join(parts)] if sum(map(len, parts)) <= TOGETHER_BYTES else parts:
            self.send(data)

    def send(self, data: Any) -> None:
        if self._parts is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._parts.append(data)

    def _new_conn(self) -> socket.socket:
        connection: socket.socket = super()._new_conn()  # type: ignore[misc]
        of_thread.exchange.connected(connection)
        return connection

    def _tunnel(self) -> None:
        super()._tunnel()  # type: ignore[misc]
        of_thread.exchange.tunnelled()

    def connect(self) -> None:
        super().connect()  # type: ignore[misc] # includes the proxy's tunnel and the TLS handshake
        of_thread.exchange.pass_gate(self.sock)  # type: ignore[attr-defined]


class _GatedHTTP(_Gated, HTTPConnection):
    pass


class _GatedHTTPS(_Gated, HTTPSConnection):
    pass


class _Fresh:
    """A pool that keeps no connection: each call gets a new one, which is closed after it."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        return self._new_conn()  # type: ignore[attr-defined]

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.close()


class _HTTPPool(_Fresh, HTTPConnectionPool):
    ConnectionCls = _GatedHTTP


class _HTTPSPool(_Fresh, HTTPSConnectionPool):
    ConnectionCls = _GatedHTTPS


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class _Adapter(HTTPAdapter):
    """requests' adapter for all calls: our TLS context, our connections, nothing from the environment."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS
        self._pools: dict[tuple[str, ...], Any] = {}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {"ssl_context": _tls_context(settings.TMS_CA_BUNDLE)} if host["scheme"] == "https" else {}

    def get_connection_with_tls_context(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the pool for a request. requests builds its key anew each time, so it is kept for each cluster."""
        origin = "/".join((request.url or "").split("/", 3)[:3])
        key = origin, settings.TMS_PROXY, settings.TMS_CA_BUNDLE
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = super().get_connection_with_tls_context(request, *args, **kwargs)
        return pool

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        return super().request_url(request, proxies) if proxies else request.path_url

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Return the answer with what we look at: no cookies, and no guess at its encoding."""
        response = Response()
        response.raw, response.status_code, response.headers = resp, resp.status, resp.headers
        return response

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Leave verification to our context, which always verifies."""


ADAPTER = _Adapter(max_retries=0)


@cache
def _tls_context(ca_bundle: str) -> ssl.SSLContext:
    """Return a verifying context; loading certificates takes longer than a call's other overhead."""
    try:
        return ssl.create_default_context(cafile=ca_bundle or certifi.where())
    except OSError as error:  # also what is no certificate
        raise BundleError from error
