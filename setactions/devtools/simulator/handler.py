"""Reads the requests of one connection, and finds who answers them."""

import base64
import json
import socket
import time
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

from .calls import Call
from .effects import REDIRECTED_PATH, Exchange, unauthorized
from .faults import choose_fault
from .fleet import ACCEPTED, ALL
from .reply import Reply
from .state import State, World

_SET_ACTION: Final = "/tms/v1/set/action"
_GET_ACTION: Final = "/tms/v1/get/action"
_GET_APP_STATUS: Final = "/tms/v1/get/appstatus"
_TMS_METHODS: Final = {_SET_ACTION: "POST", _GET_ACTION: "GET", _GET_APP_STATUS: "GET"}

_OAUTH_PATH: Final = "/oauth2/token"
_TOKEN_LASTS_S: Final = 3600

_CONTROL_PREFIX: Final = "/simulator/"
_CONTROL_METHODS: Final = {"/simulator/calls": "GET", "/simulator/reset": "POST", "/simulator/release": "POST"}


class _Question(NamedTuple):
    """What a TMS call asks for."""

    action: str = ""
    cids: tuple[str, ...] = ()
    app: str = ALL
    problem: str = ""
    """Why the request makes no sense; empty when it does."""


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other, while it is constructed.

    OSError comes out when the caller is gone or the simulator stops: nobody is left to be told.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer sent in pieces must not wait for the caller's acknowledgement

    def __init__(self, state: State, connection: socket.socket, client_address: Any, server: Any) -> None:
        """Answer on `connection`, with the memory that all connections share."""
        self._state = state
        super().__init__(connection, client_address, server)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: calls are in the log of calls."""

    def _answer(self) -> None:
        # Not self.path, in which a doubled slash at the start is repaired; TMS's gateway does not do that.
        path, _, query = self.requestline.split()[1].partition("?")
        reply = Reply(self.connection, head_only=self.command == "HEAD")
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or "Transfer-Encoding" in self.headers:
            reply.page(411)
            reply.hang_up()  # where the next request would start is unknown
        else:
            body = self.rfile.read(int(length))
            if path.startswith(_CONTROL_PREFIX):
                self._answer_control(reply, path)
            elif path == _OAUTH_PATH:
                self._answer_token(reply, body)
            else:
                self._answer_tms(reply, path, query, body)
        if not reply.keeps_connection:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _answer

    def _answer_control(self, reply: Reply, path: str) -> None:
        if self._refused_by_gateway(reply, path, _CONTROL_METHODS):
            return
        answer: dict[str, object] = {}
        match path.removeprefix(_CONTROL_PREFIX):
            case "calls":
                answer = {"calls": [call.as_json() for call in self._state.world.log.snapshot()]}
            case "reset":
                self._state.reset()
            case "release":
                self._state.release()
        reply.json(200, answer)

    def _answer_tms(self, reply: Reply, path: str, query: str, body: bytes) -> None:
        question = _read_body(body) if path == _SET_ACTION else _read_query(query)
        token = self._bearer_token()
        world = self._state.world
        scripted = world.next_fault() if path == _SET_ACTION else ""
        fault, argument = choose_fault(scripted or token)
        waiting_room = self._state.waiting_room()
        call = world.log.add(self.command, path, question.action, question.cids, fault.name)
        exchange = Exchange(call, token, reply, waiting_room, partial(_carry_out, world, call, question.app))
        waiting_room.wait(self._state.latency_s)
        if path == REDIRECTED_PATH:
            reply.json(200, ACCEPTED)
        elif self._refused_by_gateway(reply, path, _TMS_METHODS):
            pass
        elif not token:
            unauthorized(exchange, "")
        elif question.problem:
            reply.text(400, question.problem)
        else:
            fault.strike(exchange, argument)

    def _answer_token(self, reply: Reply, body: bytes) -> None:
        """Answer as an OAuth2 token endpoint does, for any client whose secret is not "wrong".

        A client id that names a fault gets that as its token, to see what TMS makes of it.
        """
        if self._refused_by_gateway(reply, _OAUTH_PATH, {_OAUTH_PATH: "POST"}):
            return
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        if form.get("grant_type") != "client_credentials":
            reply.json(400, {"error": "unsupported_grant_type"})
        elif not form.get("client_id") or form.get("client_secret", "wrong") == "wrong":
            reply.json(401, {"error": "invalid_client", "error_description": "Client authentication failed"})
        else:
            client_id = form["client_id"]
            token = client_id if client_id.startswith("fault:") else _new_token(client_id)
            reply.json(200, {"access_token": token, "token_type": "Bearer", "expires_in": _TOKEN_LASTS_S - 1})

    def _refused_by_gateway(self, reply: Reply, path: str, methods: dict[str, str]) -> bool:
        if methods.get(path) == self.command:
            return False
        reply.page(405 if path in methods else 404)
        return True

    def _bearer_token(self) -> str:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


def _new_token(client_id: str) -> str:
    """Return a JSON Web Token that nobody signed."""
    parts = {"alg": "none", "typ": "JWT"}, {"sub": client_id, "exp": int(time.time()) + _TOKEN_LASTS_S}
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2ltdWxhdGVk"])


def _carry_out(world: World, call: Call, app: str) -> object:
    if call.path == _SET_ACTION:
        return world.set_action(call)
    if call.path == _GET_ACTION:
        return world.fleet.actions(call.cids)
    return world.fleet.app_statuses(call.cids, app)


def _read_body(body: bytes) -> _Question:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return _Question(problem="The request is not JSON.\n")
    match request:
        case {"action": str(action), "cids": [_, *_] as cids} if all(isinstance(cid, str) for cid in cids):
            return _Question(action, tuple(cids))
    return _Question(problem='The request is not {"action": "...", "cids": ["...", ...]}.\n')


def _read_query(query: str) -> _Question:
    parameters = parse_qs(query)
    cids = tuple(cid for value in parameters.get("cid", []) for cid in value.split(",") if cid)
    return _Question(cids=cids, app=parameters.get("app", [ALL])[-1], problem="" if cids else "A cid is missing.\n")
