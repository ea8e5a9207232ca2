"""The only module that speaks HTTP to TMS. Every outcome is a value; no exception leaves it.

A call has a thread to itself, so that the caller's deadline holds against everything, a slow
name server included. At the deadline the socket is shut down, which ends reads of slow drips. The
connection is always a fresh one: a kept-alive connection that the server just closed would leave
in doubt whether a POST arrived. There are no retries and no redirects.
"""

import json
import logging
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlencode

import requests
from django.conf import settings
from django.views.decorators.debug import sensitive_variables
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from audit.choices import Kind
from setactions.tms import call_threads
from setactions.tms.clusters import Call, Cluster, Target
from setactions.tms.connections import ADAPTER, of_thread
from setactions.tms.replies import Answer, Failure, Reply, classify, classify_read
from setactions.tms.unsent import CLUSTER, OUR_FAULT, TOKEN_ENDPOINT, Connection, Peer, reason_of
from setactions.token import Token
from tmsdash.heavy_work import others_first

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
MAX_TOKEN_BYTES = 64 << 10  # of the answer of a token endpoint
MAX_RETRY_AFTER = 64  # characters: a date has 29
CHUNK_BYTES = 64 * 1024
SPOOL_BYTES = 1 << 20  # of an answer that are held in memory while it arrives
# How long the caller waits, after the deadline, for the call's thread to notice that its socket is shut.
SHUTDOWN_GRACE_S = 1.0


def set_action(cluster: Cluster, action_sent: str, cids: tuple[str, ...], token: Token) -> Reply:
    """Ask `cluster` to carry out an action, once, within TMS_DEADLINE_S seconds."""
    body = json.dumps({"action": action_sent, "cids": cids}).encode()
    exchange = _Exchange(cluster.origin + Call.SET_ACTION.value, token, body, settings.TMS_MAX_RESPONSE_BYTES)
    answer = exchange.answer_within(settings.TMS_DEADLINE_S)
    return _classified(answer, token, classify)


def read(target: Target, token: Token) -> Reply:
    """Read what `target` asks for; a reading of all customers may take twice TMS_DEADLINE_S."""
    url = f"{target.cluster.origin}{target.call.value}?{urlencode(target.query)}"
    exchange = _Exchange(url, token, None, settings.TMS_MAX_READ_BYTES)
    factor = 2 if ("cid", "ALL") in target.query else 1
    with others_first():
        answer = exchange.answer_within(factor * settings.TMS_DEADLINE_S)
    reply = _classified(answer, token, classify_read)
    if reply.kind == Kind.NOT_SENT:
        logger.warning("[SET_ACTION] REQUEST_ERROR: a read was not sent: %s", reply.message)
    return reply


@sensitive_variables()
def ask_token_endpoint(url: str, form: bytes) -> Answer:
    """Send an encoded form with a secret to an OAuth2 token endpoint, and return what it answers."""
    exchange = _Exchange(url, None, form, MAX_TOKEN_BYTES, content_type=FORM, peer=TOKEN_ENDPOINT)
    return exchange.answer_within(settings.TMS_DEADLINE_S)


def _classified(answer: Answer, token: Token, classify_as: Callable[[Answer, Token], Reply]) -> Reply:
    try:
        return classify_as(answer, token)
    except Exception as error:  # noqa: BLE001 (what was sent stays sent, whatever happens while its answer is read)
        # For lack of memory, for example. Nothing of the body is used any more, so this cannot fail the same way.
        logger.error("[SET_ACTION] EXCEPTION: %s while reading TMS's answer", type(error).__name__)
        detail = OUR_FAULT if answer.sent else answer.detail
        unreadable = Answer(sent=answer.sent, failure=Failure.UNREADABLE, detail=detail, duration_s=answer.duration_s)
        return classify_as(unreadable, token)


