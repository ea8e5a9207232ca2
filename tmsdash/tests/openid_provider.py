"""An OpenID provider on loopback: discovery, keys, codes with PKCE, ID tokens that it signs, userinfo, and the end.

It checks what a provider has to check of its client, and does wrong what a test tells it to.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "tms-dashboard", "a secret of the client's"
KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)


class OpenIdProvider:
    """`person` is who signs in next, as claims; `wrong` changes the claims of ID tokens, and `key` signs them.

    `pieces` by place (`token`, `keys`, …) are what it answers there, one after the other.
    """

    def __init__(self):
        self.person = {"sub": "248289761001", "preferred_username": "nadia", "groups": ["tms-ops"]}
        self.wrong, self.key, self.algorithm, self.in_userinfo = {}, KEY, "RS256", ()
        self.config, self.requests, self.pieces = {}, [], {}
        self._codes = {}
        handler = type("Handler", (_Handler,), {"provider": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}/realms/acme"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def sign_in(self, address):
        """What a browser does there: returns where the provider sends it back to."""
        asked = dict(parse_qs(urlsplit(address).query))
        assert address.startswith(f"{self.issuer}/auth?")
        assert (asked["client_id"], asked["response_type"]) == ([CLIENT_ID], ["code"])
        assert "openid" in asked["scope"][0].split()
        assert asked["code_challenge_method"] == ["S256"]
        code = f"eyJhbGciOi.{secrets.token_urlsafe(16)}.x"  # as some providers', in the shape of a token
        self._codes[code] = {name: values[0] for name, values in asked.items()}
        answer = {"code": code, "state": asked["state"][0]}
        return f"{asked['redirect_uri'][0]}?{urlencode(answer)}"

    def discovery(self):
        places = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "keys"}
        places |= {"userinfo_endpoint": "userinfo", "end_session_endpoint": "logout"}
        found = {name: f"{self.issuer}/{place}" for name, place in places.items()}
        return {"issuer": self.issuer, "scopes_supported": ["openid", "groups"]} | found | self.config

    def keys(self):
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        return {"keys": [public | {"kid": "one", "use": "sig", "alg": "RS256"}]}

    def tokens(self, form):
        asked = self._codes.pop(form.get("code"), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        is_client = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if not asked or not is_client or asked["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant"}
        if form.get("redirect_uri") != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims |= {name: value for name, value in self.person.items() if name not in self.in_userinfo}
        claims = {name: value for name, value in (claims | self.wrong).items() if value is not None}
        id_token = jwt.encode(claims, self.key, algorithm=self.algorithm, headers={"kid": "one"})
        return 200, {"access_token": "access-granted", "token_type": "Bearer", "id_token": id_token}


class _Handler(BaseHTTPRequestHandler):
    provider: OpenIdProvider

    def do_GET(self):
        place = self._place()
        if place == "userinfo" and self.headers["Authorization"] != "Bearer access-granted":
            self._send(401, {})
        elif place == "userinfo":
            self._send(200, self.provider.person)
        else:
            found = {".well-known/openid-configuration": self.provider.discovery, "keys": self.provider.keys}
            self._send(200, found[place]()) if place in found else self._send(404, {})

    def do_POST(self):
        assert self._place() == "token"
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._send(*self.provider.tokens({name: values[0] for name, values in form.items()}))

    def _place(self):
        self.provider.requests.append(self.path)
        return urlsplit(self.path).path.removeprefix("/realms/acme/")

    def _send(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        pieces = self.provider.pieces.get(urlsplit(self.path).path.rpartition("/")[2])
        if pieces is None:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(OSError):  # whoever asked may have heard enough
            for piece in [content] if pieces is None else pieces:
                self.wfile.write(piece)

    def log_message(self, *args):
        """Say nothing."""
