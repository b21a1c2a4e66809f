"""An issuer that comes by the registry counts in a running broker, beside the configuration's, and goes as it came."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certs.authority import Authority
from certs.issuer import TokenIssuer, jwks_document
from tests.support.exchanges import OFFICER, SEARCH, ask, refusal, searching
from tests.support.house import House, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

URL = "https://second.northshire.example"


def change(place: House, statement: str, *values: str) -> None:
    """A change of the registry by another process, with its row in the journal."""
    with contextlib.closing(sqlite3.connect(place.directory / "data/store.db", timeout=10)) as database, database:
        database.execute(statement, values)
        database.execute(
            "INSERT INTO registry_change (exchange_id, kind, subject, time_us) VALUES (?, 'ISSUER', ?, 1)",
            (uuid.uuid4().hex, URL),
        )


async def test_a_registered_issuer_counts_at_once_and_ends_at_once(place: House) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    files = Authority.open(place.directory / "authority").agency(*OFFICER.agency.split("/"))
    issuer = TokenIssuer(URL, key, files.thumbprint)
    rights = {"roles": OFFICER.roles, "clearance": OFFICER.clearance, "purposes": OFFICER.purposes}
    token = issuer.mint(OFFICER.user, nationalities=[OFFICER.country], **rights)  # type: ignore[arg-type]
    metadata = (("authorization", f"Bearer {token}"),)
    feed = place.broker.issuers

    assert (await refusal(place, SEARCH, searching(), metadata=metadata)).reason == "ISSUER_NOT_ALLOWED"
    keys = jwks_document([key.public_key()]).decode()
    change(place, "INSERT INTO issuer (url, agency, jwks, jwks_uri) VALUES (?, ?, ?, '')", URL, OFFICER.agency, keys)
    await until(lambda: URL in feed._sources)
    await ask(place, SEARCH, searching(), metadata=metadata)
    await ask(place, SEARCH, searching())
    change(place, "DELETE FROM issuer WHERE url = ?", URL)
    await until(lambda: URL not in feed._sources)
    assert (await refusal(place, SEARCH, searching(), metadata=metadata)).reason == "ISSUER_NOT_ALLOWED"
    await ask(place, SEARCH, searching())
