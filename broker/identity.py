"""How the broker comes by what proves who calls: its TLS material, the profile of certificates, the issuers' keys.

What enrolment asks of the same parts (`Examiners`) is made here too, for stages do not import one another.
"""

from __future__ import annotations

from collections.abc import Callable

from broker.config import Config
from broker.decide.bundle import PolicyBundle
from broker.decide.examination import examine
from broker.domain.caller import AgencyId
from broker.domain.clock import Clock
from broker.expiry import Expiry
from broker.handle.enrolment.examiners import Examiners
from broker.identify.agreement_signatures import AgreementExaminer
from broker.identify.certificate import CertificateProfile
from broker.identify.issuer_feed import IssuerFeed, Refreshing
from broker.identify.issuers import IssuerEntry, Issuers
from broker.identify.key_cache import KeyCache
from broker.identify.list_numbers import ListNumbers
from broker.identify.material import TlsFiles, TlsMaterial
from broker.identify.probing import require_registrable
from broker.identify.requests import read_certificate, read_request
from broker.policy import verification_key
from broker.store.store import Store


def material(config: Config, clock: Clock) -> TlsMaterial:
    """The broker's certificate, the roots and the revocation lists, read again when they change."""
    tls = config.tls
    files = TlsFiles(tls.certificate, tls.key, tls.roots, tls.revocation_lists)
    numbers = ListNumbers(config.broker.data / "lists")
    domains, hours = config.broker.trust_domains, tls.revocation_list_hours
    return TlsMaterial(files, domains, oldest_hours=hours, clock=clock, numbers=numbers)


def profile(config: Config, clock: Clock, material: TlsMaterial, expiry: Expiry) -> CertificateProfile:
    """What a caller's certificate must be; whose end is near is noted."""
    domains = config.broker.trust_domains
    return CertificateProfile(material.roots, material.lists, domains, clock, noticed=expiry.notice)


def examiners(
    config: Config,
    bundle: Callable[[], PolicyBundle],
    profile: CertificateProfile,
    issuers: Issuers,
    feed: IssuerFeed,
    agreements: AgreementExaminer,
) -> Examiners:
    """What enrolment asks of the identify stage, without importing it."""
    ca, key = config.identity.jwks_ca, verification_key(config.policy)
    return Examiners(
        request=lambda pem: read_request(pem, config.broker.trust_domains),
        certificate=lambda pem: read_certificate(pem, profile),
        issuer=lambda registration: require_registrable(registration, issuers, ca),
        probe=feed.probe,
        agreement=agreements.examine,
        policy=lambda archive: examine(archive, key).revision,
        appointed_roles=lambda: bundle().appointed_roles,
        file_issuers={one.issuer: one.agency for one in config.issuers},
    )


def issuer_feed(config: Config, issuers: Issuers, store: Store, clock: Clock) -> IssuerFeed:
    """What keeps the issuers' keys fresh: the operator's, and those that were registered."""
    entries = [
        IssuerEntry(one.issuer, AgencyId.parse(one.agency), one.jwks, one.jwks_uri, one.ca) for one in config.issuers
    ]
    identity = config.identity
    refreshing = Refreshing(identity.jwks_refresh_seconds, identity.jwks_oldest_seconds, identity.jwks_ca)
    cache = KeyCache(config.broker.data / "issuers")
    return IssuerFeed(issuers, entries, store.issuers, cache, clock, refreshing)
