"""A hand-written issuer: mutual TLS, discovery, client credentials, device code, rotating refresh tokens, revocation.

Tokens are the development issuer's, bound to whichever certificate asks. A test breaks it by changing `document`, by
putting replies into `script`, or by setting `raw`.
"""

from __future__ import annotations

import json
import secrets
import ssl
import sys
import threading
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from certs.authority import AgencyCredentials, Authority
from certs.issuer import TokenIssuer

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
LARGEST_FORM = 64 * 1024


@dataclass(frozen=True)
class Reply:
    """What an endpoint answers."""

    status: int
    document: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """What arrived."""

    path: str
    form: dict[str, str]
    thumbprint: bytes


class FakeIssuer:
    """Start with `with`."""

    def __init__(self, folder: Path, agency: AgencyCredentials, *, audience: str = "urn:broker") -> None:
        self._agency = agency
        self._authority = Authority.create(folder / "issuer")
        credentials = self._authority.issue_broker("issuer")
        self.ca = self._authority.root
        self.audience = audience
        self.asked: list[Asked] = []
        self.script: list[Reply] = []
        self.raw: bytes | None = None
        self.life_seconds = 300
        self.approved = True
        self.refresh_tokens: set[str] = set()
        self._device_codes: set[str] = set()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(credentials.certificate, credentials.key)
        context.load_verify_locations(agency.root)
        context.verify_mode = ssl.CERT_REQUIRED
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.issuer = f"https://localhost:{self._server.server_port}"
        self.document: dict[str, Any] = {
            "issuer": self.issuer,
            "token_endpoint": f"{self.issuer}/token",
            "device_authorization_endpoint": f"{self.issuer}/device",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "token_endpoint_auth_methods_supported": ["tls_client_auth"],
        }

    def __enter__(self) -> FakeIssuer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked_for(self, path: str) -> list[dict[str, str]]:
        """The forms of one endpoint."""
        return [asked.form for asked in self.asked if asked.path == path]

    def answer(self, asked: Asked) -> Reply:
        """Whatever is asked."""
        self.asked.append(asked)
        if asked.path == "/.well-known/openid-configuration":
            return Reply(200, self.document)
        if self.script:
            return self.script.pop(0)
        if asked.path == "/device":
            return self._device()
        if asked.path == "/revoke":
            self.refresh_tokens.discard(asked.form["token"])
            return Reply(200, None)
        return self._token(asked) if asked.path == "/token" else Reply(404, {"error": "not_found"})

    def _device(self) -> Reply:
        code = secrets.token_urlsafe(16)
        self._device_codes.add(code)
        address = f"{self.issuer}/enter"
        document = {"device_code": code, "user_code": "WDJB-MJHT", "verification_uri": address, "expires_in": 60}
        return Reply(200, {**document, "interval": 1, "verification_uri_complete": f"{address}?user_code=WDJB-MJHT"})

    def _token(self, asked: Asked) -> Reply:
        form = asked.form
        if form["grant_type"] == "client_credentials":
            return Reply(200, {"access_token": self._mint("gateway", asked), "token_type": "Bearer"})
        if form["grant_type"] == DEVICE_CODE:
            if form["device_code"] not in self._device_codes:
                return Reply(400, {"error": "invalid_grant"})
            if not self.approved:
                return Reply(400, {"error": "authorization_pending"})
            self._device_codes.discard(form["device_code"])
            return self._with_refresh(asked)
        if form["refresh_token"] not in self.refresh_tokens:
            return Reply(400, {"error": "invalid_grant", "error_description": "it was used\x1b[31m before"})
        self.refresh_tokens.discard(form["refresh_token"])
        return self._with_refresh(asked)

    def _with_refresh(self, asked: Asked) -> Reply:
        refresh = secrets.token_urlsafe(32)
        self.refresh_tokens.add(refresh)
        token = self._mint("o.reyes", asked)
        return Reply(200, {"access_token": token, "token_type": "bearer", "refresh_token": refresh})

    def _mint(self, user: str, asked: Asked) -> str:
        signer = self._agency.token_issuer()
        bound = TokenIssuer(self.issuer, signer._key, asked.thumbprint)
        return bound.mint(user, audience=self.audience, life_seconds=self.life_seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust us, or that we do not know, is what tests are about."""
        error = sys.exc_info()[1]
        if not isinstance(error, ssl.SSLError | ConnectionError):
            super().handle_error(request, client_address)


def _handler(issuer: FakeIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def setup(self) -> None:
            self.request.settimeout(10)
            self.request.do_handshake()
            super().setup()

        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            length = min(int(self.headers.get("content-length", "0")), LARGEST_FORM)
            self._reply(dict(urllib.parse.parse_qsl(self.rfile.read(length).decode())))

        def _reply(self, form: dict[str, str]) -> None:
            der = self.request.getpeercert(binary_form=True)
            print_of = x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256())
            reply = issuer.answer(Asked(self.path, form, print_of))
            body = issuer.raw if issuer.raw is not None else json.dumps(reply.document).encode()
            body = b"" if reply.document is None else body
            self.send_response(reply.status)
            headers = {"content-type": "application/json", "content-length": str(len(body)), **reply.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            return

    return Handler
