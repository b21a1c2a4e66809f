"""How the broker comes by its policy: what the operator configured, what two registrars adopted, and who answers by it.

Guarantees: a bundle that the configuration names is proven by the policy authority's key before anything else is done
with it; the policies that come with the broker are its own code, and need none. What two registrars adopted stands over
both at every start, until `policy.passed_over` names it.
"""

from __future__ import annotations

from collections.abc import Callable

from broker.config import Config, ConfigError, PolicySection
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.bundle_signature import VerificationKey
from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import PolicyEngine
from broker.decide.opa import OpaAddress, OpaEngine
from broker.decide.publication import Publication
from broker.decide.rollout import Rollout
from broker.domain.clock import Clock
from broker.store.store import Store

PUBLISHED = "policy"
OPA_START_S = 5.0


def verification_key(section: PolicySection) -> VerificationKey | None:
    """The policy authority's public key, where one is configured. Raises ConfigError."""
    if section.verification_key is None:
        return None
    try:
        return VerificationKey.read(section.verification_key)
    except (OSError, ValueError) as error:
        raise ConfigError(f"policy.verification_key cannot be used: {error}") from error


def configured(section: PolicySection) -> tuple[PolicyBundle, bytes]:
    """The operator's policy, and its archive. Raises ConfigError."""
    if section.bundle is None:
        bundle = PolicyBundle.load(policy_folder())
        return bundle, bundle.to_archive(None)
    if section.bundle.is_dir():
        raise ConfigError(
            f"{section.bundle}: policy.bundle is a signed bundle, not a folder; make one: entente policy build"
        )
    try:
        archive = section.bundle.read_bytes()
        return PolicyBundle.from_archive(archive, verification_key(section)), archive
    except (OSError, ValueError) as error:
        raise ConfigError(f"{section.bundle}: policy.bundle cannot be used: {error}") from error


def standing(section: PolicySection, store: Store) -> PolicyBundle:
    """The policy that a broker which starts now would put in force. Raises ConfigError."""
    present = store.policy_in_force()
    if present is None or not present.stands(section.passed_over):
        return configured(section)[0]
    try:
        return PolicyBundle.from_archive(present.archive, verification_key(section))
    except ValueError as error:
        raise _unusable(error) from error


def rollout(
    config: Config, store: Store, clock: Clock, *, engine: PolicyEngine | None, changed: Callable[[], None]
) -> Rollout:
    """What follows the policy in force; the operator's is put in force first, where none stands over it.

    `engine`: answers from every policy, instead of the configured one: for tests.

    Raises:
        ConfigError: the operator's bundle, or the adopted one that stands over it, cannot be used.
    """
    section = config.policy
    bundle, archive = configured(section)
    store.configure_policy(bundle.revision, archive, section.passed_over)
    publication = Publication(section.publish or config.broker.data / PUBLISHED)
    make = engine_maker(section, clock) if engine is None else lambda _: engine
    try:
        return Rollout(
            store,
            make,
            clock,
            key=verification_key(section),
            publish=publication.write,
            changed=changed,
            start_s=OPA_START_S if engine is None and section.engine == "opa" else 0.0,
        )
    except ValueError as error:
        raise _unusable(error) from error


def engine_maker(section: PolicySection, clock: Clock) -> Callable[[PolicyBundle], PolicyEngine]:
    """Makes the configured engine for a bundle. Raises ConfigError."""
    if section.engine != "opa":
        return EmbeddedEngine
    try:
        address = OpaAddress(section.url, section.certificate, section.key, section.ca)
    except ValueError as error:
        raise ConfigError(f"policy.url: {error}") from error
    return lambda bundle: OpaEngine(bundle, address, clock, deadline_s=section.deadline_milliseconds / 1000)


def _unusable(error: ValueError) -> ConfigError:
    return ConfigError(
        f"the adopted policy that stands over the configured one cannot be used: {error}. To put the configured one in "
        "force, set policy.passed_over to the adopted one's revision (docs/operating.md)"
    )
