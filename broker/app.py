"""The composition root: the only file that knows all parts.

Start: the ledger is locked and recovered, the store opened, the policies evaluated once, writes that a crash cut off
are resolved on record; only then is the port opened. Stop: the port closes, calls end, the ledger is flushed.
"""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Mapping

import grpc
import structlog
from google.protobuf.internal import api_implementation
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from broker import identity
from broker.agreements import examiner, read_directory, require_form
from broker.audit.files import Files
from broker.audit.keeper import Keeper
from broker.config import Config
from broker.decide.bundle import PolicyBundle, RuleText
from broker.decide.catalogue import Catalogue
from broker.decide.decider import Decider
from broker.decide.engine import PolicyEngine
from broker.decide.engine_watch import EngineWatch
from broker.decide.examination import examine
from broker.decide.resting import InForce
from broker.domain.answer import Call
from broker.domain.clock import Clock, SystemClock
from broker.domain.errors import BrokerError
from broker.domain.slot import Slot
from broker.expiry import Expiry, own_certificates
from broker.handle.agreement.service import AgreementHandlers
from broker.handle.audit.service import AuditHandlers
from broker.handle.cursor import Cursors
from broker.handle.directory.service import DirectoryHandlers
from broker.handle.enrolment.service import EnrolmentHandlers
from broker.handle.explanation.service import ExplanationHandlers
from broker.handle.hit.service import HitHandlers
from broker.handle.policy.service import PolicyHandlers
from broker.handle.report.service import ReportHandlers
from broker.handle.revocation.service import RevocationHandlers
from broker.identify.caller import Identifier
from broker.identify.issuers import Issuers
from broker.identify.standing import Standing
from broker.identify.tls import server_credentials
from broker.identify.token import TokenVerifier
from broker.keys import cursor_key, log_signer, pseudonym_key
from broker.limits.limits import Limits
from broker.limits.tally import Tally
from broker.pipeline import Handler, Pipeline
from broker.policy import rollout, verification_key
from broker.release.ceiling import Ceiling
from broker.release.projector import Releaser
from broker.release.pseudonyms import Pseudonyms
from broker.server import Door, options
from broker.steady import steady_server
from broker.store import policies
from broker.store.store import Store
from broker.stream import StreamRunner
from broker.supposing import audience_handlers, simulation_handlers, simulator
from broker.watch import Watch
from entente.audit.v1 import audit_service_pb2, explanation_service_pb2
from entente.directory.v1 import (
    agreement_service_pb2,
    directory_service_pb2,
    enrolment_service_pb2,
    revocation_service_pb2,
)
from entente.policy.v1 import policy_service_pb2, simulation_service_pb2
from entente.report.v1 import audience_service_pb2, hit_service_pb2, report_service_pb2

SERVICES = (
    report_service_pb2.DESCRIPTOR.services_by_name["ReportService"],
    hit_service_pb2.DESCRIPTOR.services_by_name["HitService"],
    directory_service_pb2.DESCRIPTOR.services_by_name["DirectoryService"],
    audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
    enrolment_service_pb2.DESCRIPTOR.services_by_name["EnrolmentService"],
    revocation_service_pb2.DESCRIPTOR.services_by_name["RevocationService"],
    agreement_service_pb2.DESCRIPTOR.services_by_name["AgreementService"],
    explanation_service_pb2.DESCRIPTOR.services_by_name["ExplanationService"],
    audience_service_pb2.DESCRIPTOR.services_by_name["AudienceService"],
    policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"],
    simulation_service_pb2.DESCRIPTOR.services_by_name["SimulationService"],
)
SEARCH_AUDIT = "/entente.audit.v1.AuditService/SearchAuditEntries"
SUBSCRIBE = "/entente.report.v1.ReportService/SubscribeReports"
POLICY_HEALTH = "entente.policy"
SHUTDOWN_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 30.0
# A release gets its outcome or becomes indeterminate within five minutes.
OUTCOME_DUE_US = 240 * 1_000_000

_logger = structlog.get_logger("entente.broker")


def settle_memory() -> None:
    """What the start made lives as long as the process: the collector need not look at it again, which takes 60 ms."""
    gc.collect()
    gc.freeze()


