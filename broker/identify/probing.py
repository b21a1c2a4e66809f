"""A live test of an issuer before anybody relies on it: its keys are fetched now, and read as strictly as for a token.

Does not: change what is in force, or remember anything.
"""

from __future__ import annotations

from pathlib import Path

from broker.domain.caller import AgencyId
from broker.domain.clock import Clock
from broker.domain.issuer import IssuerProbe, RegisteredIssuer
from broker.identify.fetching import Fetcher, FetchError, require_fetchable
from broker.identify.issuers import Issuer, IssuerEntry, Issuers, require_issuer_url
from broker.identify.key_set import read_key_set


def entry_of(registration: RegisteredIssuer, ca: Path | None) -> IssuerEntry:
    """A registration that is well-formed. Raises ValueError saying what is not."""
    require_issuer_url(registration.url)
    agency = AgencyId.parse(registration.agency)
    if bool(registration.jwks) == bool(registration.jwks_uri):
        raise ValueError("register either the keys (jwks) or where they are published (jwks_uri)")
    if registration.jwks_uri:
        require_fetchable(registration.jwks_uri)
    return IssuerEntry(registration.url, agency, jwks_uri=registration.jwks_uri, ca=ca, document=registration.jwks)


def require_registrable(registration: RegisteredIssuer, issuers: Issuers, ca: Path | None) -> None:
    """Well-formed, and in nobody's way: neither its URL nor a key of its document is another's. Raises ValueError."""
    entry = entry_of(registration, ca)
    keys = read_key_set(entry.document.encode()) if entry.document else {}
    issuers.require_admissible(Issuer(entry.url, entry.agency, keys))


async def probe(
    registration: RegisteredIssuer, issuers: Issuers, fetcher: Fetcher, ca: Path | None, clock: Clock
) -> IssuerProbe:
    """What a live test of a registration finds. `ca`: the roots of registered issuers' servers; None: the system's."""
    at_us = clock.now_us()
    try:
        entry = entry_of(registration, ca)
        content = await fetcher.fetch(entry.jwks_uri, entry.ca) if entry.jwks_uri else entry.document.encode()
        keys = read_key_set(content)
        issuers.require_admissible(Issuer(entry.url, entry.agency, keys))
    except (FetchError, ValueError) as error:
        return IssuerProbe(False, str(error), (), at_us)
    return IssuerProbe(True, "", tuple(keys), at_us)
