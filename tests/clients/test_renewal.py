"""Certificate, key, roots and token change under a running client: no call fails, each goes with what is in force."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from certs.authority import Authority
from entente.directory.v1 import directory_service_pb2 as directory
from entente.report.v1 import report_service_pb2 as reports
from entente_sdk import IdentityError, parse_report
from entente_sdk._locks import file_lock
from entente_sdk._material import WatchedMaterial, read_material
from entente_sdk._renewal import Renewal
from entente_sdk.errors import ConfigurationError
from entente_sdk.profile import Profile
from entente_sdk.tokens import claims
from tests.clients.conftest import QUICK, Colour
from tests.clients.test_subscription import batch, cursors, title
from tests.support.fake_broker import SUBSCRIBE, FakeBroker, Refuse
from tests.support.house import until

Code = grpc.StatusCode
WHO_AM_I = "/entente.directory.v1.DirectoryService/WhoAmI"
SUBMIT = "/entente.report.v1.ReportService/SubmitReport"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def renew(broker: FakeBroker, **life: float) -> None:
    """What an agent does: a new key and certificate under the old names."""
    broker.authority.issue_agency("police.example", "northshire", **({"life": timedelta(**life)} if life else {}))


def client_of(colour: Colour, broker: FakeBroker, **changes: Any) -> Any:
    """A client whose tokens are bound to the certificate that lies on disk when they are asked for."""
    profile = broker.profile(token_file=None, **changes)
    return colour.kind(profile, retry=QUICK, token=lambda: broker.agency.token_issuer().mint("o.reyes"))


def bound_to(token: str) -> str:
    return str(claims(token.removeprefix("Bearer "))["cnf"]["x5t#S256"])


async def call_until(colour: Colour, client: Any, broker: FakeBroker, claim: Callable[[], bool]) -> None:
    """Call until something holds: a client looks at its files once a second."""
    deadline = time.monotonic() + 15
    while not claim() and time.monotonic() < deadline:
        await colour.run(client.directory.who_am_i)
        await asyncio.sleep(0.05)
    assert claim()


async def test_a_replaced_certificate_is_used_with_a_token_of_its_own(colour: Colour, broker: FakeBroker) -> None:
    client = client_of(colour, broker)
    await colour.run(client.directory.who_am_i)
    renew(broker)
    await call_until(colour, client, broker, lambda: len({call.thumbprint for call in broker.calls}) == 2)
    await colour.run(client.close)
    assert all(bound_to(call.token) == call.thumbprint for call in broker.calls)
    assert len({call.peer for call in broker.calls}) == 2


async def test_a_call_under_way_ends_on_the_old_channel(colour: Colour, broker: FakeBroker) -> None:
    go, begun = threading.Event(), threading.Event()

    def slow(_: bytes) -> directory.WhoAmIResponse:
        begun.set()
        return directory.WhoAmIResponse(user="slow")

    async def held(path: str, request: bytes, context: Any) -> bytes:
        broker.note(path, request, context)
        begun.set()
        await asyncio.to_thread(go.wait, 20)
        return broker.sealed(path, request, slow(request))

    client = client_of(colour, broker)
    quick = broker.unary
    broker.unary = held  # type: ignore[method-assign]
    under_way = asyncio.create_task(colour.run(client.directory.who_am_i))
    await until(begun.is_set)
    broker.unary = quick  # type: ignore[method-assign]
    renew(broker)
    await call_until(colour, client, broker, lambda: len({call.thumbprint for call in broker.calls}) == 2)
    assert not under_way.done()
    lines = client._calls.connection._lines
    assert [line.retired for line in lines] == [True, False]
    go.set()
    assert (await under_way).message.user == "slow"
    assert [line.retired for line in lines] == [False], "the old channel is closed after its last call"
    await colour.run(client.close)


async def test_a_half_written_pair_keeps_the_old_channel(colour: Colour, broker: FakeBroker, tmp_path: Path) -> None:
    other = Authority.open(broker.folder / "authority")
    client = client_of(colour, broker)
    await colour.run(client.directory.who_am_i)
    old_key = broker.agency.key.read_bytes()
    old_thumbprint = broker.calls[-1].thumbprint
    other.issue_agency("police.example", "northshire")
    new_key = broker.agency.key.read_bytes()
    broker.agency.key.write_bytes(old_key)
    looked = client._calls.connection.look()
    assert not looked, "a new certificate with the old key is no pair"
    broker.agency.key.write_bytes(new_key[:40])
    assert not client._calls.connection.look()
    broker.agency.key.unlink()
    assert not client._calls.connection.look()
    assert broker.calls[-1].thumbprint == old_thumbprint
    broker.agency.key.write_bytes(new_key)
    assert client._calls.connection.look()
    await colour.run(client.directory.who_am_i)
    await colour.run(client.close)
    assert broker.calls[-1].thumbprint != old_thumbprint


async def test_new_trust_roots_rebuild_the_channel(colour: Colour, broker: FakeBroker, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(broker.authority.root.read_bytes())
    client = client_of(colour, broker, ca=roots)
    await colour.run(client.directory.who_am_i)
    stranger = Authority.create(tmp_path / "stranger")
    roots.write_bytes(broker.authority.root.read_bytes() + stranger.root.read_bytes())
    await call_until(colour, client, broker, lambda: len({call.peer for call in broker.calls}) == 2)
    await colour.run(client.close)


def test_an_expired_pair_does_not_replace_a_living_one(broker: FakeBroker) -> None:
    watched = WatchedMaterial(broker.profile())
    living = watched.current()
    renew(broker)
    newer = watched.current(look=True)
    assert newer != living
    renew(broker, seconds=0.001)
    time.sleep(1.1)
    assert watched.current(look=True) == newer


def test_files_are_looked_at_once_a_second(broker: FakeBroker) -> None:
    now = 0.0
    watched = WatchedMaterial(broker.profile(), lambda: now)
    first = watched.current()
    renew(broker)
    now = 0.9
    assert watched.current() == first
    now = 1.0
    assert watched.current() != first


@pytest.mark.parametrize("reason", ["TOKEN_EXPIRED", "TOKEN_NOT_BOUND", "TOKEN_REVOKED"])
async def test_a_refused_token_is_asked_anew_and_the_call_repeated(
    colour: Colour, broker: FakeBroker, reason: str
) -> None:
    broker.script[SUBMIT] = [Refuse(Code.UNAUTHENTICATED, reason, read=False)]
    broker.answers[SUBMIT] = lambda _: reports.SubmitReportResponse(record_id="a" * 32, version=1, etag="e")
    report = parse_report({"title": "x", "header": {"marks": {"classification": "OFFICIAL", "handling_code": "P"}}})
    client = client_of(colour, broker)
    answer = await colour.run(client.reports.submit, report)
    await colour.run(client.close)
    assert answer.message.record_id == "a" * 32
    first, second = broker.calls
    assert first.request == second.request, "the same bytes, so the same idempotency key"
    assert first.token != second.token


async def test_a_token_is_asked_anew_once_only(colour: Colour, broker: FakeBroker) -> None:
    broker.script[WHO_AM_I] = [Refuse(Code.UNAUTHENTICATED, "TOKEN_EXPIRED")] * 5
    client = client_of(colour, broker)
    with pytest.raises(IdentityError) as caught:
        await colour.run(client.directory.who_am_i)
    await colour.run(client.close)
    assert caught.value.reason == "TOKEN_EXPIRED"
    assert len(broker.calls) == 2


@pytest.mark.parametrize("reason", ["CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED"])
async def test_a_refused_certificate_is_repeated_only_with_another(
    colour: Colour, broker: FakeBroker, reason: str
) -> None:
    client = client_of(colour, broker)
    await colour.run(client.directory.who_am_i)
    broker.script[WHO_AM_I] = [Refuse(Code.UNAUTHENTICATED, reason)]
    with pytest.raises(IdentityError):
        await colour.run(client.directory.who_am_i)
    renew(broker)
    broker.script[WHO_AM_I] = [Refuse(Code.UNAUTHENTICATED, reason)]
    await colour.run(client.directory.who_am_i)
    await colour.run(client.close)
    assert len({call.thumbprint for call in broker.calls}) == 2


async def test_a_subscription_moves_without_loss_or_repetition(colour: Colour, broker: FakeBroker) -> None:
    broker.batches = [batch(str(number)) for number in range(8)]
    client = client_of(colour, broker)
    subscription = client.reports.subscribe()
    seen = []
    for number in range(8):
        found = await colour.next(subscription)
        seen.append(title(found))
        if number in (2, 5):
            renew(broker)
            # Not acknowledged yet: the stream stays where it is.
            assert client._calls.connection.look()
        await colour.run(found.acknowledge)
    await colour.run(subscription.close)
    assert not [line for line in client._calls.connection._lines if line.retired]
    await colour.run(client.close)
    assert seen == [str(number) for number in range(8)]
    assert cursors(broker) == ["", "3", "6"]
    started = [call for call in broker.calls if call.path == SUBSCRIBE]
    assert len({call.thumbprint for call in started}) == 3
    assert all(bound_to(call.token) == call.thumbprint for call in started)


async def test_a_subscription_stays_until_all_is_acknowledged(colour: Colour, broker: FakeBroker) -> None:
    broker.batches = [batch("one"), batch("two"), batch("three")]
    client = client_of(colour, broker)
    subscription = client.reports.subscribe()
    first = await colour.next(subscription)
    renew(broker)
    assert client._calls.connection.look()
    waiting = asyncio.create_task(colour.next(subscription))
    await asyncio.sleep(0.3)
    assert not waiting.done(), "what is not acknowledged yet would come a second time"
    await colour.run(first.acknowledge)
    second = await waiting
    assert title(second) == "two"
    assert cursors(broker) == [""]
    await colour.run(second.acknowledge)
    assert title(await colour.next(subscription)) == "three"
    assert cursors(broker) == ["", "2"]
    await colour.run(subscription.close)
    await colour.run(client.close)


def command(broker: FakeBroker, count: Path, *, seconds: float = 0.0, fails: bool = False) -> tuple[str, ...]:
    """A renew_command that notes each run."""
    script = (
        f"import sys, time; open({str(count)!r}, 'a').write('x'); time.sleep({seconds})\n"
        f"if {fails}: sys.exit('the authority is away')\n"
        "from pathlib import Path; from certs.authority import Authority\n"
        f"Authority.open(Path({str(broker.folder / 'authority')!r})).issue_agency('police.example', 'northshire')"
    )
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'clients/python')!r}]\n{script}"
    return (sys.executable, "-c", code)


def due(broker: FakeBroker) -> None:
    """A certificate of which more than two thirds have passed: its life begins a little before it is issued."""
    renew(broker, seconds=30)


async def test_the_command_renews_beside_the_calls(colour: Colour, broker: FakeBroker, tmp_path: Path) -> None:
    due(broker)
    count = tmp_path / "count"
    client = client_of(colour, broker, renew_command=command(broker, count, seconds=0.3))
    await colour.run(client.directory.who_am_i)
    await call_until(colour, client, broker, lambda: len({call.thumbprint for call in broker.calls}) == 2)
    await colour.run(client.close)
    assert count.read_text() == "x"


async def test_a_failed_renewal_is_a_warning_while_the_certificate_lives(
    colour: Colour, broker: FakeBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    due(broker)
    count = tmp_path / "count"
    client = client_of(colour, broker, renew_command=command(broker, count, fails=True))
    with caplog.at_level(logging.WARNING, "entente_sdk"):
        await colour.run(client.directory.who_am_i)
        await until(lambda: "the authority is away" in caplog.text)
        await colour.run(client.directory.who_am_i)
    await colour.run(client.close)
    assert "the authority is away" in caplog.text
    assert count.read_text() == "x", "it is not tried again at once"


async def test_an_ended_certificate_is_renewed_before_the_call(
    colour: Colour, broker: FakeBroker, tmp_path: Path
) -> None:
    renew(broker, seconds=0.001)
    time.sleep(1.1)
    client = client_of(colour, broker, renew_command=command(broker, tmp_path / "count"))
    await colour.run(client.directory.who_am_i)
    await colour.run(client.close)
    assert len(broker.calls) == 1


async def test_an_ended_certificate_that_cannot_be_renewed_fails_with_the_cause(
    colour: Colour, broker: FakeBroker, tmp_path: Path
) -> None:
    renew(broker, seconds=0.001)
    time.sleep(1.1)
    client = client_of(colour, broker, renew_command=command(broker, tmp_path / "count", fails=True))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="the authority is away") as caught:
            await colour.run(client.directory.who_am_i)
    await colour.run(client.close)
    assert caught.value.reason == "CERTIFICATE_RENEWAL"
    assert not broker.calls


def test_several_processes_renew_once(broker: FakeBroker, tmp_path: Path) -> None:
    due(broker)
    count = tmp_path / "count"
    words = command(broker, count, seconds=0.3)
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'clients/python')!r}]\n"
        "from pathlib import Path; from entente_sdk.profile import Profile; from entente_sdk._renewal import Renewal\n"
        f"Renewal(Profile(endpoint='a:1', ca=Path({str(broker.authority.root)!r}), log_keys=('x',), "
        f"certificate=Path({str(broker.agency.certificate)!r}), key=Path({str(broker.agency.key)!r}), "
        f"renew_command={words!r})).run()"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert said == [b"", b"", b""]
    assert count.read_text() == "x"


def test_two_thirds_of_its_life_is_when_it_is_due(broker: FakeBroker) -> None:
    profile = broker.profile(renew_command=("true",))
    material = read_material(profile)
    life = material.not_after - material.not_before
    assert not Renewal(profile, lambda: material.not_before + life * 0.66).is_due(material)
    assert Renewal(profile, lambda: material.not_before + life * 0.67).is_due(material)
    assert not Renewal(broker.profile(), lambda: material.not_after).is_due(material), "no command, no renewal"


def test_a_lock_waits_and_then_says_who_holds_it(tmp_path: Path) -> None:
    with (
        file_lock("one", seconds=1),
        pytest.raises(ConfigurationError, match="another process has held"),
        file_lock("one", seconds=0.2),
    ):
        raise AssertionError("two held it")
    with file_lock("one", seconds=0.2):
        pass


def test_no_repr_shows_the_key(broker: FakeBroker) -> None:
    material = read_material(broker.profile())
    assert b"PRIVATE KEY" in material.key
    assert "PRIVATE" not in repr(material)
    assert isinstance(json.dumps(material.thumbprint), str)


def test_the_profile_of_a_certificateless_client_is_never_due(broker: FakeBroker) -> None:
    bare: Profile = broker.profile(certificate=None, key=None)
    assert not Renewal(bare).is_due(read_material(bare))
