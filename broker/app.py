"""The composition root: the only file that knows all parts.

Start: the ledger is locked and recovered, the store opened, the policies evaluated once, writes that a crash cut off
are resolved on record; only then is the port opened. Stop: the port closes, calls end, the ledger is flushed.
"""

from __future__ import annotations

import asyncio
import re
import secrets

import grpc
import structlog
from google.protobuf.internal import api_implementation
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from broker.audit.entry import Node
from broker.audit.files import Files
from broker.audit.log import Ledger
from broker.audit.projection import Projection
from broker.audit.reader import AuditReader
from broker.audit.recorder import Recorder
from broker.audit.scribe import Scribe
from broker.audit.seal import SealKeys
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
from broker.handle.audit.service import AuditHandlers
from broker.handle.cursor import Cursors
from broker.handle.directory.service import DirectoryHandlers
from broker.handle.report.service import ReportHandlers
from broker.identify.caller import Identifier
from broker.identify.certificate import CertificateProfile
from broker.identify.issuers import IssuerEntry, Issuers
from broker.identify.roots import TrustRoots
from broker.identify.standing import Standing
from broker.identify.tls import server_credentials
from broker.identify.token import TokenVerifier
from broker.keys import cursor_key, log_signer
from broker.limits.limits import Limits
from broker.pipeline import Handler, Pipeline
from broker.release.projector import Releaser
from broker.server import OPTIONS, Door
from broker.store.audit_index import AuditIndex
from broker.store.store import Store
from broker.stream import StreamRunner
from broker.watch import Watch
from entente.audit.v1 import audit_service_pb2
from entente.directory.v1 import directory_service_pb2
from entente.report.v1 import report_service_pb2

SERVICES = (
    report_service_pb2.DESCRIPTOR.services_by_name["ReportService"],
    directory_service_pb2.DESCRIPTOR.services_by_name["DirectoryService"],
    audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
)
SUBSCRIBE = "/entente.report.v1.ReportService/SubscribeReports"
SHUTDOWN_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 30.0
# A release gets its outcome or becomes indeterminate within five minutes.
OUTCOME_DUE_US = 240 * 1_000_000

_logger = structlog.get_logger("entente.broker")


class Broker:
    """A running broker."""

    def __init__(self, config: Config, engine: PolicyEngine, bundle: PolicyBundle, clock: Clock, files: Files) -> None:
        self.config = config
        data = config.broker.data
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        signer = log_signer(data, config.broker.name)
        keys = SealKeys.open(data / "keys")
        self.catalogue = Catalogue.from_descriptors(SERVICES)
        self.ledger = Ledger.open(data / "ledger", signer, clock=clock, files=files)
        self.store = Store.open(data / "store.db", clock)
        self.store.load_directory(*load_directory(config.broker.directory))
        index = AuditIndex(data / "audit.db")
        self.projection = Projection(self.ledger, keys, index)
        self.reader = AuditReader(self.ledger, self.projection, index, keys)
        self.decider = Decider(engine, bundle, self.catalogue, self.store, clock)
        node = Node(config.broker.name, secrets.token_hex(8))
        self.recorder = Recorder(Scribe(self.ledger, keys, node, clock))
        self.standing = Standing(clock, self.store.revoked())
        self.pipeline = Pipeline(
            identifier=_identifier(config, clock, self.standing),
            catalogue=self.catalogue,
            decider=self.decider,
            handlers=self._handlers(clock),
            releaser=Releaser(),
            recorder=self.recorder,
            limits=Limits(config.limits),
        )
        self.streams = StreamRunner(self.pipeline, {SUBSCRIBE: self._reports.open_subscription})
        self.watch = Watch(self.store, self.standing, [self.streams.look_again])
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
    ) -> Broker:
        """Recover, check everything once, then open the port.

        Raises LockedLedgerError, DamagedLedgerError, UnavailableError (policy), ValueError or OSError.
        """
        if api_implementation.Type() != "upb":
            raise RuntimeError("protobuf runs on its slow pure-Python implementation; install the binary wheel")
        now = clock or SystemClock()
        bundle = PolicyBundle.load(config.policy.bundle or policy_folder())
        broker = cls(config, engine or _engine(config.policy, bundle, now), bundle, now, files or Files())
        await broker._open()
        return broker

    async def _open(self) -> None:
        await self.decider.start()
        await self.projection.start()
        await self._resolve(self._clock.now_us())
        self.recorder.outcomes.start()
        self._housekeeper = asyncio.create_task(self._keep_house(), name="housekeeper")
        self.watch.start()
        server = grpc.aio.server(options=OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self.config.broker.reflection:
            names = (*(service.full_name for service in SERVICES), reflection.SERVICE_NAME, health.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        server.add_generic_rpc_handlers((Door(self.pipeline, self.streams),))
        tls = self.config.tls
        credentials = server_credentials(tls.certificate.read_bytes(), tls.key.read_bytes(), tls.roots.read_bytes())
        port = server.add_secure_port(self.config.broker.listen, credentials)
        self.address = f"{self.config.broker.listen.rpartition(':')[0]}:{port}"
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
        if self._housekeeper is not None:
            self._housekeeper.cancel()
            await asyncio.gather(self._housekeeper, return_exceptions=True)
        await self.recorder.outcomes.aclose()
        await self.projection.aclose()
        await self.ledger.aclose()
        await self.decider.close()
        self.store.close()

    def _handlers(self, clock: Clock) -> dict[str, Handler]:
        cursors = Cursors(cursor_key(self.config.broker.data))
        self._reports = ReportHandlers(self.store, cursors, clock, self.config.broker.name)
        areas: dict[str, object] = {
            "ReportService": self._reports,
            "DirectoryService": DirectoryHandlers(self.store, cursors, self.decider.capabilities),
            "AuditService": AuditHandlers(self.reader, cursors, self.store),
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
                await self._resolve(self._clock.now_us() - OUTCOME_DUE_US)
            except BrokerError as error:
                _logger.warning("housekeeping", reason=error.reason)

    async def _resolve(self, before_us: int) -> None:
        """Close what a crash left open: a write by its change row, a release as indeterminate (invariant 10)."""
        for exchange_id in await self.reader.open_releases(before_us):
            if self.store.exchange_written(exchange_id) is not None:
                self.recorder.outcomes.resolved(exchange_id, written=True)
            else:
                self.recorder.outcomes.unresolved(exchange_id)


def _identifier(config: Config, clock: Clock, standing: Standing) -> Identifier:
    roots = TrustRoots.from_pem(config.tls.roots.read_bytes(), config.broker.trust_domains)
    entries = [IssuerEntry(one.issuer, AgencyId.parse(one.agency), one.jwks) for one in config.issuers if one.jwks]
    profile = CertificateProfile(roots, config.broker.trust_domains, clock)
    return Identifier(profile, TokenVerifier(Issuers(entries), config.broker.audience, clock), standing)


def _engine(policy: PolicySection, bundle: PolicyBundle, clock: Clock) -> PolicyEngine:
    if policy.engine == "opa":
        return OpaEngine(bundle, OpaAddress(policy.url), clock)
    return EmbeddedEngine(bundle)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
