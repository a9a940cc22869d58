"""A small OpenID Connect issuer that really signs its tokens, for the test of signing in."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


class Issuer:
    """Signs in whoever comes as `claims` says."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None: ...

            def do_GET(self) -> None:
                issuer.get(self)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                issuer.token(self, parse_qs(self.rfile.read(length).decode()))

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()

    def _send(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        if parts.path == "/.well-known/openid-configuration":
            ends = {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token", "userinfo")}
            self._send(handler, {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **ends})
        elif parts.path == "/jwks":
            self._send(handler, {"keys": [json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key())) | {"kid": "1", "use": "sig", "alg": "RS256"}]})
        elif parts.path == "/userinfo":
            self._send(handler, self.claims)
        elif parts.path == "/authorization":
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            assert asked["code_challenge_method"] == "S256"
            handler.send_response(302)
            handler.send_header("Location", f"{asked['redirect_uri']}?{urlencode({'code': 'c0de', 'state': asked['state']})}")
            handler.end_headers()
        else:
            handler.send_error(404)

    def token(self, handler: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        assert form["code_verifier"]
        now = int(time.time())
        identity = jwt.encode(
            {"iss": self.url, "aud": "dreamfork", "iat": now, "exp": now + 60, **self.claims}, self._key, algorithm="RS256", headers={"kid": "1"}
        )
        self._send(handler, {"access_token": "t", "token_type": "Bearer", "id_token": identity, "expires_in": 60})
