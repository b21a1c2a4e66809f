"""The policy authority's key: it signs bundles of policies (`entente policy build`), and stays with that authority.

    FOLDER/policy.key    signs; never on a broker
    FOLDER/policy.pub    proves; `policy.verification_key` in the broker's configuration, and OPA's key

On a development network it lies beside the authority's other keys.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from certs.files import PUBLIC_MODE, SECRET_MODE, write_atomically

PRIVATE, PUBLIC = "policy.key", "policy.pub"


def create(folder: Path) -> Path:
    """Make both; the public one's path. Raises FileExistsError over a key that is there."""
    if (folder / PRIVATE).exists():
        raise FileExistsError(f"{folder / PRIVATE} is there already; bundles are signed with it")
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_atomically(folder / PRIVATE, private, SECRET_MODE)
    write_atomically(folder / PUBLIC, public, PUBLIC_MODE)
    return folder / PUBLIC
