"""The composition root: the only file that knows all parts.

Start: the ledger is locked and recovered, the store opened, the policies evaluated once, writes that a crash cut off
are resolved on record; only then is the port opened. Stop: the port closes, calls end, the ledger is flushed.
"""

from __future__ import annotations

import asyncio
import gc
import re

import grpc
import structlog
from google.protobuf.internal import api_implementation
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from broker.audit.files import Files
from broker.audit.keeper import Keeper
from broker.config import Config, PolicySection, load_directory
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.catalogue import Catalogue
from broker.decide.decider import Decider
from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import PolicyEngine
from broker.decide.opa import OpaAddress, OpaEngine
from broker.domain.caller import AgencyId
from broker.domain.clock import Clock, SystemClock
from broker.domain.errors import BrokerError
from broker.domain.slot import Slot
from broker.expiry import Expiry, own_certificates
from broker.handle.audit.service import AuditHandlers
from broker.handle.cursor import Cursors
from broker.handle.directory.service import DirectoryHandlers
from broker.handle.enrolment.examiners import Examiners
from broker.handle.enrolment.service import EnrolmentHandlers
from broker.handle.report.service import ReportHandlers
from broker.handle.revocation.service import RevocationHandlers
from broker.identify.caller import Identifier
from broker.identify.certificate import CertificateProfile
from broker.identify.issuer_feed import IssuerFeed, Refreshing
from broker.identify.issuers import IssuerEntry, Issuers
from broker.identify.key_cache import KeyCache
from broker.identify.list_numbers import ListNumbers
from broker.identify.material import TlsFiles, TlsMaterial
from broker.identify.probing import require_registrable
from broker.identify.requests import read_certificate, read_request
from broker.identify.standing import Standing
from broker.identify.tls import server_credentials
from broker.identify.token import TokenVerifier
from broker.keys import cursor_key, log_signer
from broker.limits.limits import Limits
from broker.limits.tally import Tally
from broker.pipeline import Handler, Pipeline
from broker.release.projector import Releaser
from broker.server import Door, options
from broker.steady import steady_server
from broker.store.store import Store
from broker.stream import StreamRunner
from broker.watch import Watch
from entente.audit.v1 import audit_service_pb2
from entente.directory.v1 import directory_service_pb2, enrolment_service_pb2, revocation_service_pb2
from entente.report.v1 import report_service_pb2

