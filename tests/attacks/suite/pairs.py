"""Every token with every certificate: a stolen token is worth nothing without its certificate, nor the reverse."""

from __future__ import annotations

from collections.abc import Sequence

from tests.attacks.suite.case import ACCEPTED, Case, Need, Observed, refused
from tests.attacks.suite.own import bound_to
from tests.attacks.suite.presented import Presented
from tests.attacks.suite.target import Target, bearer
from tests.support import forged
from tests.support.forged import Forged, san, spiffe_id

FAMILY = "pairs"
AGENCIES = 5
# Certificates of one agency: renewed, another workload's, another key kind's. Their tokens differ in nothing but `cnf`.
CERTIFICATES: dict[str, dict[str, object]] = {
    "first": {"key": forged.p256("pair one")},
    "renewed": {"key": forged.p256("pair one"), "serial": forged.integer(77)},
    "another key": {"key": forged.p256("pair two")},
    "another workload": {"key": forged.p256("pair three"), "names": san(spiffe_id(workload="desk/import"))},
    "below an intermediate": {"key": forged.p256("pair four")},
    "another intermediate": {"key": forged.p256("pair five")},
}
_made: dict[tuple[str, str], Presented] = {}


def cases() -> list[Case]:
    """Agency against agency, and certificate against certificate of one agency."""
    crossed = [_agencies(holder, caller) for holder in range(AGENCIES) for caller in range(AGENCIES)]
    return crossed + [_certificates(holder, caller) for holder in CERTIFICATES for caller in CERTIFICATES]


def _agencies(holder: int, caller: int) -> Case:
    async def attempt(target: Target) -> Observed:
        token = target.identities[holder].token()
        return await target.ask(bearer(token), identity=target.identities[caller])

    end = ACCEPTED if holder == caller else refused("ISSUER_NOT_ALLOWED")
    name = f"the token of agency {holder} with the certificate of agency {caller}"
    return Case(FAMILY, name, end, attempt, frozenset({Need.OTHER_AGENCIES}))


def _certificates(holder: str, caller: str) -> Case:
    async def attempt(target: Target) -> Observed:
        token = bound_to(target.identity, presented(target, holder).leaf).token()
        given = presented(target, caller)
        return await target.present(forged.pem(given.leaf, *given.chain), given.key, bearer(token))

    end = ACCEPTED if holder == caller else refused("TOKEN_NOT_BOUND")
    name = f"the token of the certificate {holder!r} with the certificate {caller!r}"
    return Case(FAMILY, name, end, attempt, frozenset({Need.AUTHORITY}))


def presented(target: Target, label: str) -> Presented:
    """The same certificate each time: a token is bound to its bytes."""
    key = (target.address, label)
    if key not in _made:
        _made[key] = _make(target, label)
    return _made[key]


def _make(target: Target, label: str) -> Presented:
    steps: Sequence[forged.Issuer] = ()
    if "intermediate" in label:
        steps = (forged.authority(f"step {int(label.startswith('another'))}", target.root_authority),)
    made = Forged(steps[-1] if steps else target.leaf_authority, **CERTIFICATES[label])  # type: ignore[arg-type]
    return Presented(made.der(), forged.key_pem(made.key), tuple(step.der for step in steps))
