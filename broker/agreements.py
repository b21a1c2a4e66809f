"""How the operator's directory is read: its agreements are examined against the broker's roots and policies first."""

from __future__ import annotations

from collections.abc import Callable

from broker.config import Config, ConfigError, DirectoryFile, load_directory
from broker.decide.agreement_words import agreement_words
from broker.decide.bundle import PolicyBundle
from broker.domain.agreement import SignedAgreement
from broker.domain.clock import Clock
from broker.handle.report.translate import RECORD_TYPE
from broker.identify.agreement_signatures import AgreementExaminer, agreement_of
from broker.identify.revocation_list import RevocationLists
from broker.identify.roots import TrustRoots, anchors_from_pem
from entente_agreement import SignedDocument

# Of all areas: what an agreement may cover.
RECORD_TYPES = (RECORD_TYPE,)


def examiner(
    config: Config,
    bundle: Callable[[], PolicyBundle],
    clock: Clock,
    *,
    roots: TrustRoots,
    lists: RevocationLists | None = None,
) -> AgreementExaminer:
    """Whoever reads signed agreements. With `lists`, what was revoked since does not count."""
    domains = config.broker.trust_domains
    return AgreementExaminer(roots, domains, lambda: agreement_words(bundle(), RECORD_TYPES), clock, lists)


def require_form(config: Config) -> None:
    """That the operator's directory can be read at all: asked before anything is changed. Raises ConfigError."""
    load_directory(config.broker.directory, _unexamined)


def read_directory(config: Config, bundle: PolicyBundle, clock: Clock) -> DirectoryFile:
    """The operator's directory, its agreements signed by all of their parties. Raises ConfigError."""
    try:
        roots = TrustRoots(anchors_from_pem(config.tls.roots.read_bytes(), config.broker.trust_domains))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{config.tls.roots}: tls.roots cannot be used: {error}") from error
    reader = examiner(config, lambda: bundle, clock, roots=roots)
    return load_directory(config.broker.directory, lambda text: reader.examine(text).signed)


def _unexamined(text: str) -> SignedAgreement:
    return SignedAgreement(agreement_of(SignedDocument.parse(text).document), text)
