"""The parts that suppose: a preview for readers who have not asked, a simulation of changes that nobody has made.

Guarantees: none of them shares an engine's answers, a cache or a release stage with what serves calls.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from broker.agreements import RECORD_TYPES
from broker.audit.reader import AuditReader
from broker.decide.agreement_words import agreement_words
from broker.decide.audience import Audience
from broker.decide.bundle import PolicyBundle
from broker.decide.decider import Decider
from broker.decide.simulation import Simulator
from broker.domain.answer import Answer, StoredItem
from broker.domain.clock import Clock
from broker.domain.directory import Agreement
from broker.domain.grant import Grant
from broker.domain.marks import MarkSet
from broker.domain.supposed import Reader
from broker.handle.cursor import Cursors
from broker.handle.report.audience.service import AudienceHandlers
from broker.handle.simulation.service import SimulationHandlers
from broker.identify.agreement_signatures import AgreementExaminer, agreement_of
from broker.release.projector import Releaser
from broker.release.pseudonyms import KEY_BYTES, Pseudonyms, Scope
from broker.store.store import Store
from entente.report.v1 import report_service_pb2
from entente_agreement import SignedDocument, require_consistent


def audience_handlers(store: Store, cursors: Cursors, decider: Decider, clock: Clock) -> AudienceHandlers:
    """Who would see what of a report."""
    audience = Audience(lambda: decider.policy, store, clock)
    return AudienceHandlers(store, cursors, audience, _disclosing(), _draft_reader(decider))


def simulation_handlers(
    store: Store, reader: AuditReader, decider: Decider, simulator: Simulator, agreements: AgreementExaminer
) -> SimulationHandlers:
    """What a change would do."""

    async def marks(numbers: Iterable[int]) -> list[tuple[int, MarkSet]]:
        # Another worker may have interned some of them; this one takes them in when it next decides, or now.
        await decider.refresh()
        return decider.marks(numbers)

    return SimulationHandlers(
        store,
        reader,
        marks,
        simulator.simulate,
        _draft_reader(decider),
        lambda text: agreements.examine(text).signed.agreement,
    )


def simulator(decider: Decider, examine: Callable[[bytes], PolicyBundle], clock: Clock) -> Simulator:
    """Simulations against the policy in force. `examine`: a proposed bundle, if it could be in force."""
    return Simulator(lambda: decider.policy, examine, clock)


def _draft_reader(decider: Decider) -> Callable[[str], Agreement]:
    """Reads an agreement that nobody need have signed. Raises ValueError where it cannot hold together."""

    def read_draft(text: str) -> Agreement:
        document = SignedDocument.parse(text).document
        require_consistent(document, agreement_words(decider.policy.bundle, RECORD_TYPES))
        return agreement_of(document)

    return read_draft


def _disclosing() -> Callable[[Reader, StoredItem, Grant], bytes]:
    releaser = Releaser(0, Pseudonyms(secrets.token_bytes(KEY_BYTES)))

    def disclose(reader: Reader, item: StoredItem, grant: Grant) -> bytes:
        scope = Scope.of(reader.agency, "supposed" if reader.case_stated else "")
        return releaser.release(Answer(items=(item,)), report_service_pb2.GetReportResponse, grant, scope).response

    return disclose
