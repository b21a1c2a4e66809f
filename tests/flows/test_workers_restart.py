"""A rolling restart under load: every call of the SDK is answered, and so is every call that is never repeated."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from broker.audit.recorder import LEDGER_DOWN
from certs.network import Party
from entente.directory.v1 import directory_service_pb2 as directory
from entente_sdk import AsyncEntente
from entente_sdk.settings import load_profile
from entente_tlog.verify import verify_directory
from tests.bench.seed import report as sample_report
from tests.support.exchanges import NATIONAL, OFFICER, WHO_AM_I, ask
from tests.support.house import until
from tests.support.live import ROOMY, LiveBroker, live_broker
from tests.support.workers import remote_to_each

# A drained worker's connections have had their time after so long; in production it is twenty minutes.
AGE = {"connection_age_seconds": 1}
MY_NAME = directory.WhoAmIRequest().SerializeToString()

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBroker]:
    with live_broker(tmp_path_factory.mktemp("restart") / "network", workers=2, limits={**ROOMY, **AGE}) as broker:
        yield broker


@dataclass
class Load:
    """Callers of all kinds, until told to stop, and what became of their calls."""

    live: LiveBroker
    done: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    followed: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def client(self, party: Party) -> AsyncEntente:
        profile = load_profile(party.profile, environ={"ENTENTE_CONFIG": str(self.live.network.client_config)})
        return AsyncEntente(profile, token=lambda: self.live.metadata(party)[0][1].removeprefix("Bearer "))

    async def sdk(self) -> None:
        """Writes and reads as the SDK makes them. An exception ends the test."""
        async with self.client(OFFICER) as entente:
            while not self.stop.is_set():
                written = await entente.reports.submit(sample_report(len(self.written)))
                self.written.append(written.message.record_id)
                await entente.reports.get(self.written[-1])
                self.done["SDK"] += 2

    async def follow(self) -> None:
        """The SDK's subscription: it resumes wherever it is sent."""
        async with self.client(NATIONAL) as entente, entente.reports.subscribe() as subscription:
            async for batch in subscription:
                self.followed += [change.report.report.header.record_id for change in batch.changes]
                await batch.acknowledge()

    async def bare(self, kind: str, calls_on_a_connection: int) -> None:
        """Calls that nothing repeats."""
        while not self.stop.is_set():
            async with self.live.aio_channel(OFFICER) as channel:
                call = channel.unary_unary(WHO_AM_I)
                for _ in range(calls_on_a_connection):
                    if self.stop.is_set():
                        return
                    try:
                        await call(MY_NAME, metadata=self.live.metadata(OFFICER), timeout=30)
                        self.done[kind] += 1
                    except grpc.aio.AioRpcError as error:
                        # A disk that stalls for a second has nothing to do with the restart.
                        late = LEDGER_DOWN in str(error.trailing_metadata())
                        (self.late if late else self.failed).append(f"{kind}: {error.code().name} {error.details()}")


@contextlib.asynccontextmanager
async def under_load(live: LiveBroker):  # type: ignore[no-untyped-def]
    load = Load(live)
    callers = [load.sdk(), load.sdk(), load.bare("standing", 1_000_000), load.bare("standing", 1_000_000)]
    tasks = [asyncio.create_task(one) for one in (*callers, load.bare("fresh", 5), load.bare("fresh", 5))]
    follower = asyncio.create_task(load.follow())
    try:
        await until(lambda: min(load.done[kind] for kind in ("SDK", "standing", "fresh")) > 5, 60)
        yield load
        load.stop.set()
        await asyncio.gather(*tasks)
        await until(lambda: follower.done() or set(load.written) <= set(load.followed), 30)
    finally:
        for task in (*tasks, follower):
            task.cancel()
        await asyncio.gather(*tasks, follower, return_exceptions=True)


async def boots(live: LiveBroker) -> set[str]:
    """The run of each worker that answers now."""
    async with remote_to_each(live) as found:
        answers = [await ask(remote, WHO_AM_I, directory.WhoAmIRequest()) for remote in found.values()]
        return {str(answer.receipt.leaf["boot_id"]) for answer in answers}


async def reflects(live: LiveBroker) -> bool:
    """Whether a worker serves gRPC reflection."""
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    question = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    async with live.aio_channel(OFFICER) as channel:
        call = channel.stream_stream(path)(iter([question]), metadata=live.metadata(OFFICER), timeout=30)
        try:
            return await call.read() is not grpc.aio.EOF
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error  # noqa: PT017 - both answers are looked for
            return False


async def test_a_rolling_restart_under_load_fails_no_call(live: LiveBroker) -> None:
    before = await boots(live)
    path = live.network.broker_config
    assert not await reflects(live)
    path.write_text(path.read_text().replace("[broker]", "[broker]\nreflection = true"))
    async with under_load(live) as load:
        live.reload()
        await until(lambda: bool(live.said("restarted") or live.said("restart_given_up")), 120)
    assert [line["event"] for line in live.log_lines if line["event"].startswith("restart")] == ["restarted"]
    print(
        f"{dict(load.done)} calls and {len(load.followed)} changes followed; failed: {load.failed}; late: {load.late}"
    )
    assert load.failed == []
    assert Counter(load.followed) == Counter(load.written)
    assert not before & await boots(live)
    assert await reflects(live), "the configuration was read again"


async def test_the_configuration_is_read_again(live: LiveBroker) -> None:
    """Broken, of another broker, or one that a worker cannot start with: those that serve go on as they are."""
    path = live.network.broker_config
    good = path.read_text()
    before = await boots(live)
    refused = {
        good.replace("[broker]", "[broke"): "is not TOML",
        good.replace("[broker]", "[broker]\nwrokers = 2"): "unknown key broker.wrokers",
        good.replace('data = "data"', 'data = "elsewhere"'): "broker.data has changed",
        good.replace('directory = "directory.toml"', 'directory = "nowhere.toml"'): "cannot be read",
    }
    for number, (text, why) in enumerate(refused.items(), 1):
        path.write_text(text)
        live.reload()
        await until(lambda wanted=number: len(live.said("configuration_refused")) == wanted)  # type: ignore[misc]
        assert why in live.said("configuration_refused")[-1]["why"]
    path.write_text(good.replace("broker/cert.pem", "broker/no-such.pem"))
    assert path.read_text() != good
    live.reload()
    await until(lambda: bool(live.said("restart_given_up")), 60)
    assert live.said("restart_given_up")
    assert await boots(live) == before
    path.write_text(good)


async def test_a_stop_in_the_middle_of_a_restart_is_graceful(live: LiveBroker) -> None:
    drains = len(live.said("draining"))
    async with remote_to_each(live):
        live.reload()
        await until(lambda: len(live.said("draining")) > drains, 60)
        assert await asyncio.to_thread(live.stop) == 0
    for folder, key in live.network.logs.items():
        verified = verify_directory(folder, key)
        assert verified.ok, (folder, verified.problems)
        assert verified.indeterminate == []