class Broker:
    """A running broker."""

    def __init__(self, config: Config, engine: PolicyEngine | None, clock: Clock, files: Files, slot: Slot) -> None:
        # First of all: what is refused here leaves the data as the version before has it.
        require_form(config)
        self.config = config
        self.slot = slot
        data = config.broker.data
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        signer = log_signer(data, config.broker.name, slot)
        self._keeper = Keeper(data, slot, signer, clock, files, self._was_written)
        self.ledger, self.reader = self._keeper.ledger, self._keeper.reader
        self.projection, self.recorder = self._keeper.projection, self._keeper.recorder
        self.catalogue = Catalogue.from_descriptors(SERVICES)
        self.store = Store.open(data / "store.db", clock)
        self.policies = rollout(config, self.store, clock, engine=engine, changed=self._policy_changed)
        self.store.load_directory(*read_directory(config, self.policies.bundle, clock))
        self.decider = Decider(self.policies, self.catalogue, self.store, clock)
        self._engine_watch = EngineWatch(self.policies, self._tell_policy_health)
        self.standing = Standing(clock, self.store.revoked())
        self.material = identity.material(config, clock)
        issuers = Issuers()
        self.issuers = identity.issuer_feed(config, issuers, self.store, clock)
        self.limits = Limits(config.limits, Tally.open(data, slot.number, clock), clock)
        self.expiry = Expiry(
            self.store, self.recorder, clock, lambda: own_certificates(config.tls.certificate, config.tls.roots)
        )
        profile = identity.profile(config, clock, self.material, self.expiry)
        self._agreements = examiner(config, self._bundle, clock, roots=self.material.roots, lists=self.material.lists)
        self._examiners = identity.examiners(config, self._bundle, profile, issuers, self.issuers, self._agreements)
        key = verification_key(config.policy)
        self._simulator = simulator(self.decider, lambda archive: examine(archive, key), clock)
        in_force = InForce(self.store, clock)
        self.pipeline = Pipeline(
            identifier=Identifier(profile, TokenVerifier(issuers, config.broker.audience, clock), self.standing),
            in_force=in_force,
            catalogue=self.catalogue,
            decider=self.decider,
            handlers=self._handlers(clock),
            releaser=Releaser(pseudonyms=Pseudonyms(pseudonym_key(data))),
            recorder=self.recorder,
            limits=self.limits,
            ceiling=Ceiling(),
        )
        self.streams = StreamRunner(self.pipeline, {SUBSCRIBE: self._reports.open_subscription})
        self.watch = Watch(
            self.store,
            self.standing,
            [self.decider.forget, self.policies.look_again, in_force.forget, self.issuers.look_again],
            recheck=self.streams.look_again,
            serving=self._tell_health,
        )
        self.address = config.broker.listen
        self._clock = clock
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()
        self._housekeeper: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        config: Config,
        *,
        engine: PolicyEngine | None = None,
        clock: Clock | None = None,
        files: Files | None = None,
        slot: Slot | None = None,
    ) -> Broker:
        """Recover, check everything once, then open the port. With a slot the port is shared with other workers.

        `engine` answers instead of the configured one: for tests.

        Raises LockedLedgerError, DamagedLedgerError, ConfigError, UnavailableError (policy), ValueError or OSError.
        """
        if api_implementation.Type() != "upb":
            raise RuntimeError("protobuf runs on its slow pure-Python implementation; install the binary wheel")
        now = clock or SystemClock()
        broker = cls(config, engine, now, files or Files(), slot or Slot())
        await broker._open(shared_port=slot is not None)
        return broker

    async def _open(self, *, shared_port: bool) -> None:
        await self.decider.start()
        await self.issuers.start()
        await self._keeper.start()
        self._housekeeper = asyncio.create_task(self._keep_house(), name="housekeeper")
        self.watch.start()
        self.expiry.start()
        self.material.follow(self.streams.look_again)
        self.material.start()
        # A path that nobody can read is counted among the calls that never began.
        server = steady_server(
            options(self.config.limits, shared_port=shared_port), lambda: self.recorder.outcomes.not_started("")
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self.config.broker.reflection:
            names = (*(service.full_name for service in SERVICES), reflection.SERVICE_NAME, health.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        server.add_generic_rpc_handlers((Door(self.pipeline, self.streams, self.config.limits),))
        port = server.add_secure_port(self.config.broker.listen, server_credentials(lambda: self.material.offer))
        self.address = f"{self.config.broker.listen.rpartition(':')[0]}:{port}"
        self.limits.start(port)
        await server.start()
        self._server = server
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        await self._engine_watch.start()
        _logger.info("serving", address=self.address, ledger_size=len(self.ledger), engine=self.config.policy.engine)

    async def stop(self) -> None:
        """Close the port, end the calls, flush the ledger."""
        if self._server is not None:
            await self._health.enter_graceful_shutdown()
            self.streams.shut_down()
            await self._server.stop(SHUTDOWN_SECONDS)
        await self._engine_watch.aclose()
        await self.watch.aclose()
        await self.expiry.aclose()
        await self.limits.aclose()
        await self.issuers.aclose()
        await self.material.aclose()
        if self._housekeeper is not None:
            self._housekeeper.cancel()
            await asyncio.gather(self._housekeeper, return_exceptions=True)
        await self._keeper.aclose()
        await self.decider.close()
        self._simulator.close()
        self.store.close()

    def _handlers(self, clock: Clock) -> dict[str, Handler]:
        cursors = Cursors(cursor_key(self.config.broker.data))
        self._reports = ReportHandlers(self.store, cursors, clock, self.config.broker.name)
        areas: dict[str, object] = {
            "ReportService": self._reports,
            "HitService": HitHandlers(self.reader, cursors, self.store),
            "DirectoryService": DirectoryHandlers(
                self.store, cursors, self.decider.capabilities, lambda: self.policies.bundle.appointed_roles
            ),
            "AuditService": AuditHandlers(self.reader, cursors, self.store),
            "AudienceService": audience_handlers(self.store, cursors, self.decider, clock),
            "SimulationService": simulation_handlers(
                self.store, self.reader, self.decider, self._simulator, self._agreements
            ),
            "ExplanationService": ExplanationHandlers(self.reader, self.store, self._rules_of, self._may_audit),
            "PolicyService": PolicyHandlers(self.store, self._engine_health),
            "EnrolmentService": EnrolmentHandlers(self.store, cursors, clock, self._examiners),
            "AgreementService": AgreementHandlers(self.store, cursors, clock),
            "RevocationService": RevocationHandlers(
                self.store, cursors, clock, {one.issuer: one.agency for one in self.config.issuers}
            ),
        }
        handlers: dict[str, Handler] = {}
        for rule in self.catalogue:
            service, _, method = rule.path.rpartition("/")
            if not rule.server_streaming:
                handlers[rule.path] = getattr(areas[service.rpartition(".")[2]], _snake(method))
        return handlers

    def _rules_of(self, revision: str) -> Mapping[str, RuleText] | None:
        """The rules of the policies of a revision that is or was in force here, or None."""
        present = self.policies.bundle
        if revision == present.revision:
            return present.rules
        kept = self.store.look(lambda driver: policies.of_revision(driver, revision))
        return None if kept is None else PolicyBundle.from_archive(kept.archive, None).rules

    def _bundle(self) -> PolicyBundle:
        return self.policies.bundle

    async def _engine_health(self) -> tuple[str, bool]:
        return self.policies.current.engine.name, await self.policies.healthy()

    def _policy_changed(self) -> None:
        """Another policy is in force: what was decided, and streams that follow from it, are looked at again."""
        self.decider.forget()
        self.streams.look_again()

    async def _may_audit(self, call: Call) -> bool:
        return await self.decider.permits(call.caller, SEARCH_AUDIT, call.justification)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            try:
                await self._keeper.resolve(OUTCOME_DUE_US)
            except BrokerError as error:
                _logger.warning("housekeeping", reason=error.reason)

    def _was_written(self, exchange_id: str) -> bool:
        return self.store.exchange_done(exchange_id)

    async def _tell_health(self, serving: bool) -> None:
        """To whom asks by gRPC's health protocol, a load balancer above all."""
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.SERVING if serving else status.NOT_SERVING)

    async def _tell_policy_health(self, answers: bool) -> None:
        """To whom watches the policy engine: without it callers are refused, but the broker is there to say so."""
        status = health_pb2.HealthCheckResponse
        await self._health.set(POLICY_HEALTH, status.SERVING if answers else status.NOT_SERVING)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