SERVICES = (
    report_service_pb2.DESCRIPTOR.services_by_name["ReportService"],
    directory_service_pb2.DESCRIPTOR.services_by_name["DirectoryService"],
    audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
    enrolment_service_pb2.DESCRIPTOR.services_by_name["EnrolmentService"],
    revocation_service_pb2.DESCRIPTOR.services_by_name["RevocationService"],
)
SUBSCRIBE = "/entente.report.v1.ReportService/SubscribeReports"
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

    def __init__(
        self, config: Config, engine: PolicyEngine, bundle: PolicyBundle, clock: Clock, files: Files, slot: Slot
    ) -> None:
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
        self.store.load_directory(*load_directory(config.broker.directory))
        self.decider = Decider(engine, bundle, self.catalogue, self.store, clock)
        self._appointed_roles = bundle.appointed_roles
        self.standing = Standing(clock, self.store.revoked())
        self.material = _material(config, clock)
        issuers = Issuers()
        self.issuers = _issuer_feed(config, issuers, self.store, clock)
        self.limits = Limits(config.limits, Tally.open(data, slot.number, clock), clock)
        self.expiry = Expiry(
            self.store, self.recorder, clock, lambda: own_certificates(config.tls.certificate, config.tls.roots)
        )
        profile = _profile(config, clock, self.material, self.expiry)
        self._examiners = _examiners(config, bundle, profile, issuers, self.issuers)
        self.pipeline = Pipeline(
            identifier=Identifier(profile, TokenVerifier(issuers, config.broker.audience, clock), self.standing),
            catalogue=self.catalogue,
            decider=self.decider,
            handlers=self._handlers(clock),
            releaser=Releaser(),
            recorder=self.recorder,
            limits=self.limits,
        )
        self.streams = StreamRunner(self.pipeline, {SUBSCRIBE: self._reports.open_subscription})
        self.watch = Watch(
            self.store,
            self.standing,
            [self.decider.forget, self.issuers.look_again],
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

        Raises LockedLedgerError, DamagedLedgerError, UnavailableError (policy), ValueError or OSError.
        """
        if api_implementation.Type() != "upb":
            raise RuntimeError("protobuf runs on its slow pure-Python implementation; install the binary wheel")
        now = clock or SystemClock()
        bundle = PolicyBundle.load(config.policy.bundle or policy_folder())
        broker = cls(
            config, engine or _engine(config.policy, bundle, now), bundle, now, files or Files(), slot or Slot()
        )
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
        _logger.info("serving", address=self.address, ledger_size=len(self.ledger), engine=self.config.policy.engine)

    async def stop(self) -> None:
        """Close the port, end the calls, flush the ledger."""
        if self._server is not None:
            await self._health.enter_graceful_shutdown()
            self.streams.shut_down()
            await self._server.stop(SHUTDOWN_SECONDS)
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
        self.store.close()

    def _handlers(self, clock: Clock) -> dict[str, Handler]:
        cursors = Cursors(cursor_key(self.config.broker.data))
        self._reports = ReportHandlers(self.store, cursors, clock, self.config.broker.name)
        areas: dict[str, object] = {
            "ReportService": self._reports,
            "DirectoryService": DirectoryHandlers(
                self.store, cursors, self.decider.capabilities, self._appointed_roles
            ),
            "AuditService": AuditHandlers(self.reader, cursors, self.store),
            "EnrolmentService": EnrolmentHandlers(self.store, cursors, clock, self._examiners),
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


def _material(config: Config, clock: Clock) -> TlsMaterial:
    tls = config.tls
    files = TlsFiles(tls.certificate, tls.key, tls.roots, tls.revocation_lists)
    numbers = ListNumbers(config.broker.data / "lists")
    domains, hours = config.broker.trust_domains, tls.revocation_list_hours
    return TlsMaterial(files, domains, oldest_hours=hours, clock=clock, numbers=numbers)


def _profile(config: Config, clock: Clock, material: TlsMaterial, expiry: Expiry) -> CertificateProfile:
    domains = config.broker.trust_domains
    return CertificateProfile(material.roots, material.lists, domains, clock, noticed=expiry.notice)


def _examiners(
    config: Config, bundle: PolicyBundle, profile: CertificateProfile, issuers: Issuers, feed: IssuerFeed
) -> Examiners:
    """What enrolment asks of the identify stage, without importing it."""
    ca = config.identity.jwks_ca
    return Examiners(
        request=lambda pem: read_request(pem, config.broker.trust_domains),
        certificate=lambda pem: read_certificate(pem, profile),
        issuer=lambda registration: require_registrable(registration, issuers, ca),
        probe=feed.probe,
        appointed_roles=bundle.appointed_roles,
        file_issuers={one.issuer: one.agency for one in config.issuers},
    )


def _issuer_feed(config: Config, issuers: Issuers, store: Store, clock: Clock) -> IssuerFeed:
    entries = [
        IssuerEntry(one.issuer, AgencyId.parse(one.agency), one.jwks, one.jwks_uri, one.ca) for one in config.issuers
    ]
    identity = config.identity
    refreshing = Refreshing(identity.jwks_refresh_seconds, identity.jwks_oldest_seconds, identity.jwks_ca)
    cache = KeyCache(config.broker.data / "issuers")
    return IssuerFeed(issuers, entries, store.issuers, cache, clock, refreshing)


def _engine(policy: PolicySection, bundle: PolicyBundle, clock: Clock) -> PolicyEngine:
    if policy.engine == "opa":
        return OpaEngine(bundle, OpaAddress(policy.url), clock)
    return EmbeddedEngine(bundle)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
