"""A real OpenID provider (npm `oidc-provider`) as an agency's issuer, on loopback, for as long as a test needs it.

    with oidc_provider(folder, credentials, people=[PERSON]) as idp:
        idp.issuer, idp.jwks_uri, idp.ca        what the broker registers
        idp.client_token()                      a workload's token, by client credentials over mutual TLS
        idp.device_token("pc.rowan.ash")        a person's, by device code
        idp.publish("two"); idp.sign_with("two"); idp.withdraw("one")
        idp.stop(); idp.start()                 an outage: the same address again

Without node or npm the test is skipped (CI=true: fails).
"""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs.authority import AgencyCredentials
from certs.files import write_atomically
from certs.issuer import DEFAULT_AUDIENCE, encode_segment
from certs.network import Party
from certs.profiles import broker_certificate, root_certificate
from tests.support.browser import NO_PROXY, Browser
from tests.support.node import installed

SOURCE = Path(__file__).with_name("oidc")
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
LIFE_SECONDS = 900
ANSWER_SECONDS = 20.0
START_SECONDS = 60.0


@dataclass(frozen=True)
class Person:
    """An account or the workload, with what its tokens say. `acts_for`: somebody else, who is then `sub`."""

    user: str
    roles: tuple[str, ...] = ("officer",)
    clearance: str = "SECRET"
    purposes: tuple[str, ...] = ("INVESTIGATION",)
    nationalities: tuple[str, ...] = ("GB",)
    acts_for: str = ""

    @classmethod
    def of(cls, party: Party) -> Person:
        """A party of the development network."""
        return cls(party.user, party.roles, party.clearance, party.purposes, (party.country,))

    def members(self) -> dict[str, Any]:
        rights = {name: list(getattr(self, name)) for name in ("roles", "purposes", "nationalities")}
        return {**rights, "clearance": self.clearance, **({"actsFor": self.acts_for} if self.acts_for else {})}


