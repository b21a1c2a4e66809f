"""A bundle from outside is examined before it may be proposed, and again before it comes into force.

MUSTs:
1. The policy authority has signed it (`bundle_signature.py`).
2. It keeps to the subset that every engine reads alike (`portable.py`), compiles, answers at both entry points in the
   agreed shape, and grants nothing to a caller who has nothing (`probe.py`).
3. Under it a registrar may still read and change the registry: a policy that nobody could replace is refused.
Does not: say whether it is a good policy: that is for `entente policy diff`, a simulation, and two people.
"""

from __future__ import annotations

import itertools
from collections.abc import Coroutine

import orjson

from broker.decide.bundle import PolicyBundle
from broker.decide.bundle_signature import VerificationKey
from broker.decide.embedded import EmbeddedEngine
from broker.decide.portable import unportable
from broker.decide.rollout import PolicyNow
from broker.domain.enrolment import REGISTRAR
from broker.domain.errors import UnavailableError

_PURPOSE = "ADMINISTRATION"
_NEEDED = ("REGISTRY_READ", "REGISTRY_WRITE")
_HOUSE = {"country": "GB", "level": "NATIONAL", "name": "probe/registry", "trust_domain": "probe"}


def examine(archive: bytes, key: VerificationKey | None) -> PolicyBundle:
    """The bundle in an archive, if it could be in force. Blocks for some ten milliseconds; on any thread.

    Raises:
        ValueError: with words for whoever proposes it. SignatureError among them.
    """
    if key is None:
        raise ValueError("this broker knows no key of a policy authority; its operator sets policy.verification_key")
    bundle = PolicyBundle.from_archive(archive, key)
    require_sound(bundle)
    return bundle


def require_sound(bundle: PolicyBundle) -> None:
    """MUSTs 2 and 3. Raises ValueError."""
    if found := list(itertools.islice(unportable(bundle.modules), 5)):
        raise ValueError("; ".join(found))
    try:
        _at_once(_tried(bundle))
    except UnavailableError as failure:
        raise ValueError(f"it cannot be evaluated: {failure.detail or failure.message}") from None


async def _tried(bundle: PolicyBundle) -> None:
    engine = EmbeddedEngine(bundle)
    await engine.start()
    reader = PolicyNow.of(0, bundle, engine).reader
    for permission in _NEEDED:
        question = {"agency": _HOUSE, "exempt": False, "permission": permission, "purpose": _PURPOSE}
        question |= {"purposes": [_PURPOSE], "roles": [REGISTRAR]}
        answer = reader.method((await engine.method(orjson.dumps(question, option=orjson.OPT_SORT_KEYS))).document)
        if not answer.allow:
            raise ValueError(f"under it no registrar has {permission}: nobody could put another policy in force")


def _at_once(work: Coroutine[None, None, None]) -> None:
    """Run what never waits: the embedded engine answers within the call. So it needs no event loop."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise AssertionError("the embedded engine waits for nothing")
