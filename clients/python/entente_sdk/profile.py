"""A profile: which broker, who we are to it, and what we usually ask for.

A profile is plain values, already resolved; `entente_sdk.settings` reads it from file and environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from entente_sdk.errors import ConfigurationError
from entente_sdk.justification import Justification
from entente_tlog.errors import TlogError
from entente_tlog.receipt import LogKey

Output = Literal["table", "json", "yaml"]
OUTPUTS: tuple[Output, ...] = ("table", "json", "yaml")
Grant = Literal["client_credentials", "device_code"]
GRANTS: tuple[Grant, ...] = ("client_credentials", "device_code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How to reach one broker as one agency.

    Attributes:
        endpoint: `host:port`.
        ca: PEM of the authority that issued the broker's certificate.
        log_keys: the public keys (C2SP vkey) of the broker's logs; no answer is accepted without one of them.
        certificate, key: PEM of this agency's client certificate and its key.
        server_name: the name in the broker's certificate, where it is not the endpoint's host.
        renew_command: replaces certificate and key by fresh ones; run without a shell when two thirds of the
            certificate's life have passed.
        token_command: prints a current access token; run without a shell.
        token_file: holds a current access token; read for each call that needs a new one.
        issuer: the agency's OpenID Connect issuer (https), asked for tokens in place of command and file.
        issuer_ca: PEM of the authority that issued the issuer's certificate, where it is not a public one.
        client_id: what the issuer knows this client by; it authenticates by certificate and key (RFC 8705).
        scope: what is asked of the issuer, words with spaces between.
        resource: the broker's audience, as the resource that tokens are for (RFC 8707).
        grant: how tokens are had without a login: `client_credentials`; otherwise `entente login` decides.
        purpose, case_reference, legal_basis: of the justification, where a call states none.
        output: of the command line.
        name: of the profile; logins are kept under it.
    """

    endpoint: str
    ca: Path
    log_keys: tuple[str, ...]
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    renew_command: tuple[str, ...] = ()
    token_command: tuple[str, ...] = ()
    token_file: Path | None = None
    issuer: str | None = None
    issuer_ca: Path | None = None
    client_id: str | None = None
    scope: str | None = None
    resource: str | None = None
    grant: Grant | None = None
    purpose: str | None = None
    case_reference: str | None = None
    legal_basis: str | None = None
    output: Output = "table"
    name: str = "default"

    def __post_init__(self) -> None:
        if not self.log_keys:
            raise ConfigurationError("log_key is not set: without it no receipt can be verified")
        if (self.certificate is None) != (self.key is None):
            raise ConfigurationError("certificate and key go together: one of them is not set")
        sources = (bool(self.token_command), self.token_file is not None, self.issuer is not None)
        if sum(sources) > 1:
            raise ConfigurationError("token_command, token_file and issuer exclude each other")
        if self.renew_command and self.certificate is None:
            raise ConfigurationError("renew_command renews a certificate, and none is set")
        if self.issuer is not None and (self.client_id is None or self.certificate is None):
            raise ConfigurationError("an issuer needs client_id, and certificate and key to authenticate with")

    @property
    def justification(self) -> Justification | None:
        """What the profile states for calls that state nothing; None without a purpose."""
        if self.purpose is None:
            return None
        return Justification(self.purpose, legal_basis=self.legal_basis, case_reference=self.case_reference)

    def trusted_logs(self) -> tuple[LogKey, ...]:
        """The pinned keys, parsed. Raises ConfigurationError."""
        try:
            return tuple(LogKey.parse(text) for text in self.log_keys)
        except (TlogError, ValueError) as error:
            raise ConfigurationError(f"log_key is not a log's public key (name+hash+base64): {error}") from error

    @property
    def host(self) -> str:
        """The endpoint's host, without brackets."""
        return self.endpoint.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The endpoint's port. Raises ConfigurationError."""
        text = self.endpoint.rpartition(":")[2]
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536 and self.host):
            raise ConfigurationError(f"endpoint is host:port, not {self.endpoint!r}")
        return int(text)