class TokenRefusedError(Exception):
    """The provider refused a token; `error` is its code (RFC 6749 section 5.2)."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error


class IdentityProvider:
    """See the module. `client_id` is the workload's, `device_client_id` the command line's."""

    client_id = "gateway"
    device_client_id = "entente-cli"

    def __init__(
        self,
        directory: Path,
        agency: AgencyCredentials,
        *,
        people: Sequence[Person] = (),
        workload: Person | None = None,
        audience: str = DEFAULT_AUDIENCE,
        token_seconds: int = 300,
    ) -> None:
        self._directory = directory
        self._agency = agency
        self._people = {person.user: person for person in people}
        self._workload = workload or Person(self.client_id)
        self._audience = audience
        self._token_seconds = token_seconds
        self._keys: dict[str, dict[str, str]] = {"one": _jwk("one")}
        self._published = ["one"]
        self._signing = "one"
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.ca = directory / "root.pem"
        self._make_certificate()

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens."""
        return f"https://localhost:{self._port}"

    @property
    def jwks_uri(self) -> str:
        return f"{self.issuer}/jwks"

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/token"

    @property
    def device_endpoint(self) -> str:
        return f"{self.issuer}/device/auth"

    def start(self) -> None:
        """Serve, at the port of the time before if there was one."""
        config = self._directory / "provider.json"
        write_atomically(config, json.dumps(self._config()).encode(), 0o600)
        folder = installed(SOURCE)
        log = (self._directory / "provider.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                ["node", str(folder / "provider.mjs"), str(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
            )
        self._port = int(self._answer()["port"])

    def stop(self) -> None:
        """Down. Its address answers nobody."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        process.stdout.close()

    # Keys

    def publish(self, label: str) -> None:
        """A key in the JWK Set, made if new; nothing is signed with it yet."""
        self._keys.setdefault(label, _jwk(label))
        self._rotate([*self._published, label], self._signing)

    def sign_with(self, label: str) -> None:
        """A published key signs from now on."""
        self._rotate(self._published, label)

    def withdraw(self, label: str) -> None:
        """No longer in the JWK Set."""
        self._rotate([each for each in self._published if each != label], self._signing)

    def _rotate(self, published: list[str], signing: str) -> None:
        self._published, self._signing = published, signing
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(json.dumps({"publish": self._published_keys(), "sign": signing}) + "\n")
        process.stdin.flush()
        self._answer()

    # Tokens

    def client_token(self, certificate: Path | None = None, key: Path | None = None) -> str:
        """A workload's token, bound to the certificate that asks. Raises TokenRefusedError."""
        form = {"grant_type": "client_credentials", "client_id": self.client_id}
        return str(self.post(self.token_endpoint, form, certificate=certificate, key=key)["access_token"])

    def device_token(self, user: str) -> str:
        """A person's token by device code, approved at once."""
        begun = self.post(self.device_endpoint, {"client_id": self.device_client_id, "scope": "openid exchange"})
        self.approve_device(begun["user_code"], user)
        form = {"grant_type": DEVICE_CODE, "client_id": self.device_client_id, "device_code": begun["device_code"]}
        return str(self.post(self.token_endpoint, form)["access_token"])

    def post(
        self, url: str, form: dict[str, str], *, certificate: Path | None = None, key: Path | None = None
    ) -> dict[str, Any]:
        """A request with a client certificate, the agency's by default. Raises TokenRefusedError."""
        context = self._tls()
        context.load_cert_chain(certificate or self._agency.certificate, key or self._agency.key)
        opener = urllib.request.build_opener(NO_PROXY, urllib.request.HTTPSHandler(context=context))
        try:
            with opener.open(url, urllib.parse.urlencode(form).encode(), timeout=ANSWER_SECONDS) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            with error:
                told = json.load(error)
            raise TokenRefusedError(told["error"], told.get("error_description", "")) from None

    def approve_device(self, user_code: str, user: str) -> None:
        """What a person does in a browser: enter the code, confirm, sign in."""
        browser = Browser(self._tls())
        page = browser.get(f"{self.issuer}/device")
        page = browser.submit(page, user_code=user_code)
        page = browser.submit(page)
        page = browser.submit(page, login=user, password="any")
        assert "Sign-in Success" in page, page

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    # What the process is given

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        # One line for each question, so that none waits in a buffer where `select` cannot see it.
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            log = (self._directory / "provider.log").read_text(encoding="utf-8")
            raise AssertionError(f"the identity provider ended or is silent:\n{log[-4000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _config(self) -> dict[str, Any]:
        agency = self._agency
        return {
            "port": self._port,
            "lifeSeconds": LIFE_SECONDS,
            "tokenSeconds": self._token_seconds,
            "audience": self._audience,
            "spiffeId": f"spiffe://{agency.trust_domain}/agency/{agency.agency}/gateway",
            "workload": {"clientId": self.client_id, **self._workload.members()},
            "device": {"clientId": self.device_client_id},
            "people": {user: person.members() for user, person in self._people.items()},
            "keys": self._published_keys(),
            "signingKey": self._signing,
            "cookieKey": secrets.token_urlsafe(32),
            "tls": {
                "key": str(self._directory / "server.key"),
                "certificate": str(self._directory / "server.pem"),
                "clientRoots": str(agency.root),
            },
        }

    def _published_keys(self) -> list[dict[str, str]]:
        return [self._keys[label] for label in self._published]

    def _make_certificate(self) -> None:
        """Of an authority of its own: the network's roots have no part in it."""
        authority = root_certificate("Identity provider's root")
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = broker_certificate(authority, key.public_key(), "issuer")
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_atomically(self._directory / "server.key", secret, 0o600)
        write_atomically(self._directory / "server.pem", certificate.public_bytes(pem), 0o644)
        write_atomically(self.ca, authority.certificate.public_bytes(pem), 0o644)


@contextlib.contextmanager
def oidc_provider(directory: Path, agency: AgencyCredentials, **settings: Any) -> Iterator[IdentityProvider]:
    """An agency's provider, running; settings as of IdentityProvider."""
    provider = IdentityProvider(directory, agency, **settings)
    try:
        provider.start()
        yield provider
    finally:
        provider.stop()


def _jwk(label: str) -> dict[str, str]:
    """A private P-256 key as a JWK, as the provider's operator would make it."""
    numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    values = {"x": numbers.public_numbers.x, "y": numbers.public_numbers.y, "d": numbers.private_value}
    members = {name: encode_segment(value.to_bytes(32, "big")) for name, value in values.items()}
    return {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": label, **members}
