"""An issuer's JWK Set (RFC 7517 section 5), read strictly: anything doubtful in it, and it is refused whole.

Guarantees: at most 64 KiB and 32 keys; no key and no `kid` twice; every key as `jwk` reads it.
A key that its owner marks for encryption (`use` is `enc`) is left out: it verifies nothing, and providers publish such
keys beside the others. A set without any key for signatures is refused.
"""

from __future__ import annotations

from broker.identify.compact import read_object
from broker.identify.jwk import IssuerKey, read_key

LARGEST_KEY_FILE = 64 * 1024
MOST_KEYS = 32
LONGEST_MEMBER = 8 * 1024
"""A modulus of 8192 bits takes 1,366 characters, a certificate in `x5c` a few thousand."""


def read_key_set(content: bytes) -> dict[str, IssuerKey]:
    """A JWK Set as keys by `kid`. Raises ValueError."""
    if len(content) > LARGEST_KEY_FILE:
        raise ValueError("larger than 64 KiB")
    members = read_object(content, most_containers=4 * MOST_KEYS, longest_string=LONGEST_MEMBER)
    entries = members.get("keys")
    if set(members) != {"keys"} or not isinstance(entries, list) or not 1 <= len(entries) <= MOST_KEYS:
        raise ValueError(f"a JWK Set holds `keys`, a list of 1 to {MOST_KEYS}, and nothing else")
    keys: dict[str, IssuerKey] = {}
    for entry in entries:
        if isinstance(entry, dict) and entry.get("use") == "enc":
            continue
        key = read_key(entry)
        if key.key_id in keys or any(key.fingerprint == other.fingerprint for other in keys.values()):
            raise ValueError(f"key {key.key_id} is listed twice")
        keys[key.key_id] = key
    if not keys:
        raise ValueError("holds no key for signatures")
    return keys
