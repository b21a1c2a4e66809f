"""A broker of the suite's own, in its own process, with everything that the cases may use.

Beside what a development network has, it trusts a second root that may sign intermediates, and its first agency's
issuer has a key of each allowed kind, so that there is a positive control for each.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certs import network
from certs.authority import AgencyCredentials, Authority
from certs.issuer import DEFAULT_AUDIENCE
from certs.network import PARTIES, STAFF, Network
from entente_tlog.receipt import LogKey
from tests.attacks.suite.case import Need
from tests.attacks.suite.listed import before_and_after, revocation_lists
from tests.attacks.suite.minting import Mint, jwk_ed25519, jwk_rsa
from tests.attacks.suite.target import Identity, Target
from tests.support import forged
from tests.support.identities import ed25519_key, rsa_key
from tests.support.live import LiveBroker, free_port

ED25519_KEY_ID, RS256_KEY_ID, PS256_KEY_ID = "suite-ed25519", "suite-rs256", "suite-ps256"
UPPER_ROOT = "attack suite root"
# The broker looks at its files four times a second.
LOOKED_SECONDS = 30.0
# The flood of refusals comes from a few agencies; their quota is what other tests are about.
LIMITS = {"connections": 4096, "streams": 512, "calls": 4096, "requests_per_second": 100_000, "burst": 100_000}


def prepare(directory: Path) -> Network:
    """The network's files, before its broker starts."""
    net = network.create(directory, f"127.0.0.1:{free_port()}", limits=LIMITS)
    authority = Authority.open(directory / "authority")
    (directory / "roots.pem").write_bytes(authority.root.read_bytes() + forged.pem(upper_authority().der))
    (directory / "suite.crl").write_bytes(revocation_lists(upper_authority()))
    text = re.sub(r"(?m)^roots = .*$", 'roots = "roots.pem"', net.broker_config.read_text())
    late = before_and_after()
    for name, (before, _) in late.items():
        (directory / name).write_bytes(before)
    named = "".join(f'"{name}", ' for name in ("suite.crl", *late))
    text = re.sub(r"(?m)^revocation_lists = \[", f"revocation_lists = [{named}", text)
    net.broker_config.write_text(text)
    jwks = authority.agency(*PARTIES[0].agency.split("/")).jwks
    keys = json.loads(jwks.read_text())
    keys["keys"] += [
        jwk_ed25519(ed25519_key("issuer").public_key(), ED25519_KEY_ID),
        jwk_rsa(rsa_key(2048).public_key(), RS256_KEY_ID, "RS256"),
        jwk_rsa(rsa_key(3072).public_key(), PS256_KEY_ID, "PS256"),
    ]
    jwks.write_text(json.dumps(keys))
    return net


def upper_authority() -> forged.Issuer:
    """A root without a path length."""
    return forged.authority(UPPER_ROOT)


def target(broker: LiveBroker) -> Target:
    """The broker, with every agency's credentials and both authorities' keys, once it has seen the late lists."""
    directory = broker.network.directory
    _put_late_lists(broker)
    authority = Authority.open(directory / "authority")
    identities = [_identity(authority.agency(*party.agency.split("/")), party) for party in PARTIES]
    return Target(
        broker.address,
        authority.root.read_bytes(),
        identities,
        frozenset(Need),
        (LogKey.parse(broker.network.log_key),),
        registrar=_identity(authority.agency(*STAFF[0].agency.split("/")), STAFF[0]),
        authority=_issuer(directory),
        upper_authority=upper_authority(),
        put_on_list=lambda serial: authority.revoke(serial),
    )


def _put_late_lists(broker: LiveBroker) -> None:
    """Raises AssertionError where the broker does not say that it takes none of them."""
    late = before_and_after()
    for name, (_, after) in late.items():
        (broker.network.directory / name).write_bytes(after)
    deadline = time.monotonic() + LOOKED_SECONDS
    while time.monotonic() < deadline:
        refused = {Path(line["file"]).name for line in broker.said("tls_file_refused")}
        if refused == set(late):
            return
        time.sleep(0.05)
    raise AssertionError(f"the broker did not refuse each of {sorted(late)}")


def _identity(files: AgencyCredentials, party: network.Party) -> Identity:
    key = serialization.load_pem_private_key(files.issuer_key.read_bytes(), password=None)
    mint = Mint(
        files.issuer,
        DEFAULT_AUDIENCE,
        key,  # type: ignore[arg-type]
        files.thumbprint,
        party.user,
        party.roles,
        party.clearance,
        party.purposes,
        (party.country,),
    )
    return Identity(party.agency, files.certificate.read_bytes(), files.key.read_bytes(), mint)


def _issuer(directory: Path) -> forged.Issuer:
    root = x509.load_pem_x509_certificate((directory / "authority/root.pem").read_bytes())
    key = serialization.load_pem_private_key((directory / "authority/authority.key").read_bytes(), password=None)
    return forged.Issuer(root.subject.public_bytes(), key, root.public_bytes(serialization.Encoding.DER))


def bound_to(identity: Identity, leaf: bytes) -> Identity:
    """The same agency's issuer, with its tokens bound to another certificate (DER)."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(leaf)
    return replace(identity, mint=replace(identity.minting, thumbprint=digest.finalize()))
