"""Whether an RSA modulus was made by the flawed generator of CVE-2017-15361 (ROCA): its key can be factored.

The generator's primes are powers of 65537 modulo a product of small primes, so the modulus is one too, modulo each of
them. An ordinary modulus is one for all of these primes with a probability of 2^-27, and is then refused for nothing:
its owner makes another. Source: Nemec et al., "The Return of Coppersmith's Attack", section 3.
"""

from __future__ import annotations

_PRIMES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
           109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167)  # fmt: skip
_GENERATOR = 65537


def _powers(prime: int) -> frozenset[int]:
    found, power = set[int](), 1
    while power not in found:
        found.add(power)
        power = power * _GENERATOR % prime
    return frozenset(found)


_POWERS = tuple((prime, _powers(prime)) for prime in _PRIMES)


def has_roca_structure(modulus: int) -> bool:
    """True for a key that must not be trusted, whatever its length."""
    return all(modulus % prime in powers for prime, powers in _POWERS)
