"""A registered issuer of tokens, and what a live test of one finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RegisteredIssuer:
    """An issuer as the registry has it, or as it was proposed.

    Args:
        url: the exact `iss` of its tokens.
        agency: the one that it speaks for, as `trust-domain/agency`.
        jwks: its keys, as a JWK Set; empty where `jwks_uri` is set.
        jwks_uri: an https URL where they are published; empty where `jwks` is set.
    """

    url: str
    agency: str
    jwks: str = ""
    jwks_uri: str = ""


@dataclass(frozen=True, slots=True)
class IssuerProbe:
    """What a live test found: `problem` is empty when the keys are usable, and says what to do when not."""

    usable: bool
    problem: str
    key_ids: tuple[str, ...]
    fetched_us: int
