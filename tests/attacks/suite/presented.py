"""What a certificate case presents: a leaf, what it sends along, and the key that proves it, with a token that fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from broker.domain.clock import SystemClock
from broker.domain.errors import BrokerError
from broker.identify.revocation_list import RevocationLists, read_lists
from broker.identify.roots import TrustRoots
from tests.attacks.suite.case import Case, End, Expected, Need, Observed
from tests.attacks.suite.own import bound_to
from tests.attacks.suite.target import Target, bearer
from tests.support import forged
from tests.support.forged import Forged
from tests.support.identities import profile, rsa_key

FAMILY = "certificates"


@dataclass(frozen=True)
class Presented:
    """DER of the leaf and of what follows it; the key in PEM."""

    leaf: bytes
    key: bytes
    chain: Sequence[bytes] = ()


Make = Callable[[Target], Presented | Forged]


def presented(made: Presented | Forged, *chain: bytes) -> Presented:
    """A forged leaf with its own key."""
    if isinstance(made, Presented):
        return made
    return Presented(made.der(), forged.key_pem(made.key), chain)


async def call_with(target: Target, given: Presented) -> Observed:
    """Present it, and call with a token of the agency's issuer that is bound to exactly this leaf.

    The rest of the call is right, so that a certificate which passes is really served.
    """
    token = bound_to(target.identity, given.leaf).token()
    return await target.present(forged.pem(given.leaf, *given.chain), given.key, bearer(token))


def certificate_case(
    name: str, make: Make, expected: Expected, *, needs: frozenset[Need] = frozenset({Need.AUTHORITY})
) -> Case:
    """A case that presents what `make` makes."""

    async def attempt(target: Target) -> Observed:
        return await call_with(target, presented(make(target)))

    return Case(FAMILY, name, expected, attempt, needs)


def leaf(**changes: Any) -> Make:
    """A leaf of the network's own authority that is odd in this. Values may be functions of nothing: made when run."""
    return lambda target: Forged(target.leaf_authority, **{k: v() if callable(v) else v for k, v in changes.items()})


def judged_case(name: str, make: Make, expected: Expected) -> Case:
    """A case that the broker's profile judges in this process, under the same roots."""

    async def attempt(target: Target) -> Observed:
        given = presented(make(target))
        return judge(target, given)

    needs = frozenset({Need.AUTHORITY, Need.PROCESS})
    return Case(FAMILY, f"{name} (in process)", expected, attempt, needs, in_process=True)


def judge(target: Target, given: Presented) -> Observed:
    """What the broker's own profile says of it, under the target's roots and lists on which it is not."""
    authorities = (target.leaf_authority, target.root_authority)
    lists = RevocationLists(one for each in authorities for one in read_lists(forged.revocation_list(each)))
    roots = TrustRoots.from_pem(forged.pem(*(each.der for each in authorities)))
    try:
        profile(SystemClock(), roots=roots, lists=lists).check(forged.pem(given.leaf), forged.pem(*given.chain))  # type: ignore[arg-type]
    except BrokerError as refusal:
        return Observed(End.REFUSED, "UNAUTHENTICATED", refusal.reason, text=refusal.detail)
    return Observed(End.ACCEPTED, "OK")


def warm() -> None:
    """Make the keys that take long to find, so that no case is timed for it."""
    for bits, exponent in ((1024, 65537), (1536, 65537), (2047, 65537), (2048, 65537), (3072, 65537), (4096, 65537)):
        rsa_key(bits, exponent)
    rsa_key(2048, 3)