@dataclass
class _Exchange:
    """One request and its answer, and the gate that decides whether anything was sent.

    `sent` turns true at the one point where a connection is ready and the deadline has not passed;
    before it nothing of the request has left this machine. After `_expire` it can no longer turn.
    """

    url: str
    token: Token | None
    body: bytes | None = field(repr=False)  # of a POST; it may hold a secret
    max_bytes: int
    content_type: str = JSON
    peer: Peer = CLUSTER
    sent: bool = False
    expired: bool = False
    answer: Answer | None = None

    def __post_init__(self) -> None:
        self._gate = threading.Lock()
        self._done = threading.Event()
        self._socket: socket.socket | None = None
        self._is_connected = self._is_tunnelled = False

    def answer_within(self, deadline_s: float) -> Answer:
        """Run the exchange and return its answer at the latest `deadline_s` (and a grace second) later."""
        started = time.monotonic()
        try:
            call_threads.run(partial(self._run, deadline_s))
        except RuntimeError as error:  # the system allows no more threads
            detail = f"This server could not begin the call, so nothing was sent. Tell the admin: {error}."
            return Answer(sent=False, failure=Failure.CONNECTION, detail=detail)
        if not self._done.wait(deadline_s):
            self._expire()
            self._done.wait(SHUTDOWN_GRACE_S)
        answer = self.answer
        if self.expired or answer is None:
            # Whatever arrived after the deadline may be cut short.
            detail = f"no {'answer' if self.sent else 'connection'} within {deadline_s:g} s"
            detail = detail if self.sent else self._connection().why_timed_out(detail)
            answer = Answer(sent=self.sent, failure=Failure.TIMEOUT, detail=detail)
        answer.duration_s = time.monotonic() - started
        return answer

    def connected(self, connection: socket.socket) -> None:
        """Keep a handle on the socket: a duplicate, because TLS will take the original over."""
        with self._gate:
            self._socket = connection.dup()
            self._is_connected = True

    def tunnelled(self) -> None:
        """Note that the proxy has made its connection to the cluster."""
        self._is_tunnelled = True

    def pass_gate(self, ready: socket.socket) -> None:
        """Let the request leave through a socket that is ready for it, unless the deadline has passed."""
        with self._gate:
            if self.expired:
                raise OSError("the deadline passed before anything was sent")
            self.sent = True

    def _expire(self) -> None:
        with self._gate:
            self.expired = True
            if self._socket is not None:
                _shut_down(self._socket)

    @sensitive_variables()
    def _run(self, deadline_s: float) -> None:
        of_thread.exchange = self
        try:
            self.answer = self._send(deadline_s)
        except (requests.Timeout, TimeoutError) as error:
            self.answer = self._failed(Failure.TIMEOUT, error)
        except (requests.RequestException, OSError) as error:
            self.answer = self._failed(Failure.CONNECTION, error)
        except Exception as error:  # noqa: BLE001 (a fault of a library is an unknown outcome, not a lost one)
            # No traceback: its frames hold the Authorization header.
            logger.error("[SET_ACTION] EXCEPTION: %s in the HTTP client", type(error).__name__)
            self.answer = self._failed(Failure.CONNECTION, error)
        finally:
            del of_thread.exchange
            with self._gate:
                if self._socket is not None:
                    self._socket.close()
                    self._socket = None
            self._done.set()

    @sensitive_variables()
    def _send(self, deadline_s: float) -> Answer:
        response = ADAPTER.send(
            self._prepared(),
            stream=True,
            # Reads time out after the deadline, so that there is one way in which they end.
            timeout=(min(CONNECT_TIMEOUT_S, deadline_s), deadline_s + SHUTDOWN_GRACE_S),
            proxies={"http": settings.TMS_PROXY, "https": settings.TMS_PROXY} if settings.TMS_PROXY else None,
        )
        answer = Answer(
            sent=True,
            http_status=response.status_code,
            retry_after=response.headers.get("Retry-After", "")[:MAX_RETRY_AFTER],
        )
        try:
            self._read_body(response, answer)
        except (requests.RequestException, OSError, HTTPError) as error:
            answer.failure, answer.detail = Failure.CUT_SHORT, reason_of(error)
        finally:
            response.raw.close()
        return answer

    @sensitive_variables()
    def _prepared(self) -> requests.PreparedRequest:
        """Return the request, which needs nothing of what requests does to others': all its parts are ours."""
        request = requests.PreparedRequest()
        request.method = "GET" if self.body is None else "POST"
        request.url = self.url
        request.headers = CaseInsensitiveDict(
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": "tms-dashboard",
            }
        )
        if self.token is not None:
            request.headers["Authorization"] = f"Bearer {self.token.reveal()}"
        if self.body is not None:
            request.body = self.body
            request.headers.update({"Content-Type": self.content_type, "Content-Length": str(len(self.body))})
        return request

    def _read_body(self, response: requests.Response, answer: Answer) -> None:
        # A long answer waits on disk until it is known to be whole and short enough.
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as body:
            while chunk := response.raw.read(CHUNK_BYTES, decode_content=True):
                body.write(chunk)
                if body.tell() > self.max_bytes:
                    answer.failure, answer.detail = Failure.TOO_LONG, f"more than {self.max_bytes:,} bytes"
                    return
            body.seek(0)
            answer.body = body.read()

    def _failed(self, failure: Failure, error: Exception) -> Answer:
        detail = reason_of(error) if self.sent else self._connection().why_failed(error)
        return Answer(sent=self.sent, failure=failure, detail=detail)

    def _connection(self) -> Connection:
        return Connection(self.url, settings.TMS_PROXY, self._is_connected, self._is_tunnelled, self.peer)


def _shut_down(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        logger.debug("the connection was closed already: %s", error)
